/// A misspelt key of a configuration must not vanish.
enum UnknownKeys {
    private struct AnyKey: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { return nil }
    }

    static func refuse<Key: CodingKey & CaseIterable>(in decoder: any Decoder, known: Key.Type) throws {
        let names = Set(Key.allCases.map(\.stringValue))
        for key in try decoder.container(keyedBy: AnyKey.self).allKeys where !names.contains(key.stringValue) {
            let list = Key.allCases.map(\.stringValue).joined(separator: ", ")
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath + [key], debugDescription: "no such key; there are \(list)"))
        }
    }
}

extension KeyedDecodingContainer {
    /// Complains about a value of the right type that makes no sense.
    func require(_ isRight: Bool, _ key: Key, _ needed: String) throws {
        guard isRight else {
            throw DecodingError.dataCorruptedError(forKey: key, in: self, debugDescription: "it has to be \(needed)")
        }
    }
}

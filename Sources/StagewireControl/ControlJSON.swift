import FoundationEssentials

/// How the control API's values become bytes: sorted keys, indented, a newline at the end, so that what `curl` prints
/// can be read and compared.
public enum ControlJSON {
    public static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        // JSON has no such numbers, and a worker may well put them into an attribute.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        do {
            return [UInt8](try encoder.encode(value)) + [UInt8(ascii: "\n")]
        } catch {
            preconditionFailure("the API's values are encodable: \(error)")
        }
    }

    /// - Throws: `DecodingError`
    public static func decode<Value: Decodable>(_ type: Value.Type, from bytes: some Collection<UInt8>) throws -> Value
    {
        try JSONDecoder().decode(type, from: Data(bytes))
    }
}

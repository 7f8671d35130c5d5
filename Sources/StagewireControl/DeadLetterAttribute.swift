extension DeadLetterDetail {
    public enum Value: Codable, Equatable, Sendable {
        case text(String)
        case integer(Int64)
        case number(Double)
        case flag(Bool)

        public init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let flag = try? container.decode(Bool.self) {
                self = .flag(flag)
            } else if let integer = try? container.decode(Int64.self) {
                self = .integer(integer)
            } else if let number = try? container.decode(Double.self) {
                self = .number(number)
            } else {
                self = .text(try container.decode(String.self))
            }
        }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .text(let text): try container.encode(text)
            case .integer(let integer): try container.encode(integer)
            case .number(let number): try container.encode(number)
            case .flag(let flag): try container.encode(flag)
            }
        }
    }

    /// JSON has one kind of number, and no NaN: hence the kind, beside the value.
    public struct Attribute: Codable, Equatable, Sendable {
        private enum Kind: String, Codable {
            case text, integer, number, flag
        }

        private enum CodingKeys: String, CodingKey { case name, kind, value }

        public var name: String
        public var value: Value

        public init(name: String, value: Value) {
            self.name = name
            self.value = value
        }

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            name = try container.decode(String.self, forKey: .name)
            switch try container.decodeIfPresent(Kind.self, forKey: .kind) {
            case .text: value = .text(try container.decode(String.self, forKey: .value))
            case .integer: value = .integer(try container.decode(Int64.self, forKey: .value))
            case .number: value = .number(try Self.number(container))
            case .flag: value = .flag(try container.decode(Bool.self, forKey: .value))
            // A broker that does not tell.
            case nil: value = try container.decode(Value.self, forKey: .value)
            }
        }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(name, forKey: .name)
            try container.encode(kind, forKey: .kind)
            try container.encode(value, forKey: .value)
        }

        private var kind: Kind {
            switch value {
            case .text: .text
            case .integer: .integer
            case .number: .number
            case .flag: .flag
            }
        }

        /// `NaN`, `Infinity` and `-Infinity` are texts.
        private static func number(_ container: KeyedDecodingContainer<CodingKeys>) throws -> Double {
            if let number = try? container.decode(Double.self, forKey: .value) { return number }
            let text = try container.decode(String.self, forKey: .value)
            guard let number = Double(text), !number.isFinite else {
                throw DecodingError.dataCorruptedError(
                    forKey: .value, in: container, debugDescription: "\(text) is no number")
            }
            return number
        }
    }
}

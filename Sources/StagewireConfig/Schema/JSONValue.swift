/// A JSON value whose objects keep their order, and print always the same.
public indirect enum JSONValue: Equatable, Sendable {
    case object([Member])
    case array([JSONValue])
    case string(String)
    case integer(Int)
    case flag(Bool)

    /// A name of an object and its value.
    public struct Member: Equatable, Sendable {
        public var name: String
        public var value: JSONValue

        public init(_ name: String, _ value: JSONValue) { (self.name, self.value) = (name, value) }
    }

    /// Indented by two spaces; what is short stands on one line.
    public var text: String { text(indent: 0) }

    private func text(indent: Int) -> String {
        let short = line
        if indent + short.utf8.count <= 100 { return short }
        let space = String(repeating: " ", count: indent + 2)
        let lines: [String]
        let brackets: (open: String, close: String)
        switch self {
        case .object(let members):
            brackets = ("{", "}")
            lines = members.map { Self.quoted($0.name) + ": " + $0.value.text(indent: indent + 2) }
        case .array(let values):
            brackets = ("[", "]")
            lines = values.map { $0.text(indent: indent + 2) }
        case .string, .integer, .flag: return short
        }
        let body = lines.map { space + $0 }.joined(separator: ",\n")
        return "\(brackets.open)\n\(body)\n\(space.dropLast(2))\(brackets.close)"
    }

    /// On one line.
    var line: String {
        switch self {
        case .object(let members):
            "{" + members.map { Self.quoted($0.name) + ": " + $0.value.line }.joined(separator: ", ") + "}"
        case .array(let values): "[" + values.map(\.line).joined(separator: ", ") + "]"
        case .string(let text): Self.quoted(text)
        case .integer(let integer): String(integer)
        case .flag(let flag): String(flag)
        }
    }

    private static func quoted(_ text: String) -> String {
        var json: [UInt8] = []
        JSONText.append(text, to: &json)
        return String(decoding: json, as: UTF8.self)
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(booleanLiteral value: Bool) { self = .flag(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(elements.map(Member.init)) }

    /// An object with more members behind its own.
    func adding(_ members: [Member]) -> JSONValue {
        guard case .object(let own) = self else { preconditionFailure("only an object has members") }
        return .object(own + members)
    }
}

extension JSONValue: Encodable {
    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// As part of a larger document; an encoder may sort the members.
    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .object(let members):
            var container = encoder.container(keyedBy: Name.self)
            for member in members { try container.encode(member.value, forKey: Name(stringValue: member.name)) }
        case .array(let values): try Array(values).encode(to: encoder)
        case .string(let text): try text.encode(to: encoder)
        case .integer(let integer): try integer.encode(to: encoder)
        case .flag(let flag): try flag.encode(to: encoder)
        }
    }
}

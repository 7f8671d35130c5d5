/// A message, or a part of one, as somebody writes it down: field names and values. `FrameForge` makes bytes of it.
public indirect enum FrameLiteral: Equatable, Sendable {
    /// Not there, as if the field were not named.
    case null
    case flag(Bool)
    case integer(Int64)
    /// Above `Int64.max` only.
    case unsigned(UInt64)
    case real(Double)
    case text(String)
    case bytes([UInt8])
    case list([FrameLiteral])
    /// In the order in which they are to be encoded; a name may stand more than once.
    case object([Member])

    public struct Member: Equatable, Sendable {
        public var name: String
        public var value: FrameLiteral

        public init(_ name: String, _ value: FrameLiteral) {
            self.name = name
            self.value = value
        }
    }

    public init(_ number: UInt64) { self = Int64(exactly: number).map(FrameLiteral.integer) ?? .unsigned(number) }

    public init(_ number: Int) { self = .integer(Int64(number)) }

    // MARK: Reading

    /// The first member of that name, nil when there is none or it is null.
    public subscript(name: String) -> FrameLiteral? {
        guard let value = members.first(where: { $0.name == name })?.value, value != .null else { return nil }
        return value
    }

    public var members: [Member] {
        if case .object(let members) = self { members } else { [] }
    }

    /// A list's elements; one element for whatever is neither a list nor null.
    public var elements: [FrameLiteral] {
        switch self {
        case .list(let elements): elements
        case .null: []
        case _: [self]
        }
    }

    public var number: UInt64? {
        switch self {
        case .integer(let number): UInt64(exactly: number)
        case .unsigned(let number): number
        case _: nil
        }
    }

    public var signed: Int64? {
        if case .integer(let number) = self { number } else { nil }
    }

    public var text: String? {
        if case .text(let text) = self { text } else { nil }
    }

    public var flag: Bool? {
        if case .flag(let flag) = self { flag } else { nil }
    }

    /// Bytes as the vectors write them: text stands for its UTF-8, text that begins with `0x` for hexadecimal.
    public var asBytes: [UInt8]? {
        switch self {
        case .bytes(let bytes): bytes
        case .text(let text): text.hasPrefix("0x") ? Self.hexadecimal(text.dropFirst(2)) : Array(text.utf8)
        case .integer(let number): Array(String(number).utf8)
        case _: nil
        }
    }

    /// So many bytes, a pattern over and over; none of an empty one.
    public static func repeating(_ pattern: [UInt8], size: UInt64) -> [UInt8] {
        guard !pattern.isEmpty else { return [] }
        return (0..<Int(size)).map { pattern[$0 % pattern.count] }
    }

    /// Pairs of hexadecimal digits, spaces between them left out; nil when it is something else.
    public static func hexadecimal(_ text: some StringProtocol) -> [UInt8]? {
        let digits = text.utf8.filter { $0 != 0x20 && $0 != 0x0a }
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = Character(Unicode.Scalar(digits[index])).hexDigitValue,
                let low = Character(Unicode.Scalar(digits[index + 1])).hexDigitValue
            else { return nil }
            bytes.append(UInt8(high << 4 | low))
        }
        return bytes
    }

    /// Members of `over` replace those of that name, others are added; null changes nothing.
    public func overridden(by over: FrameLiteral?) -> FrameLiteral {
        guard let over, over != .null else { return self }
        guard case .object(var members) = self, case .object(let news) = over else { return over }
        for new in news {
            if let index = members.firstIndex(where: { $0.name == new.name }) {
                members[index] = new
            } else {
                members.append(new)
            }
        }
        return .object(members)
    }
}

extension FrameDump {
    /// The frame's fields by name, repeated ones as lists; what is not known is left out.
    public var literal: FrameLiteral { FrameLiteral(fields) }
}

extension FrameLiteral {
    public init(_ fields: [FrameDump.Field]) {
        var members: [Member] = []
        var places: [String: Int] = [:]
        for field in fields {
            guard let name = field.name else { continue }
            let value = FrameLiteral(field.value)
            if let place = places[name] {
                members[place].value = .list(members[place].value.elements + [value])
            } else {
                places[name] = members.count
                members.append(Member(name, field.isRepeated ? .list([value]) : value))
            }
        }
        self = .object(members)
    }

    public init(_ value: FrameDump.Value) {
        switch value {
        case .message(let fields): self.init(fields)
        case .unsigned(let number): self.init(number)
        case .signed(let number): self = .integer(number)
        case .real(let number): self = .real(number)
        case .flag(let flag): self = .flag(flag)
        case .text(let text): self = .text(text)
        case .bytes(let bytes): self = .bytes(bytes)
        case .enumeration(let name, let number): self = name.map(FrameLiteral.text) ?? FrameLiteral(number)
        case .raw(_, let bytes): self = .bytes(bytes)
        }
    }
}

extension FrameLiteral: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(stringLiteral value: String) { self = .text(value) }
    public init(arrayLiteral elements: FrameLiteral...) { self = .list(elements) }
    public init(dictionaryLiteral elements: (String, FrameLiteral)...) {
        self = .object(elements.map { Member($0.0, $0.1) })
    }
}

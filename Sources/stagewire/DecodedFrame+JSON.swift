import StagewireWire

/// JSON whose shape the data decides.
indirect enum JSONValue: Encodable, Equatable {
    case object([String: JSONValue])
    case list([JSONValue])
    case text(String)
    case unsigned(UInt64)
    case signed(Int64)
    case real(Double)
    case flag(Bool)

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .object(let members): try container.encode(members)
        case .list(let elements): try container.encode(elements)
        case .text(let text): try container.encode(text)
        case .unsigned(let number): try container.encode(number)
        case .signed(let number): try container.encode(number)
        case .real(let number): try container.encode(number)
        case .flag(let flag): try container.encode(flag)
        }
    }
}

/// The same conventions as in conformance/vectors: bytes are text or hexadecimal behind `0x`, enums are names.
extension DecodedFrame {
    /// `{"frame": 1, "offset": 0, "length": 43, "kind": "Hello", "envelope": {"version": 1000, "hello": {...}}}`
    var json: JSONValue {
        var members: [String: JSONValue] = [
            "frame": .unsigned(UInt64(number)), "offset": .unsigned(UInt64(offset)),
            "length": .unsigned(UInt64(length)), "envelope": Self.object(dump.fields),
        ]
        if let kind = dump.kind { members["kind"] = .text(kind) }
        if dump.isCut { members["cut"] = .flag(true) }
        if !problems.isEmpty {
            members["problems"] = .list(
                problems.map { .object(["offset": .unsigned(UInt64($0.offset)), "message": .text($0.text)]) })
        }
        return .object(members)
    }

    /// Fields by name. What is repeated is a list, and so is what should not be and is; what is not known stands
    /// under `unknown`.
    private static func object(_ fields: [FrameDump.Field]) -> JSONValue {
        var known: [String: (isList: Bool, values: [JSONValue])] = [:]
        var unknown: [JSONValue] = []
        for field in fields {
            guard let name = field.name else {
                unknown.append(stranger(field))
                continue
            }
            known[name, default: (field.isRepeated, [])].values.append(value(field))
        }
        var members = known.mapValues { $0.isList || $0.values.count > 1 ? .list($0.values) : $0.values[0] }
        if !unknown.isEmpty { members["unknown"] = .list(unknown) }
        return .object(members)
    }

    private static func stranger(_ field: FrameDump.Field) -> JSONValue {
        guard case .object(var members) = value(field) else { return value(field) }
        members["number"] = .unsigned(UInt64(field.number))
        return .object(members)
    }

    private static func value(_ field: FrameDump.Field) -> JSONValue {
        switch field.value {
        case .message(let fields): object(fields)
        case .unsigned(let number): .unsigned(number)
        case .signed(let number): .signed(number)
        case .real(let number): .real(number)
        case .flag(let flag): .flag(flag)
        case .text(let text): .text(text)
        case .bytes(let bytes): .text(text(bytes, isOpaque: field.isOpaque))
        case .enumeration(let name, let number): name.map(JSONValue.text) ?? .unsigned(number)
        case .raw(let wireType, let bytes):
            .object(["wire_type": .text(wireType), "bytes": .text("0x" + bytes.hex)])
        }
    }

    /// Text that begins like hexadecimal is written as such, so that a reader can tell.
    private static func text(_ bytes: [UInt8], isOpaque: Bool) -> String {
        guard !isOpaque, let text = bytes.printable, !text.hasPrefix("0x") else { return "0x" + bytes.hex }
        return text
    }
}

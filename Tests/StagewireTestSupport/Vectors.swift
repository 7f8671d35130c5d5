import Foundation

/// A JSON value whose numbers are exact.
public indirect enum JSON: Decodable, Equatable, Sendable {
    case null
    case flag(Bool)
    case signed(Int64)
    case unsigned(UInt64)
    case real(Double)
    case text(String)
    case list([JSON])
    case object([String: JSON])

    public init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let flag = try? value.decode(Bool.self) {
            self = .flag(flag)
        } else if let number = try? value.decode(Int64.self) {
            self = .signed(number)
        } else if let number = try? value.decode(UInt64.self) {
            self = .unsigned(number)
        } else if let number = try? value.decode(Double.self) {
            self = .real(number)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else if let list = try? value.decode([JSON].self) {
            self = .list(list)
        } else {
            self = .object(try value.decode([String: JSON].self))
        }
    }

    public subscript(_ name: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members[name]
    }

    public var text: String? {
        guard case .text(let text) = self else { return nil }
        return text
    }

    public var number: UInt64? {
        switch self {
        case .signed(let number): UInt64(exactly: number)
        case .unsigned(let number): number
        default: nil
        }
    }

    public var list: [JSON]? {
        guard case .list(let items) = self else { return nil }
        return items
    }

    /// A double, and the texts that stand for those which JSON cannot write.
    public var real: Double? {
        switch self {
        case .real(let number): number
        case .signed(let number): Double(number)
        case .text("NaN"): .nan
        case .text("Infinity"): .infinity
        case .text("-Infinity"): -.infinity
        default: nil
        }
    }

    /// A text, or hexadecimal behind 0x.
    public var bytes: [UInt8]? {
        guard let text else { return nil }
        return text.hasPrefix("0x") ? Self.unhex(text.dropFirst(2)) : Array(text.utf8)
    }

    static func unhex(_ digits: some StringProtocol) -> [UInt8] {
        let nibbles = digits.utf8.map { UInt8(Character(Unicode.Scalar($0)).hexDigitValue ?? 0) }
        return stride(from: 0, to: nibbles.count, by: 2).map { nibbles[$0] << 4 | nibbles[$0 + 1] }
    }

    /// x and n of `{"repeat": x, "times": n}`.
    var repetition: (unit: JSON, times: Int)? {
        guard case .object(let members) = self, members.count == 2, let unit = members["repeat"],
            let times = members["times"]?.number
        else { return nil }
        return (unit, Int(times))
    }

    /// The same with repetitions written out.
    public var expanded: JSON {
        if let (unit, times) = repetition, let text = unit.text {
            let isHex = text.hasPrefix("0x")
            return .text(
                (isHex ? "0x" : "") + String(repeating: isHex ? String(text.dropFirst(2)) : text, count: times))
        }
        switch self {
        case .object(let members): return .object(members.mapValues(\.expanded))
        case .list(let items): return .list(items.flatMap(\.expandedItem))
        default: return self
        }
    }

    private var expandedItem: [JSON] {
        guard let (unit, times) = repetition, unit.text == nil else { return [expanded] }
        return Array(repeating: unit.expanded, count: times)
    }
}

/// One vector of conformance/vectors; the README there explains its members.
public struct Vector: Sendable {
    public let members: JSON
    public let name: String
    public let bytes: [UInt8]
    /// What a protobuf library writes for the same meaning.
    public let usual: [UInt8]
    /// The meaning; nil of what is invalid.
    public let json: JSON?

    init(_ members: JSON) {
        self.members = members
        name = members["name"]?.text ?? ""
        let hex = members["hex"] ?? .null
        bytes = Self.joined(hex)
        usual = Self.joined(members["usual"] ?? hex)
        json = members["json"]?.expanded
    }

    public subscript(_ member: String) -> JSON? { members[member] }

    public func flag(_ member: String) -> Bool { members[member] == .flag(true) }

    /// The code with which it is refused.
    public var code: String? { members["invalid"]?["code"]?.text }

    /// Of `hex`: a text, or a list of texts and repetitions.
    public static func joined(_ hex: JSON) -> [UInt8] {
        if let text = hex.text { return JSON.unhex(text) }
        return (hex.list ?? []).flatMap { piece in
            let (unit, times) = piece.repetition ?? (piece, 1)
            return Array(repeatElement(JSON.unhex(unit.text ?? ""), count: times).joined())
        }
    }

    /// The vectors of a file, at least one.
    public static func all(_ file: String) -> [Vector] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let path = root.appendingPathComponent("conformance/vectors/\(file).json")
        do {
            let found = try JSONDecoder().decode([JSON].self, from: Data(contentsOf: path))
            precondition(!found.isEmpty, "vectors in \(path.path)")
            return found.map(Vector.init)
        } catch { preconditionFailure("\(path.path): \(error)") }
    }

    /// The JSON of a frame in a list of such, as `splits` has them.
    public func frames() -> [(at: Int, length: Int, json: JSON)] {
        (members["frames"]?.list ?? []).map { frame in
            (Int(frame["at"]?.number ?? 0), Int(frame["length"]?.number ?? 0), (frame["json"] ?? .null).expanded)
        }
    }
}

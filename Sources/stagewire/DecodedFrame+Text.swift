import Glibc
import StagewireModel
import StagewireWire

extension DecodedFrame {
    /// Bytes of one value that are shown.
    private static let shown = 256

    /// ```
    /// frame 4 at byte 312: Deliver, 106 bytes, protocol 1.0
    ///   first_delivery: 1
    ///   records[0]:
    ///     lineage:
    ///       id: ad0463b0d8404c62c36d38447d3c52ab
    /// ```
    var text: String {
        var lines = ["frame \(number) at byte \(offset): \(headline)"]
        let rest = dump.fields.filter { $0.name != "version" }
        if rest.count == 1, let only = rest.first, only.name != nil, case .message(let fields) = only.value {
            Self.add(fields, indent: 1, to: &lines)
        } else {
            Self.add(rest, indent: 1, to: &lines)
        }
        if dump.isCut { lines.append("  ... more than \(FrameDump.largestTree) values: the rest is left out") }
        for problem in problems { lines.append("  MALFORMED at byte \(problem.offset): \(Text.escaped(problem.text))") }
        return lines.joined(separator: "\n")
    }

    private var headline: String {
        var parts = [dump.kind ?? "unknown kind", "\(Figures.grouped(UInt64(length))) bytes"]
        if isTruncated { parts.append("truncated") }
        if case .unsigned(let version)? = dump.fields.first(where: { $0.name == "version" })?.value {
            parts.append("protocol \(ProtocolVersion.text(UInt32(clamping: version)))")
        }
        return parts.joined(separator: ", ")
    }

    private static func add(_ fields: [FrameDump.Field], indent: Int, to lines: inout [String]) {
        let space = String(repeating: "  ", count: indent)
        var counts: [UInt32: Int] = [:]
        var index = fields.startIndex
        while index < fields.endIndex {
            let field = fields[index]
            // A packed list stays on one line.
            let run = fields[index...].prefix { $0.number == field.number && field.isRepeated && !$0.isMessage }
            let name = field.name ?? "field \(field.number)"
            if run.count > 1 {
                lines.append("\(space)\(name): \(run.map(scalar).joined(separator: ", "))")
                index += run.count
                continue
            }
            let count = counts[field.number, default: 0]
            counts[field.number] = count + 1
            let label = field.isRepeated ? "\(name)[\(count)]" : name
            if case .message(let inner) = field.value {
                lines.append("\(space)\(label):\(inner.isEmpty ? " (empty)" : "")")
                add(inner, indent: indent + 1, to: &lines)
            } else {
                lines.append("\(space)\(label): \(scalar(field))")
            }
            index += 1
        }
    }

    // MARK: Values

    private static func scalar(_ field: FrameDump.Field) -> String {
        switch field.value {
        case .message: preconditionFailure("a message is no scalar")
        case .unsigned(let number):
            "\(number)\(meaning(number, of: field))\(time(Int64(clamping: number), of: field))"
        case .signed(let number): "\(number)\(time(number, of: field))"
        case .real(let number): "\(number)"
        case .flag(let flag): "\(flag)"
        case .text(let text): quoted(text)
        case .bytes(let bytes):
            if !field.isOpaque, let text = bytes.printable { quoted(text) } else { hex(bytes) }
        case .enumeration(let name, let number): name ?? "\(number) (unknown)"
        case .raw(let wireType, let bytes): "(\(wireType)) \(hex(bytes))"
        }
    }

    /// On one line, cut, with everything that a terminal might act on written out.
    private static func quoted(_ text: String) -> String {
        let length = text.utf8.count
        let more = length > shown ? " (\(Figures.grouped(UInt64(length))) bytes)" : ""
        let plain = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        let lines = plain.replacing("\r", with: "\\r").replacing("\n", with: "\\n").replacing("\t", with: "\\t")
        return "\"\(Text.escaped(lines, limit: shown))\"\(more)"
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        if bytes.isEmpty { return "(empty)" }
        let cut = Array(bytes.prefix(shown / 2)).hex
        return bytes.count > shown / 2 ? "\(cut)... (\(Figures.grouped(UInt64(bytes.count))) bytes)" : cut
    }

    /// " (SHUTTING_DOWN)" behind a code, " (1.0)" behind a version.
    private static func meaning(_ number: UInt64, of field: FrameDump.Field) -> String {
        guard let narrow = UInt32(exactly: number) else { return "" }
        switch (field.message, field.name) {
        case ("stagewire.v1.Close", "code"), ("stagewire.v1.Error", "code"):
            if let code = Code(rawValue: narrow) { return " (\(code.name))" }
            return narrow >= 1000 ? " (the application's)" : ""
        case ("stagewire.v1.Hello", "min_version"), ("stagewire.v1.Hello", "max_version"),
            ("stagewire.v1.Welcome", "version"):
            return " (\(ProtocolVersion.text(narrow)))"
        case _: return ""
        }
    }

    /// Microseconds since 1970 as RFC 3339, in UTC.
    private static func time(_ microseconds: Int64, of field: FrameDump.Field) -> String {
        guard field.name?.hasSuffix("_time") == true, microseconds != 0 else { return "" }
        let (seconds, rest) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        let moment = timespec(tv_sec: Int(rest < 0 ? seconds - 1 : seconds), tv_nsec: 0)
        return " (\(moment.rfc3339.replacing(".000Z", with: "Z")))"
    }
}

extension FrameDump.Field {
    fileprivate var isMessage: Bool {
        if case .message = value { true } else { false }
    }
}

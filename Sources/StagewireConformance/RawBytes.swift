import StagewireWire

/// Bytes that are no message, put together of parts:
///
/// ```
/// raw: 00 00 00 00                                    hexadecimal
/// raw: [{u32: 5}, {hex: 08 e8 07}, {fill: "00", size: 2}]
/// raw: {frame: [{message: {settle: {}}}, {hex: ff}]}  the parts behind their length prefix
/// ```
enum RawBytes {
    static func bytes(_ literal: FrameLiteral) throws(FrameForge.Fault) -> [UInt8] {
        switch literal {
        case .list(let parts):
            var bytes: [UInt8] = []
            for part in parts { bytes += try RawBytes.bytes(part) }
            return bytes
        case .text(let hex): return try hexadecimal(hex)
        // 00000000 without quotes is a number for YAML.
        case .integer(let number): return try hexadecimal(String(number))
        case .object: return try part(literal)
        case _: throw FrameForge.Fault(path: "", message: "bytes are hexadecimal text, or a list of parts")
        }
    }

    private static func part(_ literal: FrameLiteral) throws(FrameForge.Fault) -> [UInt8] {
        if let fill = literal["fill"], let size = literal["size"]?.number {
            let pattern = try hexadecimal(fill.text ?? fill.signed.map { String($0) } ?? "")
            return FrameLiteral.repeating(pattern, size: size)
        }
        guard let member = literal.members.first else { return [] }
        switch member.name {
        case "u32":
            return withUnsafeBytes(of: UInt32(truncatingIfNeeded: member.value.number ?? 0).bigEndian, Array.init)
        case "hex": return try bytes(member.value)
        case "text": return Array((member.value.text ?? "").utf8)
        case "message": return try FrameForge.envelope(member.value)
        case "part":
            guard let type = member.value["type"]?.text, let fields = member.value["fields"] else {
                throw FrameForge.Fault(path: "part", message: "write it as {part: {type: Record, fields: {...}}}")
            }
            return try FrameForge.message(type, fields)
        case "varint":
            var bytes: [UInt8] = []
            FrameForge.varint(member.value.number ?? 0, to: &bytes)
            return bytes
        case "field":
            // A length-delimited field: {field: {number: 9, content: [...]}}.
            let content = try bytes(member.value["content"] ?? .list([]))
            let tag = (member.value["number"]?.number ?? 0) << 3 | 2
            return try part(.object([.init("varint", FrameLiteral(tag))]))
                + part(.object([.init("varint", FrameLiteral(content.count))])) + content
        case "frame": return FrameForge.framed(try bytes(member.value))
        case let other:
            throw FrameForge.Fault(
                path: other, message: "a part is one of u32, hex, text, varint, message, part, field, frame, fill")
        }
    }

    private static func hexadecimal(_ text: String) throws(FrameForge.Fault) -> [UInt8] {
        guard let bytes = FrameLiteral.hexadecimal(text) else {
            throw FrameForge.Fault(path: "", message: "`\(text)` is not pairs of hexadecimal digits")
        }
        return bytes
    }
}

import StagewireModel

/// Text that came from outside, made fit for a log or a terminal.
public enum Text {
    /// `untrusted` with every control character, line separator and direction override shown as `\u{..}`, cut
    /// to at most `limit` bytes of UTF-8; what was cut shows as an ellipsis.
    public static func escaped(_ untrusted: String, limit: Int = Limits.text) -> String {
        precondition(limit >= ellipsis.utf8.count)
        var text = ""
        // The last length at which an ellipsis still fits behind the text.
        var room = 0
        for scalar in untrusted.unicodeScalars {
            let shown = isUnsafe(scalar) ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
            let length = text.utf8.count
            if length + ellipsis.utf8.count <= limit { room = length }
            guard length + shown.utf8.count <= limit else {
                return String(decoding: text.utf8.prefix(room), as: UTF8.self) + ellipsis
            }
            text += shown
        }
        return text
    }

    /// At most `bytes` bytes of UTF-8 from the start of `text`, ended at a character's boundary with an ellipsis.
    package static func cut(_ text: String, bytes: Int) -> String {
        guard text.utf8.count > bytes else { return text }
        var end = text.utf8.index(text.startIndex, offsetBy: bytes - ellipsis.utf8.count)
        // A continuation byte (10xxxxxx) is not a place to cut.
        while end > text.startIndex, text.utf8[end] & 0xc0 == 0x80 { end = text.utf8.index(before: end) }
        return String(decoding: text.utf8[..<end], as: UTF8.self) + ellipsis
    }

    private static let ellipsis = "…"

    private static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: true
        default: false
        }
    }
}

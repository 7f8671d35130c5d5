import StagewireWire

/// What can be said of a single frame, whoever sent it.
enum FrameRules {
    private static let fromWorker: Set<String> = [
        "hello", "close", "ping", "pong", "credit", "settle", "emit", "extend", "claim", "finished",
    ]
    private static let fromBroker: Set<String> = [
        "welcome", "close", "ping", "pong", "credit", "deliver", "committed", "settled", "drain", "runs", "claimed",
    ]

    /// - Throws: the first rule that the frame breaks.
    static func check(_ frame: Received, from role: Role, version: UInt64) throws(Stop) {
        if frame.kind != nil, frame.version != version {
            throw .fail("the frame's version is \(frame.version), not \(version)", rules: ["VR-1"])
        }
        if let flaw = frame.dump.flaws.first {
            throw .fail("a malformed frame came: \(flaw.problem) (byte \(flaw.offset))", rules: ["FR-2", "FR-5"])
        }
        guard let kind = frame.kind else {
            throw .fail("a frame without a known kind came, and no feature for one is in force", rules: ["EX-2"])
        }
        let allowed = role == .worker ? fromWorker : fromBroker
        guard allowed.contains(kind) else {
            throw .fail("the \(role.rawValue) sent \(kind), which only the other side sends", rules: ["HS-8"])
        }
        // A Hello of a later minor may have what that minor has added.
        if kind != "hello" || version == 1000 { try checkNumbers(frame.fields) }
        if kind == "settle" || kind == "emit" { try checkMinimal(frame.fields) }
        if kind == "close" { try checkClose(frame.message) }
    }

    /// Fields that 1.0 does not have are vendors', whose numbers begin at 1000. Records are as their author wrote them.
    private static func checkNumbers(_ fields: [FrameDump.Field]) throws(Stop) {
        for field in fields where field.name != "output" && field.name != "records" {
            guard field.name != nil || field.number >= 1000 else {
                throw .fail("a frame has the unknown field \(field.number), vendors' begin at 1000", rules: ["EX-3"])
            }
            try checkNumbers(field.inner)
        }
    }

    /// Minimal tags, lengths and numbers (FR-5).
    private static func checkMinimal(_ fields: [FrameDump.Field]) throws(Stop) {
        for field in fields {
            let tag = ByteWriter.size(of: UInt64(field.number) << 3)
            let isMinimal =
                field.prefix == 0 || field.prefix == tag
                || field.prefix == tag + ByteWriter.size(of: UInt64(field.range.count))
            var isShort = true
            if case .unsigned(let number) = field.value, field.prefix > 0 {
                isShort = field.range.count == ByteWriter.size(of: number)
            }
            guard isMinimal, isShort else {
                let name = field.name ?? "field \(field.number)"
                throw .fail("\(name) is encoded longer than necessary", rules: ["FR-5"])
            }
            try checkMinimal(field.inner)
        }
    }

    private static func checkClose(_ close: FrameLiteral) throws(Stop) {
        let code = close["code"]?.number ?? 0
        guard code == 0 || (100...111).contains(code) || (200...213).contains(code) else {
            throw .fail("Close has code \(code), which is no connection or session code", rules: ["ER-1"])
        }
        guard code == 0 || close["message"]?.text?.isEmpty == false else {
            throw .fail("Close with code \(code) has no message", rules: ["ER-2"])
        }
    }
}

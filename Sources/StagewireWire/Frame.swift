import StagewireModel

/// What one frame holds. The ranges are the message's own bytes inside the frame that was decoded.
public enum Frame: Equatable, Sendable {
    case control(ControlMessage)
    case settle(Range<Int>)
    case emit(Range<Int>)
    case deliver(Range<Int>)
    /// No kind that this version knows: ignored and counted.
    case unknown
}

/// The kinds of `Envelope.message`, by field number.
enum Kind: UInt32, CaseIterable {
    case hello = 2
    case welcome = 3
    case close = 4
    case ping = 5
    case pong = 6
    case credit = 7
    case deliver = 8
    case settle = 9
    case emit = 10
    case committed = 11
    case settled = 12
    case extend = 13
    case drain = 14
    case runs = 15
    case claim = 16
    case claimed = 17
    case finished = 18

    var name: String {
        switch self {
        case .hello: "Hello"
        case .welcome: "Welcome"
        case .close: "Close"
        case .ping: "Ping"
        case .pong: "Pong"
        case .credit: "Credit"
        case .deliver: "Deliver"
        case .settle: "Settle"
        case .emit: "Emit"
        case .committed: "Committed"
        case .settled: "Settled"
        case .extend: "Extend"
        case .drain: "Drain"
        case .runs: "Runs"
        case .claim: "Claim"
        case .claimed: "Claimed"
        case .finished: "Finished"
        }
    }
}

/// Frames to messages and back.
public enum FrameCodec {
    /// Decodes one frame, without its length prefix.
    ///
    /// The envelope is scanned here, in order and with every length checked; only the message of a control
    /// kind reaches libprotobuf-c, after `ControlCheck` has passed it. Fields of the envelope that this
    /// version does not know are skipped when they are well-formed.
    ///
    /// - Throws: `UNSUPPORTED_VERSION` for another major or none, `MALFORMED_HELLO` and `INVALID_PARTITION`
    ///   for values of those messages that break a limit, `MALFORMED_FRAME` for everything else.
    public static func decode(_ frame: RawSpan) throws(CloseReason) -> Frame {
        let envelope = try scan(frame)
        guard let kind = envelope.kind else { return .unknown }
        switch kind {
        case .deliver: return .deliver(envelope.body)
        case .settle: return .settle(envelope.body)
        case .emit: return .emit(envelope.body)
        case .hello, .welcome, .close, .ping, .pong, .credit, .committed, .settled, .extend, .drain, .runs,
            .claim, .claimed, .finished:
            return .control(try ControlReader.read(kind, frame.extracting(envelope.body)))
        }
    }

    /// The frame of a control message, its length prefix included.
    ///
    /// Texts of `Close` and of refusals are cut at `Limits.text` bytes; a NUL, which no decoder accepts in a
    /// string, is written as U+FFFD.
    public static func encode(_ message: ControlMessage) -> [UInt8] { ControlWriter.frame(message) }

    /// The Close in a frame of any major version: its number and fields are the same in all of them (VR-2), so
    /// that the older side can say why the newer one refused it.
    package static func closeOfAnyMajor(_ frame: RawSpan) -> CloseReason? {
        var offset = 0
        while let field = FieldScan.next(in: frame, at: &offset, end: frame.byteCount) {
            guard field.number == Kind.close.rawValue, field.type == .bytes else { continue }
            guard case .close(let reason)? = try? ControlReader.read(.close, frame.extracting(field.value)) else {
                return nil
            }
            return reason
        }
        return nil
    }

    private struct Scanned {
        var version: UInt32?
        var kind: Kind?
        var body = 0..<0
        var second: Kind?
    }

    private static func scan(_ frame: RawSpan) throws(CloseReason) -> Scanned {
        var found = Scanned()
        var offset = 0
        while offset < frame.byteCount {
            let start = offset
            guard let field = FieldScan.next(in: frame, at: &offset, end: frame.byteCount) else {
                throw CloseReason(.malformedFrame, "The frame is not an Envelope: no protobuf field at byte \(start).")
            }
            if field.number == 1 {
                try note(version: field, in: &found)
            } else if let kind = Kind(rawValue: field.number) {
                guard field.type == .bytes else {
                    throw CloseReason(
                        .malformedFrame, "Field \(field.number) of the Envelope, \(kind.name), is not a message.")
                }
                if found.kind == nil {
                    found.kind = kind
                    found.body = field.value
                } else {
                    found.second = kind
                }
            }
        }
        return try judged(found)
    }

    /// The version is judged where it stands: a frame of another major may follow other rules behind it.
    private static func note(version field: WireField, in found: inout Scanned) throws(CloseReason) {
        guard field.type == .varint, found.version == nil, let version = UInt32(exactly: field.varint) else {
            throw CloseReason(.malformedFrame, "The Envelope's version is not a single 32-bit number.")
        }
        guard ProtocolVersion.major(version) == ProtocolVersion.major(ProtocolVersion.current) else {
            throw CloseReason(
                .unsupportedVersion,
                "A frame of protocol \(ProtocolVersion.text(version)), but this side speaks "
                    + "\(ProtocolVersion.text(ProtocolVersion.current)). Use an SDK and a broker of the same major version."
            )
        }
        found.version = version
    }

    private static func judged(_ found: Scanned) throws(CloseReason) -> Scanned {
        guard found.version != nil else {
            throw CloseReason(
                .unsupportedVersion,
                "A frame without a protocol version. Set Envelope.version to \(ProtocolVersion.current) on every frame."
            )
        }
        if let first = found.kind, let second = found.second {
            throw CloseReason(
                .malformedFrame,
                "An Envelope with two messages, \(first.name) and \(second.name). Send one message per frame.")
        }
        return found
    }
}

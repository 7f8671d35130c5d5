import StagewireModel

/// Bytes to frames without IO. A frame is a big-endian u32 length and then exactly that many bytes; the
/// length is judged before anybody allocates for it.
public struct FrameSplitter: Sendable {
    /// Largest frame accepted now, bytes without the prefix. Grows after the handshake; a caller may lower it
    /// to what the sender's credit allows.
    public var limit: Int

    public init(limit: Int = Limits.handshakeFrame) {
        precondition(limit > 0 && limit <= Limits.ceilingFrame)
        self.limit = limit
    }

    /// The next whole frame that starts at `offset`, nil when more bytes are needed.
    ///
    /// - Returns: the range of the frame's content, behind its prefix; the next prefix starts at its upper bound.
    /// - Throws: `FRAME_TOO_LARGE` as soon as four bytes announce more than `limit`, `MALFORMED_FRAME` for a
    ///   length of zero.
    public func next(in bytes: RawSpan, from offset: Int) throws(CloseReason) -> Range<Int>? {
        precondition(offset >= 0 && offset <= bytes.byteCount)
        guard bytes.byteCount - offset >= Limits.framePrefix else { return nil }
        let prefix = UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
        guard prefix > 0 else {
            throw CloseReason(
                .malformedFrame, "A frame of length 0: every frame holds an Envelope, which at least names its version."
            )
        }
        guard prefix <= UInt32(limit) else { throw Self.refusal(of: prefix, limit: limit) }
        let start = offset + Limits.framePrefix
        let end = start + Int(prefix)
        return end <= bytes.byteCount ? start..<end : nil
    }

    private static func refusal(of prefix: UInt32, limit: Int) -> CloseReason {
        if let stranger = Stranger(prefix: prefix) {
            return CloseReason(
                .frameTooLarge,
                "This looks like \(stranger.name), but the socket speaks the Stagewire protocol: frames of a "
                    + "4-byte big-endian length and one protobuf Envelope. Connect with a Stagewire SDK.")
        }
        return CloseReason(
            .frameTooLarge,
            "A frame of \(prefix) bytes, where at most \(limit) are allowed now. Send smaller batches within the "
                + "credit and the frame limit of Welcome, or check that the length is a big-endian u32.")
    }
}

/// Other protocols whose first four bytes, read as a length, exceed every limit (64 MiB is 04000000 in hex).
private enum Stranger {
    case http
    case tls
    case ssh
    case json

    init?(prefix: UInt32) {
        switch prefix {
        // "GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "PATC", "CONN", "TRAC", "PRI " and a reply's "HTTP".
        case 0x4745_5420, 0x504f_5354, 0x5055_5420, 0x4845_4144, 0x4f50_5449, 0x4445_4c45, 0x5041_5443,
            0x434f_4e4e, 0x5452_4143, 0x5052_4920, 0x4854_5450:
            self = .http
        // A handshake record of SSL 3.0 to TLS 1.3: 22, then the version 3.x.
        case 0x1603_0000...0x1603_04ff: self = .tls
        case 0x5353_482d: self = .ssh
        // An opening brace.
        case 0x7b00_0000...0x7bff_ffff: self = .json
        default: return nil
        }
    }

    var name: String {
        switch self {
        case .http: "HTTP"
        case .tls: "a TLS handshake"
        case .ssh: "SSH"
        case .json: "JSON text"
        }
    }
}

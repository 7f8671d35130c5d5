import Glibc
import StagewireWire

/// A frame that has come.
struct Received {
    /// The Envelope's field, `deliver`; nil when it is not known.
    var kind: String?
    var content: [UInt8]
    var dump: FrameDump
    /// The kind's message.
    var message: FrameLiteral
    var version: UInt64
    /// Monotonic nanoseconds.
    var arrival: UInt64
    var isConsumed = false

    init(_ content: [UInt8], arrival: UInt64) {
        self.content = content
        self.arrival = arrival
        dump = FrameDump(content)
        let literal = dump.literal
        version = literal["version"]?.number ?? 0
        let first = dump.fields.first { $0.name != nil && $0.name != "version" }
        kind = first?.name
        message = first?.name.flatMap { literal[$0] } ?? .object([])
    }

    /// The kind's fields, with their places in the content.
    var fields: [FrameDump.Field] { dump.fields.first { $0.name == kind && kind != nil }?.inner ?? [] }
}

extension FrameDump.Field {
    /// Of a message.
    var inner: [FrameDump.Field] {
        if case .message(let fields) = value { fields } else { [] }
    }
}

extension [FrameDump.Field] {
    func all(_ name: String) -> [FrameDump.Field] { filter { $0.name == name } }
    func first(_ name: String) -> FrameDump.Field? { first { $0.name == name } }
}

/// One connection of a case: the suite's end of it. Bytes in and out without blocking; what they mean is the ledger's.
final class Link {
    let name: String
    private(set) var descriptor: Int32
    private var inbound: [UInt8] = []
    private var inboundOffset = 0
    private var outbound: [UInt8] = []
    private var outboundOffset = 0
    var received: [Received] = []
    /// Bytes of one write; 0: as many as go.
    var fragment = 0
    var isReading = true
    /// The peer closed its side.
    private(set) var isAtEnd = false
    /// The socket broke: the peer is gone.
    private(set) var isBroken = false
    var automatic: Automatic
    var sentClose = false
    /// What is known about the session.
    var worker = WorkerLedger()
    var broker = BrokerLedger()

    init(name: String, descriptor: Int32, automatic: Automatic) {
        self.name = name
        self.descriptor = descriptor
        self.automatic = automatic
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }

    deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

    var isOpen: Bool { descriptor >= 0 }
    var hasOutput: Bool { outboundOffset < outbound.count }
    /// Nothing more will come.
    var isDone: Bool { !isOpen || isAtEnd || isBroken }

    func write(_ bytes: [UInt8]) { outbound += bytes }

    /// Writes what the socket takes.
    func flush() {
        while isOpen, hasOutput, !isBroken {
            let count = fragment > 0 ? min(fragment, outbound.count - outboundOffset) : outbound.count - outboundOffset
            let written = outbound.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + outboundOffset, count, Int32(MSG_NOSIGNAL))
            }
            if written > 0 {
                outboundOffset += written
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                // A peer that has gone may have said why.
                fill()
                isBroken = true
            }
        }
        if !hasOutput {
            outbound.removeAll(keepingCapacity: true)
            outboundOffset = 0
        }
    }

    /// Reads what is there, up to a mebibyte.
    func fill() {
        guard isOpen, !isDone else { return }
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        for _ in 0..<16 {
            let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            if count > 0 {
                inbound += buffer[..<count]
                if count < buffer.count { return }
            } else if count == 0 {
                isAtEnd = true
                return
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                isBroken = true
                return
            }
        }
    }

    /// The next whole frame's content.
    ///
    /// - Throws: what is wrong with its prefix.
    func nextFrame(limit: Int) throws(Stop) -> [UInt8]? {
        guard inbound.count - inboundOffset >= 4 else {
            compact()
            return nil
        }
        let length = inbound[inboundOffset..<inboundOffset + 4].reduce(0) { $0 << 8 | Int($1) }
        guard length > 0 else { throw .fail("a frame of length 0 came", rules: ["FR-2"]) }
        guard length <= limit else {
            let swapped = Int(UInt32(truncatingIfNeeded: length).byteSwapped)
            let hint = swapped <= limit ? " (little-endian it would be \(swapped): lengths are big-endian, FR-1)" : ""
            throw .fail(
                "a frame of \(length) bytes was announced, at most \(limit) are allowed now\(hint)", rules: ["LM-1"])
        }
        guard inbound.count - inboundOffset >= 4 + length else {
            compact()
            return nil
        }
        let content = Array(inbound[inboundOffset + 4..<inboundOffset + 4 + length])
        inboundOffset += 4 + length
        return content
    }

    /// Bytes that came and are no whole frame.
    var leftover: Int { inbound.count - inboundOffset }

    private func compact() {
        guard inboundOffset > 0 else { return }
        inbound.removeFirst(inboundOffset)
        inboundOffset = 0
    }

    func closeWriting() { if isOpen { shutdown(descriptor, Int32(SHUT_WR)) } }

    /// Ends it as a crash does: what is unread is lost for the peer.
    func drop() {
        if isOpen { Glibc.close(descriptor) }
        descriptor = -1
    }
}

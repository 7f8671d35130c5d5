import Glibc
import StagewireModel
import StagewireWire

/// The other end of a connection: a blocking socket, with nothing between the test and the bytes.
final class Peer {
    struct Failure: Error, CustomStringConvertible { var description: String }

    enum Message {
        case control(ControlMessage)
        case deliver(TestDelivery)
    }

    let descriptor: Int32
    private var buffer: [UInt8] = []

    /// Waits no longer than this for bytes, seconds: a test that hangs is a test that says nothing.
    init(_ path: String, patience: Int = 20) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(description: "socket: \(errno)") }
        var timeout = timeval(tv_sec: patience, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &timeout, socklen_t(MemoryLayout<timeval>.size))
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            let code = errno
            close(descriptor)
            throw Failure(description: "connect \(path): \(String(cString: strerror(code)))")
        }
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw Failure(description: "send: \(String(cString: strerror(errno)))") }
            rest = rest.dropFirst(count)
        }
    }

    func send(_ message: ControlMessage) throws { try send(FrameCodec.encode(message)) }

    func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// The next frame's bytes; `nil` at the end of the stream.
    private func nextFrame() throws -> [UInt8]? {
        while true {
            if buffer.count >= 4 {
                let length = buffer[..<4].reduce(0) { $0 << 8 | Int($1) }
                if buffer.count >= 4 + length {
                    defer { buffer.removeFirst(4 + length) }
                    return Array(buffer[4..<(4 + length)])
                }
            }
            guard try fill() else { return nil }
        }
    }

    private func fill() throws -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        if count == 0 || (count < 0 && errno == ECONNRESET) { return false }
        guard count > 0 else { throw Failure(description: "recv: \(String(cString: strerror(errno)))") }
        buffer += chunk[..<count]
        return true
    }

    /// The next message; `nil` at the end of the stream. Pings are answered on the way.
    func receive() throws -> Message? {
        while let frame = try nextFrame() {
            let decoded = try frame.withUnsafeBytes { try FrameCodec.decode(RawSpan(_unsafeBytes: $0)) }
            switch decoded {
            case .control(.ping(let nonce)): try send(.pong(nonce: nonce))
            case .control(let message): return .control(message)
            case .deliver(let range): return .deliver(try TestDelivery(frame[range]))
            case .settle, .emit, .unknown: throw Failure(description: "not for a worker: \(decoded)")
            }
        }
        return nil
    }

    func receiveControl() throws -> ControlMessage {
        guard case .control(let message)? = try receive() else { throw Failure(description: "no control message") }
        return message
    }

    /// Reads on until Close; everything before it is skipped.
    func receiveClose() throws -> CloseReason {
        while let message = try receive() {
            if case .control(.close(let reason)) = message { return reason }
        }
        throw Failure(description: "the stream ended without Close")
    }

    /// The code with which the broker closes, and that the stream then ends.
    func closingCode() throws -> Code? {
        let reason = try receiveClose()
        while try receive() != nil {}
        return Code(rawValue: reason.code)
    }

    func attach(
        _ stage: String, instance: String = "", token: [UInt8] = [], offered: [String] = []
    ) throws -> Welcome {
        var hello = Hello()
        hello.stage = stage
        hello.instance = instance
        hello.token = token
        hello.offered = offered
        hello.language = "swift"
        try send(.hello(hello))
        switch try receiveControl() {
        case .welcome(let welcome): return welcome
        case .close(let reason): throw reason
        default: throw Failure(description: "neither Welcome nor Close")
        }
    }

    /// A Pong means that everything sent before has been processed.
    func barrier(nonce: UInt64 = 7) throws {
        try send(.ping(nonce: nonce))
        try skip(to: .pong(nonce: nonce))
    }

    func skip(to expected: ControlMessage) throws {
        while let message = try receive() {
            if case .control(expected) = message { return }
        }
        throw Failure(description: "the stream ended without \(expected)")
    }
}

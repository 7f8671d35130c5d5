import Glibc
import StagewireModel

/// Calls of the operating system that a connection needs.
enum Socket {
    /// Why there is no connection, in words.
    struct Failure: Error { var message: String }

    /// Bytes that may wait for the broker, where Linux has 208 KiB unless told otherwise: a worker that writes more sleeps
    /// until the broker has read, which then gets small pieces and wakes the worker for each of them. `net.core.wmem_max`
    /// may make it less.
    static let sendBuffer: Int32 = 1024 * 1024

    /// Connects to a Unix stream socket.
    static func connect(_ path: String) throws(Failure) -> Int32 {
        var address = sockaddr_un()
        let room = MemoryLayout.size(ofValue: address.sun_path) - 1
        guard path.utf8.count <= room else {
            throw Failure(
                message: "STAGEWIRE_SOCKET has \(path.utf8.count) bytes, where a socket's path has at most \(room)")
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(message: "cannot open a socket: \(text(errno))") }
        // Without it everything is as right, only slower.
        var buffer = sendBuffer
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &buffer, socklen_t(MemoryLayout<Int32>.size))
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            let code = errno
            Glibc.close(descriptor)
            throw Failure(message: "no broker at \(path): \(text(code))")
        }
        return descriptor
    }

    /// Writes all of it; false when the connection is gone. SIGPIPE is not raised.
    static func write(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var written = 0
            while written < buffer.count {
                let count = send(
                    descriptor, buffer.baseAddress.map { $0 + written }, buffer.count - written, Int32(MSG_NOSIGNAL))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                written += count
            }
            return true
        }
    }

    /// Behind our Close: reads on until the other side hangs up, for so many nanoseconds at most (EN-1). It may be in the
    /// middle of a frame, and has the Close to read.
    static func discard(_ descriptor: Int32, for duration: UInt64) {
        let deadline = Uptime.now + duration
        var scratch = [UInt8](repeating: 0, count: 65_536)
        while Uptime.now < deadline {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&waiting, 1, Int32((deadline - min(deadline, Uptime.now)) / Uptime.millisecond))
            switch scratch.withUnsafeMutableBytes({ read(descriptor, into: $0) }) {
            case .bytes, .nothing: continue
            case .end, .failure: return
            }
        }
    }

    /// Writes all of it to any descriptor; false when that is not possible.
    static func writeFile(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var written = 0
            while written < buffer.count {
                let count = Glibc.write(descriptor, buffer.baseAddress.map { $0 + written }, buffer.count - written)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                written += count
            }
            return true
        }
    }

    /// What a read brought.
    enum Reading {
        case bytes(Int)
        case nothing
        case end
        case failure(String)
    }

    /// Reads what is there, without waiting.
    static func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Reading {
        let count = recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
        if count > 0 { return .bytes(count) }
        if count == 0 { return .end }
        let code = errno
        if code == EAGAIN || code == EINTR { return .nothing }
        return code == ECONNRESET ? .end : .failure(text(code))
    }

    static func text(_ code: Int32) -> String { String(cString: strerror(code)) }
}

/// A pipe that ends a `poll` in another thread, or out of a signal handler.
struct Waker: Sendable {
    let reading: Int32
    let writing: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "no descriptors left: \(Socket.text(errno))")
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        (reading, writing) = (ends[0], ends[1])
    }

    /// A full pipe wakes as well.
    func wake() {
        var byte: UInt8 = 0
        _ = write(writing, &byte, 1)
    }

    func drain() {
        var scratch: [UInt8] = [UInt8](repeating: 0, count: 64)
        while Glibc.read(reading, &scratch, scratch.count) == scratch.count {}
    }
}

/// Nanoseconds of a clock that only goes forward.
enum Uptime {
    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    static let second: UInt64 = 1_000_000_000
    static let millisecond: UInt64 = 1_000_000
}

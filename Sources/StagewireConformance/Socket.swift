import Glibc
import Synchronization

/// Unix stream sockets.
enum Socket {
    /// Held while a descriptor is made that must not reach a child, and while a child is made: between `accept` and
    /// close-on-exec lies a moment in which another case's worker would inherit the connection and keep it open.
    static let inheritance = Mutex(())

    struct Fault: Error { var message: String }

    static func listen(at path: String) throws(Fault) -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Fault(message: "no socket: \(reason())") }
        unlink(path)
        let isBound = try withAddress(path) { bind(descriptor, $0, $1) == 0 }
        guard isBound, Glibc.listen(descriptor, 64) == 0 else {
            let why = reason()
            close(descriptor)
            throw Fault(message: "cannot listen at \(path): \(why)")
        }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        return descriptor
    }

    static func connect(to path: String) throws(Fault) -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Fault(message: "no socket: \(reason())") }
        let isConnected = try withAddress(path) { Glibc.connect(descriptor, $0, $1) == 0 }
        guard isConnected else {
            let why = reason()
            close(descriptor)
            throw Fault(message: "cannot connect to \(path): \(why)")
        }
        return descriptor
    }

    /// The next connection, -1 when there is none.
    static func accept(_ listener: Int32) -> Int32 {
        inheritance.withLock { _ in
            let descriptor = Glibc.accept(listener, nil, nil)
            if descriptor >= 0 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
            return descriptor
        }
    }

    private static func reason() -> String { String(cString: strerror(errno)) }

    private static func withAddress(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Bool
    ) throws(Fault) -> Bool {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw Fault(message: "the path of a socket has at most 107 bytes, not \(bytes.count): \(path)")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}

/// Monotonic nanoseconds.
func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

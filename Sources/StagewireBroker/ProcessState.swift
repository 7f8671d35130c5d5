import Glibc

/// What the kernel says of a process.
enum ProcessState {
    /// Whether it is stopped, by SIGSTOP or because it wanted something of the terminal in the background.
    static func isStopped(_ pid: pid_t) -> Bool {
        let descriptor = open("/proc/\(pid)/stat", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 128)
        let count = read(descriptor, &bytes, bytes.count)
        // "pid (name) state ...": the name may contain anything, a parenthesis too, and has at most 16 bytes.
        guard count > 0, let end = bytes[..<count].lastIndex(of: UInt8(ascii: ")")), end + 2 < count else {
            return false
        }
        return bytes[end + 2] == UInt8(ascii: "T")
    }
}

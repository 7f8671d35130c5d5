import Glibc
import StagewireWire

/// Who asks, as the kernel names them: for the permission, and for the log.
struct ControlCaller {
    var credentials: PeerCredentials
    var userName: String?

    /// The broker's own user and root. The socket's mode says the same; this holds although somebody changes it.
    var isPermitted: Bool { credentials.uid == geteuid() || credentials.uid == 0 }

    /// "root (uid 0), process 4242 (stagewire)". A process that is gone, or in another namespace, has no name.
    var description: String {
        let user = userName.map { "\($0) (uid \(credentials.uid))" } ?? "uid \(credentials.uid)"
        guard credentials.pid > 0 else { return user }
        let program = Self.program(credentials.pid).map { " (\($0))" } ?? ""
        return "\(user), process \(credentials.pid)\(program)"
    }

    /// The kernel keeps 15 bytes, which the process itself may choose: nothing of it may command a terminal.
    private static func program(_ pid: Int32) -> String? {
        let descriptor = open("/proc/\(pid)/comm", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return nil }
        let name = bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }
        return Text.escaped(String(decoding: name, as: UTF8.self))
    }

    /// Names of the users who are permitted. Looking one up may ask a directory service and block, so it is done
    /// once, before the event loop has work to do.
    static func permittedNames() -> [UInt32: String] {
        var names: [UInt32: String] = [:]
        for uid in [geteuid(), 0] {
            var entry = passwd()
            var found: UnsafeMutablePointer<passwd>?
            var memory = [CChar](repeating: 0, count: 16 * 1024)
            guard getpwuid_r(uid, &entry, &memory, memory.count, &found) == 0, found != nil else { continue }
            names[uid] = String(cString: entry.pw_name)
        }
        return names
    }
}

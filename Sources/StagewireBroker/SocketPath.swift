import Glibc

/// Where brokers listen when nobody says otherwise, and commands look for them.
public enum StandardPlace {
    /// `$XDG_RUNTIME_DIR/stagewire`, or `/tmp/stagewire-<uid>`.
    public static func directory(environment: [String: String]) -> String {
        if let runtime = environment["XDG_RUNTIME_DIR"], runtime.hasPrefix("/") { return "\(runtime)/stagewire" }
        return "/tmp/stagewire-\(geteuid())"
    }

    /// The workers' socket of a pipeline: `<directory>/<pipeline>.sock`.
    public static func socketPath(pipeline: String, environment: [String: String]) -> String {
        SocketPath.standard(pipeline: pipeline, environment: environment)
    }
}

/// Where a broker listens: a path in a directory that nobody else can write to.
///
/// Two brokers that start at once on one path are kept apart by a lock on the directory, held from the
/// probe until the socket is bound: else both could find a stale socket and one would unlink the other's.
struct SocketPath {
    /// `sockaddr_un.sun_path` holds 108 bytes, the last of which is the terminator.
    static let longest = 107
    /// Connections that the kernel keeps until they are accepted.
    private static let backlog: Int32 = 256

    let path: String
    private let directory: String

    init(_ path: String) throws(EnvironmentError) {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw EnvironmentError("the socket path is empty or contains a zero byte")
        }
        guard path.utf8.count <= Self.longest else {
            throw EnvironmentError(
                "the socket path \(path) has \(path.utf8.count) bytes; Unix sockets allow \(Self.longest). "
                    + "Give a shorter one with --socket")
        }
        self.path = path
        directory = Self.parent(of: path)
    }

    /// `$XDG_RUNTIME_DIR/stagewire/<pipeline>.sock`, or `/tmp/stagewire-<uid>/<pipeline>.sock`.
    static func standard(pipeline: String, environment: [String: String]) -> String {
        "\(StandardPlace.directory(environment: environment))/\(pipeline).sock"
    }

    /// Relative paths start at the broker's working directory.
    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let current = getcwd(nil, 0) else { return path }
        defer { free(current) }
        let relative = path.hasPrefix("./") ? path.dropFirst(2) : path[...]
        return String(cString: current) + "/" + relative
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Creates the directory if it is missing, removes a socket that nobody listens on, and listens: all while
    /// no other broker can do the same. Returns the socket, which the caller closes and `release`s.
    /// - Parameter mode: who may connect; `nil`: as the process's umask has it.
    func claim(mode: mode_t? = nil) throws(EnvironmentError) -> (descriptor: Int32, identity: Identity?) {
        try createDirectory()
        let directory = Glibc.open(self.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw EnvironmentError("cannot open \(self.directory)", errno: errno) }
        defer { close(directory) }
        try checkPrivacy(directory)
        guard flock(directory, LOCK_EX) == 0 else {
            throw EnvironmentError("cannot lock \(self.directory)", errno: errno)
        }
        try removeStale()
        return (try listen(mode: mode), identity())
    }

    /// Bound here and not by NIO, which removes whatever stands at the path when it closes a socket that it has
    /// bound itself: a successor's socket, too.
    private func listen(mode: mode_t?) throws(EnvironmentError) -> Int32 {
        let descriptor = try open()
        // Before it has a name, so that it never has another mode than this one: Linux makes the file after the socket.
        if let mode { fchmod(descriptor, mode) }
        guard withAddress({ bind(descriptor, $0, $1) }) == 0, Glibc.listen(descriptor, Self.backlog) == 0 else {
            let code = errno
            close(descriptor)
            throw EnvironmentError("cannot listen on \(path)", errno: code)
        }
        return descriptor
    }

    /// Not blocking: neither serving nor probing may hold anybody up.
    private func open() throws(EnvironmentError) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { throw EnvironmentError("cannot open a socket", errno: errno) }
        return descriptor
    }

    private func withAddress(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    private func createDirectory() throws(EnvironmentError) {
        var ancestors: [String] = []
        var current = directory
        while mkdir(current, 0o700) != 0 {
            switch errno {
            case EEXIST: break
            case ENOENT where current != "/" && current != ".":
                ancestors.append(current)
                current = Self.parent(of: current)
                continue
            default: throw EnvironmentError("cannot create the directory \(current) for the socket", errno: errno)
            }
            break
        }
        for missing in ancestors.reversed() where mkdir(missing, 0o700) != 0 && errno != EEXIST {
            throw EnvironmentError("cannot create the directory \(missing) for the socket", errno: errno)
        }
    }

    /// Whoever may write to the directory may put another socket in place of ours and be taken for the
    /// broker. The sticky bit, as on `/tmp`, prevents that.
    private func checkPrivacy(_ descriptor: Int32) throws(EnvironmentError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw EnvironmentError("cannot examine \(directory)", errno: errno)
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw EnvironmentError(
                "the socket's directory \(directory) belongs to user \(status.st_uid), who could replace the socket. "
                    + "Give another path with --socket")
        }
        guard status.st_mode & 0o022 == 0 || status.st_mode & S_ISVTX != 0 else {
            throw EnvironmentError(
                "the socket's directory \(directory) can be written by others, who could replace the socket. "
                    + "Run `chmod 700 \(directory)` or give another path with --socket")
        }
    }

    private func removeStale() throws(EnvironmentError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw EnvironmentError("cannot examine \(path)", errno: errno)
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw EnvironmentError("\(path) exists and is not a socket; remove it or give another path with --socket")
        }
        switch try probe() {
        case 0, EAGAIN, EINPROGRESS:
            throw EnvironmentError(
                "the socket \(path) is in use: another broker runs this pipeline. "
                    + "Stop it, or give another path with --socket")
        case ECONNREFUSED, ENOENT: break
        case let code: throw EnvironmentError("cannot find out whether \(path) is in use", errno: code)
        }
        guard unlink(path) == 0 || errno == ENOENT else {
            throw EnvironmentError("cannot remove the stale socket \(path)", errno: errno)
        }
    }

    /// Zero when somebody listens at the path, else the error number of the attempt to connect. EAGAIN means
    /// a broker whose backlog is full.
    private func probe() throws(EnvironmentError) -> Int32 {
        let descriptor = try open()
        defer { close(descriptor) }
        return withAddress { connect(descriptor, $0, $1) } == 0 ? 0 : errno
    }

    /// What the path names right now: to unlink, at the end, our own socket and no successor's.
    func identity() -> Identity? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    func release(_ bound: Identity) {
        if identity() == bound { unlink(path) }
    }

    struct Identity: Equatable, Sendable {
        var device: UInt64
        var inode: UInt64
    }
}

import Glibc

/// A process under test, in a process group of its own. Its standard error (and output) is kept, the end of it.
final class ChildProcess {
    enum End: Equatable {
        case exited(Int32)
        case signalled(Int32)
    }

    /// Bytes of standard error that are kept.
    private static let kept = 64 * 1024

    let id: pid_t
    private(set) var output: Int32
    private(set) var text: [UInt8] = []
    private(set) var end: End?
    private var isReaped = false

    /// - Parameter command: program and arguments; the program is looked up in PATH.
    init(_ command: [String], environment: [String: String], directory: String?) throws(Socket.Fault) {
        // There is no portable way to change the directory between fork and exec.
        let words = directory.map { ["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", $0] + command } ?? command
        let (child, end, failure) = Socket.inheritance.withLock { _ in Self.spawn(words, environment) }
        guard failure == 0 else {
            throw Socket.Fault(message: "cannot start \(command[0]): \(String(cString: strerror(failure)))")
        }
        id = child
        output = end
        _ = fcntl(output, F_SETFL, O_NONBLOCK)
    }

    /// - Returns: the process, our end of its output, and 0 or what went wrong.
    private static func spawn(_ words: [String], _ environment: [String: String]) -> (pid_t, Int32, Int32) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return (0, -1, errno) }
        defer { Glibc.close(ends[1]) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
        var attributes = attributes()
        defer { posix_spawnattr_destroy(&attributes) }
        var child: pid_t = 0
        let failure = withStrings(words) { arguments in
            withStrings(environment.map { "\($0.key)=\($0.value)" }) { variables in
                posix_spawnp(&child, words[0], &actions, &attributes, arguments, variables)
            }
        }
        if failure != 0 { Glibc.close(ends[0]) }
        return (child, ends[0], failure)
    }

    /// A process group of its own, and the signals as a shell would give them: the suite itself ignores SIGPIPE.
    private static func attributes() -> posix_spawnattr_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        posix_spawnattr_setpgroup(&attributes, 0)
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigaddset(&signals, SIGPIPE)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        let flags = Int32(POSIX_SPAWN_SETPGROUP) | Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF)
        posix_spawnattr_setflags(&attributes, Int16(flags))
        return attributes
    }

    private static func withStrings(
        _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Int32
    ) -> Int32 {
        var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        return body(pointers)
    }

    /// Takes what it has written.
    func read() {
        guard output >= 0 else { return }
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(output, $0.baseAddress, $0.count) }
            if count > 0 {
                text += buffer[..<count]
                if text.count > 2 * Self.kept { text.removeFirst(text.count - Self.kept) }
            } else if count < 0 && errno == EINTR {
                continue
            } else {
                if count == 0 {
                    Glibc.close(output)
                    output = -1
                }
                return
            }
        }
    }

    var standardError: String { String(decoding: text.suffix(Self.kept), as: UTF8.self) }

    /// Whether it has ended, without waiting. It stays a zombie until `destroy`, so that its number means nobody else.
    func poll() -> End? {
        guard end == nil else { return end }
        var info = siginfo_t()
        guard waitid(P_PID, id_t(id), &info, WEXITED | WNOHANG | WNOWAIT) == 0, info._sifields._sigchld.si_pid == id
        else { return nil }
        let status = info._sifields._sigchld.si_status
        end = info.si_code == Int32(CLD_EXITED) ? .exited(status) : .signalled(status & 0x7f)
        read()
        return end
    }

    func signal(_ number: Int32) { if poll() == nil { kill(id, number) } }

    /// Ends it and whatever it started that is still in its group.
    func destroy() {
        guard !isReaped else { return }
        kill(-id, SIGKILL)
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0, errno == EINTR {}
        isReaped = true
        end = end ?? .signalled(SIGKILL)
        read()
        if output >= 0 { Glibc.close(output) }
        output = -1
    }
}

extension ChildProcess.End: CustomStringConvertible {
    var description: String {
        switch self {
        case .exited(let code): "exited with \(code)"
        case .signalled(let number): "was ended by signal \(number)"
        }
    }
}

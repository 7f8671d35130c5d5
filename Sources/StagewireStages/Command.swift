import Glibc
import Synchronization

/// One run of an executable: bytes in, bytes out, and how it ended. Blocks its thread, which has to
/// be one of its own.
struct Command {
    enum Ending: Equatable {
        case exited(Int32)
        case killed(Int32)
        case overdue
        case cancelled
        /// It printed more than `mostOutput`.
        case tooMuch
    }

    struct Result {
        var ending: Ending
        var output: [UInt8]
    }

    /// The program could not be started.
    struct NotStarted: Error { var message: String }

    var arguments: [String]
    /// `NAME=value`
    var environment: [String]
    var input: [UInt8]
    /// False: what it prints goes to our standard error.
    var readsOutput: Bool
    /// Bytes; more of it ends the run.
    var mostOutput: Int
    /// Nanoseconds.
    var timeout: UInt64
    var grace: UInt64

    /// - Parameter isCancelled: looked at every few milliseconds; true ends the run.
    func run(isCancelled: () -> Bool) throws(NotStarted) -> Result {
        // A command that reads no further is no reason to die: SIGPIPE stays pending on this thread, which ends.
        var broken = sigset_t()
        sigemptyset(&broken)
        sigaddset(&broken, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &broken, nil)
        let toChild = try CommandPipe()
        let fromChild: CommandPipe
        do { fromChild = try CommandPipe() } catch {
            toChild.close()
            throw error
        }
        let pid: pid_t
        do { pid = try start(toChild.reading, fromChild.writing) } catch {
            toChild.close()
            fromChild.close()
            throw error
        }
        Glibc.close(toChild.reading)
        Glibc.close(fromChild.writing)
        var exchange = Exchange(self, pid, writing: toChild.writing, reading: fromChild.reading)
        return exchange.run(isCancelled)
    }

    private func start(_ input: Int32, _ output: Int32) throws(NotStarted) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, 0)
        posix_spawn_file_actions_adddup2(&actions, readsOutput ? output : 2, 1)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A process group of its own, so that its children end with it; no signal handling of ours.
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var pid = pid_t()
        let status = withCStrings(arguments) { arguments in
            withCStrings(environment) { variables in
                posix_spawnp(&pid, arguments[0]!, &actions, &attributes, arguments, variables)
            }
        }
        guard status == 0 else {
            throw NotStarted(message: "cannot start \(arguments[0]): \(String(cString: strerror(status)))")
        }
        return pid
    }

    private func withCStrings<Value>(
        _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Value
    ) -> Value {
        var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
    }
}

/// A pipe that children do not inherit, but for the ends that become their standard ones.
private struct CommandPipe {
    let reading: Int32
    let writing: Int32

    init() throws(Command.NotStarted) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw Command.NotStarted(message: "cannot open a pipe: \(String(cString: strerror(errno)))")
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (reading, writing) = (ends[0], ends[1])
    }

    func close() {
        Glibc.close(reading)
        Glibc.close(writing)
    }
}

/// The life of a started command: feeds it, reads it, ends it when it has to be, and reaps it.
private struct Exchange {
    private static let tick: Int32 = 20
    private static let chunk = 65_536

    private let command: Command
    private let pid: pid_t
    private var writing: Int32
    private var reading: Int32
    private var written = 0
    private var output: [UInt8] = []
    /// Why it is being ended by us.
    private var verdict: Command.Ending?
    private let deadline: UInt64
    private var killAt = UInt64.max
    private var status: Int32?

    init(_ command: Command, _ pid: pid_t, writing: Int32, reading: Int32) {
        self.command = command
        self.pid = pid
        self.writing = writing
        self.reading = reading
        deadline = Self.now + command.timeout
        _ = fcntl(writing, F_SETFL, O_NONBLOCK)
        _ = fcntl(reading, F_SETFL, O_NONBLOCK)
    }

    private static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    mutating func run(_ isCancelled: () -> Bool) -> Command.Result {
        if command.input.isEmpty { closeInput() }
        while status == nil || reading >= 0 {
            wait()
            feed()
            drain()
            reap()
            if verdict == nil, Self.now >= deadline { end(.overdue) }
            if verdict == nil, isCancelled() { end(.cancelled) }
            if Self.now >= killAt { signalGroup(SIGKILL) }
        }
        closeInput()
        return Command.Result(ending: verdict ?? Self.ending(status ?? 0), output: output)
    }

    private func wait() {
        var waiting = [
            pollfd(fd: reading, events: Int16(POLLIN), revents: 0),
            pollfd(fd: writing, events: Int16(POLLOUT), revents: 0),
        ]
        // With both ends closed nothing is left to wait for but the end, which comes at once as a rule.
        let isEnding = reading < 0
        _ = poll(&waiting, 2, isEnding ? 1 : Self.tick)
    }

    private mutating func feed() {
        guard writing >= 0 else { return }
        command.input.withUnsafeBytes { input in
            while written < input.count {
                let count = write(writing, input.baseAddress! + written, input.count - written)
                if count < 0, errno == EAGAIN || errno == EINTR { return }
                // It reads no further: its exit code says what that means.
                if count < 0 { written = input.count } else { written += count }
            }
        }
        if written == command.input.count { closeInput() }
    }

    private mutating func drain() {
        guard reading >= 0 else { return }
        var buffer = [UInt8](repeating: 0, count: Self.chunk)
        while true {
            let count = read(reading, &buffer, buffer.count)
            if count < 0, errno == EAGAIN || errno == EINTR { return }
            guard count > 0 else { break }
            guard output.count + count <= command.mostOutput else {
                end(.tooMuch)
                break
            }
            output.append(contentsOf: buffer[..<count])
        }
        close(reading)
        reading = -1
    }

    /// What the command left behind in its group ends with it: it would hold our pipes.
    private mutating func reap() {
        guard status == nil else { return }
        var raw: Int32 = 0
        guard waitpid(pid, &raw, WNOHANG) == pid else { return }
        status = raw
        kill(-pid, SIGKILL)
    }

    private mutating func end(_ reason: Command.Ending) {
        verdict = reason
        signalGroup(SIGTERM)
        killAt = Self.now + command.grace
    }

    /// Not once it is reaped: its number may belong to somebody else then.
    private func signalGroup(_ number: Int32) { if status == nil { kill(-pid, number) } }

    private mutating func closeInput() {
        guard writing >= 0 else { return }
        close(writing)
        writing = -1
    }

    private static func ending(_ status: Int32) -> Command.Ending {
        let signal = status & 0x7f
        return signal == 0 ? .exited(status >> 8 & 0xff) : .killed(signal)
    }
}

import Glibc
import NIOCore
import NIOPosix
import StagewireWire

/// One running worker: a process group, its two output pipes, and the news of its end. Confined to the event
/// loop; a thread of `reapers` waits for the process.
final class WorkerProcess {
    /// After the process is gone, its last lines get this long to arrive.
    static let lastWords = TimeAmount.milliseconds(250)

    struct Exit: Equatable {
        var status: ExitStatus
        /// The last lines that it printed.
        var lines: [String]
    }

    let pid: pid_t
    private let output: WorkerOutput
    private var isReaped = false

    private init(pid: pid_t, output: WorkerOutput) {
        self.pid = pid
        self.output = output
    }

    /// Starts `command`; `show` gets its lines, escaped, and `exit` is called once, when it has ended, been
    /// reaped, and the rest of its group killed.
    static func start(
        command: [String], directory: String, environment: [String], loop: any EventLoop, reapers: NIOThreadPool,
        show: @escaping (String) -> Void, exit: @escaping (Exit) -> Void
    ) throws(EnvironmentError) -> WorkerProcess {
        let standardOutput = try Pipe()
        let standardError = try Pipe()
        let request = SpawnRequest(
            command: command, directory: directory, environment: environment,
            output: standardOutput.writing, error: standardError.writing)
        defer {
            close(standardOutput.writing)
            close(standardError.writing)
        }
        let pid: pid_t
        do {
            pid = try request.start()
        } catch {
            close(standardOutput.reading)
            close(standardError.reading)
            throw error
        }
        let output = WorkerOutput(show: show)
        let ends = output.attach([standardOutput.reading, standardError.reading], to: loop) {
            Text.escaped(String(decoding: $0, as: UTF8.self))
        }
        let process = WorkerProcess(pid: pid, output: output)
        reapers.runIfActive(eventLoop: loop) { ExitStatus.await(pid) }.assumeIsolated().whenSuccess {
            process.ended(loop: loop, outputEnds: ends, exit: exit)
        }
        return process
    }

    /// Signals the whole group. Does nothing once the process has been reaped, for then its number may belong
    /// to somebody else.
    func signal(_ number: Int32) {
        if !isReaped { kill(-pid, number) }
    }

    /// The process is a zombie. What it left behind in its group must not outlive it: it would hold the
    /// worker's pipes, perhaps its socket.
    private func ended(loop: any EventLoop, outputEnds: EventLoopFuture<Void>, exit: @escaping (Exit) -> Void) {
        signal(SIGKILL)
        let status = ExitStatus.reap(pid)
        isReaped = true
        var report: (() -> Void)? = { [output] in
            output.close()
            exit(Exit(status: status, lines: output.tail))
        }
        let once = {
            report?()
            report = nil
        }
        let patience = loop.assumeIsolated().scheduleTask(in: Self.lastWords, once)
        outputEnds.assumeIsolated().whenComplete { _ in
            patience.cancel()
            once()
        }
    }

    /// A pipe whose ends are closed on exec. Without `pipe2` there is a moment in which another thread's fork
    /// could inherit them; our own children close everything but the standard three anyway.
    private struct Pipe {
        let reading: CInt
        let writing: CInt

        init() throws(EnvironmentError) {
            var ends: [CInt] = [-1, -1]
            guard pipe(&ends) == 0 else { throw EnvironmentError("cannot open a pipe for a worker", errno: errno) }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            (reading, writing) = (ends[0], ends[1])
        }
    }
}

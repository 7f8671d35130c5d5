import Glibc
import NIOCore
import NIOPosix
import StagewireModel

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
    /// The process group, or the process alone when it shares the broker's group.
    private let target: Guardian.Target
    private let output: WorkerOutput
    private let guardian: Guardian
    private var isReaped = false

    private init(pid: pid_t, target: Guardian.Target, output: WorkerOutput, guardian: Guardian) {
        self.pid = pid
        self.target = target
        self.output = output
        self.guardian = guardian
    }

    /// Where a process comes from and whom its news go to.
    struct Surroundings {
        var loop: any EventLoop
        var reapers: NIOThreadPool
        var guardian: Guardian
        var show: WorkerOutput.Show
        /// Called once, when the process has ended, been reaped, and the rest of its group killed.
        var exit: (Exit) -> Void
    }

    /// Starts `launch.command` in `directory`. On the event loop and nowhere else: the kernel ends a worker when the
    /// *thread* that started it ends, and the loop's lives as long as the broker.
    static func start(
        _ launch: Launch, directory: String, environment: [String], in surroundings: Surroundings
    ) throws(EnvironmentError) -> WorkerProcess {
        surroundings.loop.preconditionInEventLoop()
        let pipes = try WorkerPipes(streams: launch.standardStreams)
        let request = SpawnRequest(
            command: launch.command, directory: directory, environment: environment,
            hasOwnInput: launch.standardStreams.hasInput, output: pipes.output?.writing, error: pipes.error.writing,
            limits: launch.limits)
        defer { pipes.closeWriting() }
        let pid: pid_t
        do {
            pid = try request.start()
        } catch {
            pipes.closeReading()
            throw error
        }
        let target: Guardian.Target = request.sharesGroup ? .process(pid) : .group(pid)
        surroundings.guardian.add(target)
        let output = WorkerOutput(show: surroundings.show)
        let ends = output.attach(pipes.sources, to: surroundings.loop)
        let process = WorkerProcess(pid: pid, target: target, output: output, guardian: surroundings.guardian)
        surroundings.reapers.runIfActive(eventLoop: surroundings.loop) { ExitStatus.await(pid) }.assumeIsolated()
            .whenSuccess { process.ended(loop: surroundings.loop, outputEnds: ends, exit: surroundings.exit) }
        return process
    }

    /// Whether somebody has stopped it, as by SIGSTOP: then it does nothing at all.
    var isStopped: Bool { !isReaped && ProcessState.isStopped(pid) }

    /// Signals the whole group. Does nothing once the process has been reaped, for then its number may belong
    /// to somebody else.
    func signal(_ number: Int32) {
        if !isReaped { target.signal(number) }
    }

    /// The process is a zombie. What it left behind in its group must not outlive it: it would hold the
    /// worker's pipes, perhaps its socket.
    private func ended(loop: any EventLoop, outputEnds: EventLoopFuture<Void>, exit: @escaping (Exit) -> Void) {
        signal(SIGKILL)
        guardian.remove(target)
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
}

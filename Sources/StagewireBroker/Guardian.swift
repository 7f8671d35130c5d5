import CWorkerHost
import Glibc
import Logging
import NIOCore
import NIOPosix

/// Sees to it that nothing of a broker outlives it, not even when it is killed: a tiny process, forked from the broker,
/// knows its workers' process groups and its socket files. When the broker is gone for whatever reason, it ends the
/// former and removes the latter. What it does is in `CWorkerHost/guardian.c`. Confined to the event loop.
final class Guardian {
    /// What `kill` takes: a process group, or one process of a group that is not ours alone.
    enum Target: Hashable {
        case group(pid_t)
        case process(pid_t)

        func signal(_ number: Int32) { kill(self.number, number) }

        fileprivate var number: Int32 {
            switch self {
            case .group(let leader): -leader
            case .process(let pid): pid
            }
        }
    }

    private struct Socket: Equatable {
        var path: String
        var identity: SocketPath.Identity
    }

    private enum Phase {
        /// Not started yet, or died and is to be replaced when the time has come.
        case absent
        case running(pid: pid_t, channel: Int32)
        case stopped
    }

    /// From SIGTERM to SIGKILL for what the broker left behind.
    static let grace: Int32 = 5000
    /// One that dies is replaced at once, unless the last one was replaced less than this ago.
    private static let pause = TimeAmount.seconds(10)
    /// One that has nothing left to do ends at once, unless somebody has stopped it.
    private static let patience = TimeAmount.seconds(1)

    private let loop: any EventLoop
    private let logger: Logger
    private let reaper = NIOThreadPool(numberOfThreads: 1)
    private var phase = Phase.absent
    private var targets: Set<Target> = []
    private var sockets: [Socket] = []
    /// Uptime, nanoseconds; zero: never.
    private var replacedAt: UInt64 = 0
    private var gone: EventLoopPromise<Void>?

    init(loop: any EventLoop, logger: Logger) {
        self.loop = loop
        self.logger = logger
        reaper.start()
    }

    /// The guardian's process id, while there is one.
    var pid: pid_t? {
        if case .running(let pid, _) = phase { pid } else { nil }
    }

    // MARK: What it looks after

    /// To be called right after the start, and `remove` before the process is reaped: then the number is never
    /// somebody else's.
    func add(_ target: Target) {
        targets.insert(target)
        tell(target, SW_GUARD_ADD_TARGET)
    }

    func remove(_ target: Target) {
        targets.remove(target)
        tell(target, SW_GUARD_REMOVE_TARGET)
    }

    /// A socket that `SocketPath.claim` has bound. `remove` follows `SocketPath.release`.
    func add(socket path: SocketPath, _ identity: SocketPath.Identity) {
        let socket = Socket(path: path.path, identity: identity)
        sockets.append(socket)
        tell(socket, SW_GUARD_ADD_SOCKET)
    }

    func remove(socket path: SocketPath, _ identity: SocketPath.Identity) {
        let socket = Socket(path: path.path, identity: identity)
        sockets.removeAll { $0 == socket }
        tell(socket, SW_GUARD_REMOVE_SOCKET)
    }

    private func tell(_ target: Target, _ verb: sw_guard_verb) {
        var message = sw_guard_message()
        message.verb = Int32(verb.rawValue)
        message.target = target.number
        tell(message)
    }

    private func tell(_ socket: Socket, _ verb: sw_guard_verb) {
        var message = sw_guard_message()
        message.verb = Int32(verb.rawValue)
        message.device = socket.identity.device
        message.inode = socket.identity.inode
        withUnsafeMutableBytes(of: &message.path) { $0.copyBytes(from: socket.path.utf8) }
        tell(message)
    }

    /// One that does not take a message is of no use any more: its end makes a place for another one.
    private func tell(_ message: sw_guard_message) {
        guard case .running(let pid, let channel) = phase else { return }
        var message = message
        if !sw_guard_tell(channel, &message) { kill(pid, SIGKILL) }
    }

    // MARK: Its life

    /// Without a guardian the broker works as well, as long as nobody kills it: a warning has to do.
    func start() {
        guard case .absent = phase else { return }
        var channel: Int32 = -1
        let pid = sw_guard_start(Self.grace, &channel)
        guard pid > 0 else {
            logger.warning(
                "no guardian: \(SystemMessage.text(errno)). If the broker is killed, its workers may outlive it")
            return retry()
        }
        phase = .running(pid: pid, channel: channel)
        for target in targets { tell(target, SW_GUARD_ADD_TARGET) }
        for socket in sockets { tell(socket, SW_GUARD_ADD_SOCKET) }
        reaper.runIfActive(eventLoop: loop) { ExitStatus.await(pid) }.assumeIsolated().whenSuccess { [self] in ended() }
    }

    private func ended() {
        guard case .running(let pid, let channel) = phase else {
            preconditionFailure("there is one at most")
        }
        let status = ExitStatus.reap(pid)
        close(channel)
        if let gone {
            phase = .stopped
            if !status.isSuccess { logger.warning("the guardian of this broker \(status)") }
            return gone.succeed(())
        }
        phase = .absent
        logger.warning("the guardian of this broker \(status); another one takes its place")
        let now = Clock.uptime()
        guard replacedAt == 0 || now - replacedAt >= UInt64(Self.pause.nanoseconds) else { return retry() }
        replacedAt = now
        start()
    }

    private func retry() {
        loop.assumeIsolated().scheduleTask(in: Self.pause) { [weak self] in self?.start() }
    }

    /// The orderly end: there is nothing left to look after. The future completes when the guardian is gone.
    func stop() -> EventLoopFuture<Void> {
        precondition(gone == nil, "a guardian stops once")
        let promise = loop.makePromise(of: Void.self)
        gone = promise
        switch phase {
        case .running(let pid, let channel):
            // Not closed yet: its number must not be given to another descriptor before `ended` closes it.
            shutdown(channel, Int32(SHUT_RDWR))
            let overdue = after(Self.patience) { kill(pid, SIGKILL) }
            promise.futureResult.assumeIsolated().whenComplete { _ in overdue.cancel() }
        case .absent, .stopped:
            phase = .stopped
            promise.succeed(())
        }
        return promise.futureResult.flatMap { [loop, reaper] in
            let finished = loop.makePromise(of: Void.self)
            reaper.shutdownGracefully { _ in finished.succeed(()) }
            return finished.futureResult
        }
    }

    private func after(_ delay: TimeAmount, _ action: @escaping () -> Void) -> Scheduled<Void> {
        loop.assumeIsolated().scheduleTask(in: delay, action)
    }
}

import Logging
import NIOCore
import NIOPosix
import StagewireControl
import StagewireModel
import StagewireRouter

/// A pipeline's broker: listens on a Unix socket, starts the pipeline's workers and routes records among them.
///
/// One event loop, on one thread, owns everything behind this class.
public final class Broker: Sendable {
    public struct Settings: Sendable {
        /// `nil`: `SocketPath.standard`.
        public var socketPath: String?
        /// Where commands of stages without a directory of their own run: the pipeline file's directory.
        public var directory: String
        /// Where durable state lies; `nil`: `<directory>/.stagewire/<pipeline>`.
        public var stateDirectory: String?
        /// What the state has to do for stages that the pipeline does not have any more is given up.
        public var discardsRemoved = false
        /// Sources that finish do not end the run; only `drain` or `abandon` does.
        public var keepRunning = false
        /// `stagewire` itself, which is also the worker of built-in stages. The link of a running process names its
        /// program even when a newer one has taken its place.
        public var program = "/proc/self/exe"
        /// What workers inherit, without `STAGEWIRE_` variables.
        public var environment: [String: String]
        var timing = HostTiming()
        /// How long a client of the control API may take for a request, and for its answer.
        var controlPatience = ControlLimits.patience

        public init(directory: String, environment: [String: String]) {
            self.directory = directory
            self.environment = environment
        }
    }

    /// Where workers connect: absolute, for they may have another working directory.
    public let socketPath: String
    /// Where the control API answers: beside it.
    public let controlPath: String
    /// Where durable state lies; `nil` with `durability: memory`.
    public let statePath: String?
    private let logger: Logger
    private let path: SocketPath
    let group: MultiThreadedEventLoopGroup
    let lifecycle: NIOLoopBound<Lifecycle>
    private let report: EventLoopFuture<RunReport>

    /// Binds the workers' socket and the control API's. Blocks for the moment that it takes; no worker runs before
    /// `start`.
    ///
    /// - Throws: `EnvironmentError` when one of them cannot be bound.
    public init(_ pipeline: PipelineDefinition, _ settings: Settings, logger: Logger) throws {
        let chosen =
            settings.socketPath ?? SocketPath.standard(pipeline: pipeline.name, environment: settings.environment)
        path = try SocketPath(SocketPath.absolute(chosen))
        socketPath = path.path
        controlPath = ControlAPI.socketPath(besides: path.path)
        self.logger = logger
        let state = Self.stateDirectory(pipeline, settings)
        statePath = state?.path
        // Here and not in the command: what a broker promises to hold open is its own affair, and the host gives the
        // workers the original limit back.
        _ = FileLimit.original
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let promise = loop.makePromise(of: RunReport.self)
        report = promise.futureResult
        let path = path
        lifecycle = try loop.submit {
            var options = Router.Options()
            options.keepRunning = settings.keepRunning
            options.owner = geteuid()
            options.isRecording = state != nil
            let restart = try state.map { try Restart($0, pipeline, settings, logger: logger, loop: loop) }
            let switchboard = Switchboard(
                pipeline, options: options, recovered: restart?.recovered, journal: restart?.journal, loop: loop)
            let environment = WorkerEnvironment(inherited: settings.environment, socketPath: path.path)
            let guardian = Guardian(loop: loop, logger: logger)
            guardian.start()
            let host = Host(
                pipeline, directory: settings.directory, program: settings.program, environment: environment,
                timing: settings.timing,
                guardian: guardian, loop: loop, logger: logger)
            let lifecycle = Lifecycle(
                pipeline, socketPath: path.path, switchboard: switchboard, host: host, guardian: guardian,
                report: promise, logger: logger)
            return NIOLoopBound(lifecycle, eventLoop: loop)
        }.wait()
        do {
            try listen(loop)
            try listenForControl(pipeline, settings, loop)
        } catch {
            try? loop.flatSubmit { [lifecycle] in lifecycle.value.guardian.stop() }.wait()
            promise.fail(error)
            try? group.syncShutdownGracefully()
            throw error
        }
    }

    private static func stateDirectory(_ pipeline: PipelineDefinition, _ settings: Settings) -> StateDirectory? {
        guard pipeline.durability != .memory else { return nil }
        let chosen =
            settings.stateDirectory
            ?? StateDirectory.standard(pipeline: pipeline.name, directory: settings.directory)
        return StateDirectory(path: SocketPath.absolute(chosen))
    }

    private func listen(_ loop: any EventLoop) throws {
        let lifecycle = lifecycle
        let (switchboard, guardian) = try loop.submit {
            (
                NIOLoopBound(lifecycle.value.switchboard, eventLoop: loop),
                NIOLoopBound(lifecycle.value.guardian, eventLoop: loop)
            )
        }.wait()
        do {
            let listener = try Listener.bind(
                path, group: group, switchboard: switchboard, guardian: guardian, logger: logger)
            try loop.submit { lifecycle.value.listener = listener.value }.wait()
        } catch let error as EnvironmentError {
            throw error
        } catch {
            throw EnvironmentError("cannot listen on \(path.path): \(error)")
        }
    }

    private func listenForControl(
        _ pipeline: PipelineDefinition, _ settings: Settings, _ loop: any EventLoop
    ) throws {
        let (lifecycle, logger, socketPath, controlPath) = (lifecycle, logger, socketPath, controlPath)
        let statePath = statePath
        let guardian = try loop.submit { NIOLoopBound(lifecycle.value.guardian, eventLoop: loop) }.wait()
        do {
            let control = try ControlServer.bind(
                SocketPath(controlPath), group: group, guardian: guardian, patience: settings.controlPatience,
                desk: {
                    ControlDesk(
                        pipeline, lifecycle: lifecycle.value, socketPath: socketPath, controlPath: controlPath,
                        statePath: statePath, logger: logger)
                }, logger: logger)
            try loop.submit { lifecycle.value.control = control.value }.wait()
        } catch {
            // The workers' socket must not stay behind.
            try? loop.submit { lifecycle.value.listener?.close() }.wait()
            if let error = error as? EnvironmentError {
                throw EnvironmentError("the control socket beside the workers' one: \(error)")
            }
            throw EnvironmentError("cannot listen on the control socket \(controlPath): \(error)")
        }
    }

    /// Starts the workers. Whoever is started by somebody else may attach before.
    public func start() {
        onLoop { $0.startWorkers() }
    }

    /// Sources stop, everything in flight is finished, within the pipeline's drain limit.
    public func drain() {
        onLoop { $0.stop(finishing: true) }
    }

    /// Ends the run within the pipeline's drain limit: workers finish what they hold. What waits for them stays for the next
    /// run; in memory mode, where there is none, it is finished, too.
    public func stop() {
        onLoop { $0.stop(finishing: false) }
    }

    /// Ends the run at once: workers are killed, what is in flight is lost (in memory mode).
    public func abandon() {
        onLoop { $0.abandon() }
    }

    /// Waits for the end of the run: workers gone, socket removed. To be called once.
    public func finished() async throws -> RunReport {
        let report = try await report.get()
        try await group.shutdownGracefully()
        return report
    }

    /// Counters of all stages, as of now.
    public func summary() async -> PipelineSummary? {
        let lifecycle = lifecycle
        return try? await group.next().submit { lifecycle.value.switchboard.router.summary() }.get()
    }

    private func onLoop(_ action: @escaping @Sendable (Lifecycle) -> Void) {
        let lifecycle = lifecycle
        group.next().execute { action(lifecycle.value) }
    }
}

extension Broker {
    /// Bytes that stand unwritten to all connections together, for tests and metrics.
    func unwrittenBytes() async -> Int {
        let lifecycle = lifecycle
        let total = try? await group.next().submit {
            lifecycle.value.switchboard.connections.values.reduce(0) { $0 + $1.unwritten }
        }.get()
        return total ?? 0
    }

    /// Clients of the control API, for tests.
    func controlClients() async -> Int {
        let lifecycle = lifecycle
        return (try? await group.next().submit { lifecycle.value.control?.clients ?? 0 }.get()) ?? 0
    }
}

import Glibc
import Logging
import NIOCore
import NIOPosix
import StagewireModel
import StagewireRouter

/// What the host has to say, on the event loop.
protocol HostObserver: AnyObject {
    func expects(_ event: Event)
    /// A worker cannot be kept running; the run ends.
    func givesUp(_ end: RunEnd)
}

/// Starts the workers of stages with `launch`, starts them again when they end before their time, and ends them.
/// Confined to the event loop. `Host+Exit.swift` decides what an exit means.
final class Host {
    let loop: any EventLoop
    let logger: Logger
    let pipeline: PipelineDefinition
    let timing: HostTiming
    weak var observer: (any HostObserver)?
    var slots: [Slot] = []
    var endedStages: Set<Int> = []
    var isDraining = false
    var isStopping = false
    private let directory: String
    /// Runs built-in stages.
    private let program: String
    private let environment: WorkerEnvironment
    private let guardian: Guardian
    private let reapers: NIOThreadPool
    private var stopped: EventLoopPromise<Void>?

    init(
        _ pipeline: PipelineDefinition, directory: String, program: String, environment: WorkerEnvironment,
        timing: HostTiming,
        guardian: Guardian, loop: any EventLoop, logger: Logger
    ) {
        self.pipeline = pipeline
        self.directory = directory
        self.program = program
        self.environment = environment
        self.timing = timing
        self.guardian = guardian
        self.loop = loop
        self.logger = logger
        for (index, stage) in pipeline.stages.enumerated() {
            guard let launch = stage.launch else { continue }
            for number in 1...max(1, stage.workers) {
                slots.append(
                    Slot(
                        stage: index, name: stage.name, instance: "\(number)", launch: launch,
                        firstRestart: timing.firstRestart))
            }
        }
        // Each thread waits for one process: the one thing that tells of an exit for certain.
        reapers = NIOThreadPool(numberOfThreads: max(1, slots.count))
    }

    func start() throws(EnvironmentError) {
        reapers.start()
        for slot in slots {
            do {
                try start(slot)
            } catch {
                throw Self.named(error, slot)
            }
        }
    }

    /// For the end of the run, which stands by itself; log lines carry the stage anyway.
    static func named(_ error: EnvironmentError, _ slot: Slot) -> EnvironmentError {
        EnvironmentError("stage \(slot.name): \(error)")
    }

    func start(_ slot: Slot) throws(EnvironmentError) {
        let token = WorkerToken()
        observer?.expects(.expectWorker(stage: slot.stage, instance: slot.instance, token: token.bytes))
        let process: WorkerProcess
        do {
            process = try WorkerProcess.start(
                executable(slot.launch), directory: slot.launch.directory ?? directory,
                environment: environment.variables(
                    stage: slot.name, instance: slot.instance, token: token, extra: slot.launch.environment),
                in: surroundings(of: slot))
        } catch {
            observer?.expects(.forgetWorker(token: token.bytes))
            throw error
        }
        let occupant = Occupant(process: process, token: token, startedAt: Clock.uptime())
        slot.phase = .running(occupant)
        slot.starts += 1
        logger.debug("started as process \(process.pid)", metadata: slot.metadata)
        remind(slot, occupant, after: timing.attachReminder)
    }

    /// A built-in stage is an ordinary worker that this program itself can be.
    private func executable(_ launch: Launch) -> Launch {
        guard let name = launch.builtIn else { return launch }
        var own = launch
        own.command = [program, "stage", name]
        return own
    }

    private func surroundings(of slot: Slot) -> WorkerProcess.Surroundings {
        WorkerProcess.Surroundings(
            loop: loop, reapers: reapers, guardian: guardian,
            show: { [logger] line, stream in
                var metadata = slot.metadata
                if let stream { metadata["stream"] = .string(stream.rawValue) }
                logger.info("\(line)", metadata: metadata)
            },
            exit: { [weak self] exit in self?.exited(slot, exit) })
    }

    private func remind(_ slot: Slot, _ occupant: Occupant, after delay: TimeAmount) {
        occupant.watchdog = after(delay) { [weak self] in
            guard let self else { return }
            let seconds = (Clock.uptime() - occupant.startedAt) / 1_000_000_000
            let advice =
                occupant.process.isStopped
                ? "its process is stopped; `kill -CONT \(occupant.process.pid)` lets it go on"
                : "does it connect to STAGEWIRE_SOCKET and send Hello?"
            logger.warning(
                "runs for \(seconds) s, but has not attached yet: \(advice)", metadata: slot.metadata)
            remind(slot, occupant, after: timing.attachReminderInterval)
        }
    }

    func after(_ delay: TimeAmount, _ action: @escaping () -> Void) -> Scheduled<Void> {
        loop.assumeIsolated().scheduleTask(in: delay, action)
    }

    func slot(_ stage: Int, _ instance: String) -> Slot? {
        slots.first { $0.stage == stage && $0.instance == instance }
    }

    // MARK: News of sessions

    func attached(stage: Int, instance: String) {
        guard let occupant = slot(stage, instance)?.occupant else { return }
        occupant.watchdog?.cancel()
        occupant.hasAttached = true
        occupant.isAttached = true
        occupant.isLost = false
        occupant.isShrinking = false
        occupant.farewell = .none
    }

    func closing(stage: Int, instance: String, reason: CloseReason, byWorker: Bool) {
        // A successor in the same slot, started by `lost` a moment ago, has no session yet.
        guard let slot = slot(stage, instance), let occupant = slot.occupant, occupant.isAttached else { return }
        occupant.isAttached = false
        if reason.code == Code.ok.rawValue { occupant.farewell = byWorker ? .worker : .broker }
        if reason.code == Code.leaseExpired.rawValue {
            logger.warning("is killed: its lease has expired", metadata: slot.metadata)
            occupant.process.signal(SIGKILL)
        }
        sessionEnded(slot, occupant)
    }

    func lost(stage: Int, instance: String, shrinking: Bool) {
        guard let slot = slot(stage, instance), let occupant = slot.occupant, occupant.isAttached else { return }
        occupant.isLost = true
        occupant.isShrinking = shrinking
        sessionEnded(slot, occupant)
    }

    func ended(stage: Int) { endedStages.insert(stage) }

    /// A worker without a session either comes back or ends; one that does neither is ended.
    private func sessionEnded(_ slot: Slot, _ occupant: Occupant) {
        if let exit = occupant.exit { return judge(slot, occupant, exit) }
        occupant.watchdog?.cancel()
        occupant.watchdog = after(timing.leaveGrace) { [weak self] in
            self?.logger.warning("has no session and does not end: it gets SIGTERM", metadata: slot.metadata)
            self?.terminate(slot, occupant)
        }
    }

    private func terminate(_ slot: Slot, _ occupant: Occupant) {
        occupant.process.signal(SIGTERM)
        // A stopped process gets it only when it goes on.
        occupant.process.signal(SIGCONT)
        occupant.watchdog?.cancel()
        occupant.watchdog = after(timing.killGrace) { [logger] in
            logger.warning("did not end by SIGTERM: it gets SIGKILL", metadata: slot.metadata)
            occupant.process.signal(SIGKILL)
        }
    }

    // MARK: The end

    /// No worker starts any more. Those that got their Close(0) have `grace` to end by themselves before they get
    /// SIGTERM, the others get it at once; SIGKILL comes `killGrace` later. The future completes when none is left.
    func stop(grace: TimeAmount) -> EventLoopFuture<Void> {
        precondition(!isStopping, "a host stops once")
        isStopping = true
        let promise = loop.makePromise(of: Void.self)
        stopped = promise
        for slot in slots {
            switch slot.phase {
            case .waiting(let restart):
                restart?.cancel()
                slot.phase = .stopped
            case .running(let occupant):
                occupant.watchdog?.cancel()
                let patience = occupant.farewell == .none ? .zero : grace
                occupant.watchdog = after(patience) { [weak self] in self?.terminate(slot, occupant) }
            case .stopped: break
            }
        }
        completeStop()
        return promise.futureResult.flatMap { [loop, reapers] in
            let finished = loop.makePromise(of: Void.self)
            reapers.shutdownGracefully { _ in finished.succeed(()) }
            return finished.futureResult
        }
    }

    func killAll() {
        for slot in slots { slot.occupant?.process.signal(SIGKILL) }
    }

    func completeStop() {
        guard isStopping, slots.allSatisfy({ $0.occupant == nil }) else { return }
        stopped?.succeed(())
        stopped = nil
    }
}

import Logging
import NIOCore
import StagewireControl
import StagewireModel
import StagewireRouter

/// One run of a pipeline, from the first worker to the last: ties switchboard, host and listener together and
/// decides when the run is over. Confined to the event loop.
final class Lifecycle: SwitchboardObserver, HostObserver {
    enum Phase {
        case running
        /// Asked to stop; what is in flight gets finished.
        case draining
        /// Decided; workers and connections have a moment to go.
        case ending
        case over
    }

    /// The router reports the end of a drain at its deadline; this much later it is overdue.
    static let overdue = Duration.seconds(2)

    private(set) var phase = Phase.running
    let switchboard: Switchboard
    let host: Host
    let guardian: Guardian
    private let loop: any EventLoop
    private let logger: Logger
    private let report: EventLoopPromise<RunReport>
    private let drainLimit: Duration
    /// What waits stays for the next run.
    private var isKept = false
    /// When a drain is cut short: uptime, nanoseconds.
    private(set) var drainEnds: UInt64?
    var listener: Listener?
    var control: ControlServer?
    private var stallWatch: StallWatch
    private var stallLook: Scheduled<Void>?
    /// Peers can make the router say things, such as why each of a thousand connections was refused.
    private var limiter = LineLimiter(rate: 100)

    init(
        _ pipeline: PipelineDefinition, socketPath: String, switchboard: Switchboard, host: Host, guardian: Guardian,
        report: EventLoopPromise<RunReport>, logger: Logger
    ) {
        self.switchboard = switchboard
        self.host = host
        self.guardian = guardian
        self.report = report
        self.logger = logger
        stallWatch = StallWatch(
            pipeline, socketPath: socketPath, patience: .nanoseconds(host.timing.stallPatience.nanoseconds))
        loop = switchboard.loop
        drainLimit = pipeline.limits.drain
        switchboard.observer = self
        host.observer = self
    }

    func startWorkers() {
        do {
            try host.start()
        } catch {
            finish(.unavailable(error.description))
        }
        watchForStalls()
    }

    private func watchForStalls() {
        guard case .running = phase else { return }
        stallLook = loop.assumeIsolated().scheduleTask(in: host.timing.stallLook) { [weak self] in
            guard let self else { return }
            let notices = stallWatch.look(at: switchboard.router.summary(), now: Clock.uptime())
            notices.forEach(noticed)
            watchForStalls()
        }
    }

    // MARK: Requests

    /// Ends the run. What is in flight gets finished; what waits is finished, too, if `finishing` or without a journal,
    /// and else stays for the next run.
    func stop(finishing: Bool) {
        guard case .running = phase else { return }
        phase = .draining
        drainEnds = Clock.uptime() + drainLimit.nanoseconds
        host.isDraining = true
        isKept = switchboard.journal != nil && !finishing
        switchboard.report(isKept ? .suspend(deadline: drainLimit) : .drain(deadline: drainLimit))
        let overdue = TimeAmount.nanoseconds(Int64(clamping: (drainLimit + Self.overdue).nanoseconds))
        loop.assumeIsolated().scheduleTask(in: overdue) { [weak self] in
            if case .draining? = self?.phase { self?.finish(.abandoned) }
        }
    }

    /// The run ends now: workers are killed.
    func abandon() {
        finish(.abandoned)
        host.killAll()
    }

    // MARK: News of the switchboard

    func attached(stage: Int, instance: String) { host.attached(stage: stage, instance: instance) }

    func closing(stage: Int, instance: String, reason: CloseReason, byWorker: Bool) {
        host.closing(stage: stage, instance: instance, reason: reason, byWorker: byWorker)
    }

    func lost(stage: Int, instance: String, shrinking: Bool) {
        host.lost(stage: stage, instance: instance, shrinking: shrinking)
    }

    func ended(stage: Int) { host.ended(stage: stage) }

    func pipelineEnded() {
        switch phase {
        case .running: finish(.completed)
        case .draining:
            // At its drain deadline the router ends the pipeline with stages that have not ended.
            let isFinished = switchboard.router.summary().stages.allSatisfy(\.hasEnded)
            finish(!isFinished ? .abandoned : isKept ? .stopped : .drained)
        case .ending, .over: break
        }
    }

    func journalLost(_ reason: String) { finish(.failed(reason)) }

    func noticed(_ notice: Notice) {
        let verdict = limiter.admit(at: Clock.uptime())
        if verdict.droppedBefore > 0 { logger.warning("(\(verdict.droppedBefore) messages dropped)") }
        guard verdict.isShown else { return }
        var metadata: Logger.Metadata = [:]
        if let stage = notice.stage { metadata["stage"] = .string(switchboard.name(of: stage)) }
        if let instance = notice.instance { metadata["instance"] = .string(instance) }
        let level: Logger.Level =
            switch notice.level {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
        logger.log(level: level, "\(notice.text)", metadata: metadata)
    }

    // MARK: News of the host

    func expects(_ event: Event) { switchboard.report(event) }

    func givesUp(_ end: RunEnd) { finish(end) }

    // MARK: The end

    private func finish(_ end: RunEnd) {
        switch phase {
        case .running, .draining: phase = .ending
        case .ending, .over: return
        }
        let summary = switchboard.router.summary()
        stallLook?.cancel()
        listener?.close()
        switchboard.stop(CloseReason(.shuttingDown, "The broker ends."))
        let isOrderly = end == .completed || end == .drained || end == .stopped
        let grace = isOrderly ? host.timing.farewell : .zero
        host.stop(grace: grace).assumeIsolated().whenComplete { [self] _ in
            phase = .over
            switchboard.abort()
            let written = switchboard.closeJournal()
            written.assumeIsolated().whenComplete { [self] _ in leave(RunReport(end: end, summary: summary)) }
        }
    }

    /// Whoever asked for the end over the control socket hears of it before the process ends. The guardian goes last,
    /// when there is nothing left that could outlive the broker.
    private func leave(_ result: RunReport) {
        let told = control?.close(EndAnswer(result)) ?? loop.makeSucceededVoidFuture()
        // It answers out of this object, so the two hold each other until here.
        control = nil
        let guardianGone = told.assumeIsolated().flatMap { [guardian] in guardian.stop() }
        guardianGone.whenComplete { [report] _ in report.succeed(result) }
    }
}

import Foundation
import Glibc
import StagewireModel
import StagewireWire

/// Runs a stage as a worker of a pipeline.
public enum Worker {
    /// Serves the pipeline until it is done with this worker, then ends the process.
    ///
    /// Exit codes: 0, the broker is done with this worker, or a signal ended it cleanly; 1, the broker that started
    /// it is gone, or a source failed; 2, trying again, unchanged, makes no sense: the sentence on standard error
    /// says why. `--test FILE` runs the stage without a broker; `--help` lists what else there is.
    public static func run(_ stage: Stage) async -> Never {
        exit(await serve(stage, arguments: Array(CommandLine.arguments.dropFirst())))
    }

    /// Writes a sentence to standard error, as the library does: with its control characters escaped.
    public static func complain(_ sentence: String) { Complaint.write(sentence) }

    /// As `run`, but returns the exit code.
    ///
    /// - Parameter arguments: those of the command line, without the program's name.
    public static func serve(_ stage: Stage, arguments: [String]) async -> Int32 {
        do {
            let options = try StageArguments(arguments)
            if options.isHelp {
                print(StageArguments.help)
                return 0
            }
            if let test = options.test { return await StageTest.run(stage, test) }
            let environment = try WorkerEnvironment.take()
            let worker = WorkerLoop(stage, environment)
            Signals.install(worker.hub)
            let exit = await worker.run()
            if !exit.message.isEmpty { Complaint.write("stage \(environment.stage): \(exit.message)") }
            return exit.code
        } catch {
            Complaint.write("\(error)")
            return 2
        }
    }
}

/// Sessions, one after the other, until one of them decides the exit code.
final class WorkerLoop: Sendable {
    static let backoffFirst: UInt64 = 100
    static let backoffLimit: UInt64 = 10_000
    /// A repeated complaint about an absent broker is due after this many nanoseconds.
    private static let silence = 60 * Uptime.second

    let hub = Hub()
    private let stage: Stage
    private let environment: WorkerEnvironment
    private let runs = RunTable()
    /// How long a handler has to return once its session is over, nanoseconds.
    private let patience: UInt64

    init(_ stage: Stage, _ environment: WorkerEnvironment, patience: UInt64 = ConnectionThread.closing) {
        self.stage = stage
        self.environment = environment
        self.patience = patience
    }

    /// How a session ended.
    private enum Ending {
        case exit(Exit)
        case again(String, wasWelcome: Bool)
    }

    func run() async -> Exit {
        var delay = Self.backoffFirst
        var lastComplaint: UInt64?
        let maker = HandlerMaker(stage.kind)
        while true {
            let reason: String
            switch await attempt(maker) {
            case .exit(let exit): return exit
            case .again(let text, let wasWelcome):
                reason = text
                if wasWelcome { (delay, lastComplaint) = (Self.backoffFirst, nil) }
            }
            let now = Uptime.now
            if lastComplaint.map({ now - $0 >= Self.silence }) ?? true {
                Complaint.write("stage \(environment.stage): \(reason); trying again until the broker is there")
                lastComplaint = now
            }
            await pause(delay)
            if hub.look({ $0.isLeaving }) { return Exit(code: 0) }
            delay = min(delay * 2, Self.backoffLimit)
        }
    }

    /// Waits up to a quarter less or more than `milliseconds`, so that many workers do not come at once.
    private func pause(_ milliseconds: UInt64) async {
        let varied = UInt64.random(in: (milliseconds - milliseconds / 4)...(milliseconds + milliseconds / 4))
        await OwnThread.run { [hub] in
            guard !hub.look({ $0.isLeaving }) else { return }
            var waiting = pollfd(fd: hub.waker.reading, events: Int16(POLLIN), revents: 0)
            _ = poll(&waiting, 1, Int32(varied))
        }
    }

    /// One connection from beginning to end.
    private func attempt(_ maker: HandlerMaker) async -> Ending {
        let opened = await OwnThread.run { [environment, stage] () -> Result<Connection, Fault> in
            Result { () throws(Fault) in try Connection.open(environment, stage) }
        }
        let connection: Connection
        switch opened {
        case .success(let open): connection = open
        case .failure(let fault): return judge(fault, wasWelcome: false)
        }
        let welcome = connection.welcome
        do {
            try maker.adopt(welcome)
        } catch {
            close(connection.descriptor)
            return .exit(Exit(code: 2, message: "\(error)"))
        }
        let outbox = Outbox(descriptor: connection.descriptor, maxFrame: welcome.maxFrame)
        hub.begin(welcome, outbox)
        let ended = OwnThread.start { [hub, runs, stage] in
            ConnectionThread(hub, connection, outbox, runs: runs, stage: stage).run()
        }
        let exit: Exit? =
            switch maker.current {
            case .lane(let handler): await serve(outbox, welcome, handler)
            case .source(let function): await serveSource(outbox, welcome, function)
            }
        _ = shutdown(connection.descriptor, Int32(SHUT_RDWR))
        hub.waker.wake()
        await ended.value
        await OwnThread.run { outbox.endConfirmations() }
        // Not before: its number would belong to somebody else.
        close(connection.descriptor)
        if let exit { return .exit(exit) }
        return judge(hub.look { $0.ended } ?? .endOfStream, wasWelcome: true)
    }

    private func judge(_ fault: Fault, wasWelcome: Bool) -> Ending {
        let isSpawned = !environment.token.isEmpty
        switch fault {
        case .closed(let reason, byBroker: true) where reason.code == Code.ok.rawValue: return .exit(Exit(code: 0))
        case .closed(let reason, _):
            guard Code(rawValue: reason.code)?.isRetryable ?? false else {
                return .exit(Exit(code: 2, message: fault.text))
            }
        case .endOfStream, .broken: break
        }
        return isSpawned ? .exit(Exit(code: 1, message: fault.text)) : .again(fault.text, wasWelcome: wasWelcome)
    }

    // MARK: Handlers

    /// Runs handlers until the session ends. Returns how the process ends, if that is decided here.
    private func serve(_ outbox: Outbox, _ welcome: Welcome, _ handler: Lane.Handler) async -> Exit? {
        let lane = Lane(hub, outbox, welcome, handler, timeout: stage.timeout)
        while true {
            hub.change { state in
                state.isLaneOver = false
                state.isOverdue = false
                state.lane = Task { [hub] in
                    await lane.run()
                    hub.change { $0.isLaneOver = true }
                }
            }
            guard await laneEnds() else { return stuck() }
            let (isLeaving, ended) = hub.look { ($0.isLeaving, $0.ended) }
            if ended != nil { return nil }
            if isLeaving { return await leave(outbox) }
            // The handler was cancelled after its time and has returned: a new task goes on.
        }
    }

    /// A handler has not returned, so there can be no other session. What ended this one may say that it is final.
    private func stuck() -> Exit {
        if case .exit(let exit) = judge(hub.look { $0.ended } ?? .endOfStream, wasWelcome: true), exit.code == 2 {
            return exit
        }
        return Exit(code: 1, message: "a handler has not returned; what it works on was given to another worker")
    }

    /// Waits for the end of the lane. A handler that works for a session that is over is cancelled, and given
    /// some time to notice. False: it has not.
    private func laneEnds() async -> Bool {
        let isOver = await hub.wait { state -> Bool? in
            if state.isLaneOver { return true }
            return state.ended == nil ? nil : false
        }
        if isOver { return true }
        hub.look { $0.lane }?.cancel()
        let (hub, patience) = (self.hub, self.patience)
        let guardian = Task {
            try? await Task.sleep(for: .nanoseconds(patience))
            hub.change { _ in }
        }
        defer { guardian.cancel() }
        let deadline = Uptime.now + patience
        return await hub.wait { state in
            if state.isLaneOver { return true }
            return Uptime.now >= deadline ? false : nil
        }
    }

    /// Our last frame gives back what is not settled; the broker hangs up after it, or we do.
    private func leave(_ outbox: Outbox) async -> Exit {
        outbox.flush()
        outbox.close(.close(CloseReason(.ok, "the worker was asked to end")))
        let hub = self.hub
        let guardian = Task {
            try? await Task.sleep(for: .nanoseconds(ConnectionThread.closing))
            hub.change { $0.ended = $0.ended ?? .endOfStream }
        }
        defer { guardian.cancel() }
        await hub.wait { $0.ended == nil ? nil : () }
        return Exit(code: 0)
    }

    // MARK: Sources

    /// What a source's session waits for.
    private enum SourceEvent: Sendable {
        case exit(Exit)
        case leave(Exit)
        case stop(Task<Void, Never>?)
        case ended
    }

    private func serveSource(_ outbox: Outbox, _ welcome: Welcome, _ function: @escaping SourceHandler) async -> Exit? {
        let attacher = Task { await SourceAttachment(hub, outbox).run() }
        start(function, welcome)
        var event = await hub.wait { [self] state in nextEvent(&state, outbox) }
        while case .stop(let task) = event {
            task?.cancel()
            event = await hub.wait { [self] state in nextEvent(&state, outbox) }
        }
        attacher.cancel()
        hub.change { $0.source.isAttached = false }
        await attacher.value
        switch event {
        case .exit(let exit): return exit
        case .leave(let exit):
            _ = await leave(outbox)
            return exit
        case .ended, .stop: return nil
        }
    }

    /// Starts the author's function, once in the process's life.
    private func start(_ function: @escaping SourceHandler, _ welcome: Welcome) {
        hub.change { [hub] state in
            guard state.source.task == nil else { return }
            let source = Source(hub, welcome)
            state.source.task = Task {
                let result: SourceState.Result
                do {
                    try await function(source)
                    try await source.claimOwnIfIdle()
                    result = .finished
                } catch is CancellationError {
                    result = .stopped
                } catch {
                    result = .failed("\(error)")
                }
                hub.change { $0.source.result = result }
            }
        }
    }

    private func nextEvent(_ state: inout Hub.State, _ outbox: Outbox) -> SourceEvent? {
        if state.isLeaving, !state.source.isStopped { return .stop(state.source.stop()) }
        if let problem = state.source.fatal { return .leave(Exit(code: 1, message: problem)) }
        if state.ended != nil { return .ended }
        guard let result = state.source.result else { return nil }
        switch result {
        case .failed(let problem) where !state.source.isStopped:
            return .leave(Exit(code: 1, message: "the source failed: \(problem)"))
        case .failed, .stopped:
            return state.source.isDrained && state.source.isAttached ? .leave(Exit(code: 0)) : nil
        case .finished:
            if state.source.isStopped {
                return state.source.isDrained && state.source.isAttached ? .leave(Exit(code: 0)) : nil
            }
            for index in state.source.partitions.indices { state.source.partitions[index].isFinished = true }
            state.source.tellFinished(outbox, session: state.session)
            return nil
        }
    }
}

/// Makes the handler of a configuration, and makes it anew when a broker that comes back has another one.
///
/// `@unchecked Sendable`: only `WorkerLoop.run` uses it, and that is one task.
final class HandlerMaker: @unchecked Sendable {
    enum Made {
        case lane(Lane.Handler)
        case source(SourceHandler)
    }

    private let kind: Stage.Kind
    private var configuration: [UInt8]?
    private var made: Made?
    private var ports: [String] = []

    init(_ kind: Stage.Kind) { self.kind = kind }

    var current: Made {
        guard let made else { preconditionFailure("adopt comes first") }
        return made
    }

    /// - Throws: `ConfigurationError`, or what the author's code throws.
    func adopt(_ welcome: Welcome) throws {
        let ports = welcome.outputs.map(\.port)
        if case .source? = made, ports != self.ports {
            throw ConfigurationError("the stage's outputs have changed; start the source again")
        }
        self.ports = ports
        guard made == nil || configuration != welcome.config else { return }
        if case .source? = made { return }
        configuration = welcome.config
        made = try Self.make(kind, welcome.config)
    }

    static func make(_ kind: Stage.Kind, _ configuration: [UInt8]) throws -> Made {
        switch kind {
        case .single(let make): return .lane(.single(try make(configuration)))
        case .group(_, let make):
            let (rule, handler) = try make(configuration)
            return .lane(.group(rule, handler))
        case .source(let make): return .source(try make(configuration))
        }
    }
}

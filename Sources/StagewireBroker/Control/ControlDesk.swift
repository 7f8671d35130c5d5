import Glibc
import Logging
import NIOCore
import NIOHTTP1
import StagewireControl
import StagewireModel
import StagewireRouter

/// Answers requests out of the run's state. Confined to the event loop.
///
/// An answer is made in one go, between two turns of the switchboard, from a bounded number of things: the stages of
/// the pipeline, one page of dead letters, one record; and what may be large is encoded on another thread. So records never
/// wait for long.
final class ControlDesk {
    typealias Reply = (ControlAnswer) -> Void

    let pipeline: PipelineDefinition
    let lifecycle: Lifecycle
    let socketPath: String
    let controlPath: String
    let statePath: String?
    let logger: Logger
    let startedAt = Clock.now()
    /// Who waits for the end of the run.
    private var waiting: [Reply] = []

    var loop: any EventLoop { lifecycle.switchboard.loop }
    var router: Router { lifecycle.switchboard.router }

    init(
        _ pipeline: PipelineDefinition, lifecycle: Lifecycle, socketPath: String, controlPath: String,
        statePath: String?, logger: Logger
    ) {
        self.pipeline = pipeline
        self.lifecycle = lifecycle
        self.socketPath = socketPath
        self.controlPath = controlPath
        self.statePath = statePath
        self.logger = logger
    }

    /// `reply` is called once: at once, in a later turn, or at the end of the run.
    func answer(_ request: ControlRequest, from caller: ControlCaller, reply: @escaping Reply) {
        do {
            guard let route = try route(request) else { return reply(.problem(Self.unknown(request))) }
            let method: HTTPMethod = request.method == .HEAD ? .GET : request.method
            guard route.method == method else { return reply(Self.notAllowed(request, route.method)) }
            try route.perform(caller, reply)
        } catch {
            reply(.problem(error))
        }
    }

    // MARK: Paths

    private struct Route {
        var method: HTTPMethod
        var perform: (ControlCaller, @escaping Reply) throws(ControlProblem) -> Void
    }

    private func route(_ request: ControlRequest) throws(ControlProblem) -> Route? {
        guard request.path.first == "v1" else { return nil }
        switch Array(request.path.dropFirst()) {
        case []: return get { [self] () in .json(information()) }
        case ["status"]: return get { [self] () in .json(status()) }
        case ["end"]: return Route(method: .GET) { [self] _, reply in waiting.append(reply) }
        case ["dead-letters"]: return get { [self] () throws(ControlProblem) in try list(request) }
        case ["dead-letters", "retry"]:
            return post { [self] caller, reply throws(ControlProblem) in try retry(request, caller, reply) }
        case ["dead-letters", "drop"]:
            return post { [self] caller, reply throws(ControlProblem) in try drop(request, caller, reply) }
        case let path where path.count == 4 && path[0] == "dead-letters" && path[3] == "edit":
            return post { [self] caller, reply throws(ControlProblem) in
                try edit(stage: path[1], number: path[2], request, caller, reply)
            }
        case let path where path.count == 3 && path[0] == "dead-letters":
            return get { [self] () throws(ControlProblem) in try show(stage: path[1], number: path[2]) }
        case ["resume"]:
            return post { [self] caller, reply throws(ControlProblem) in try resume(request, caller, reply) }
        case ["replay"]:
            return post { [self] caller, reply throws(ControlProblem) in try replay(request, caller, reply) }
        case ["stop"]: return post { [self] caller, reply throws(ControlProblem) in try stop(request, caller, reply) }
        default: return nil
        }
    }

    private func get(_ make: @escaping () throws(ControlProblem) -> ControlAnswer) -> Route {
        Route(method: .GET) { _, reply throws(ControlProblem) in reply(try make()) }
    }

    private func post(
        _ perform: @escaping (ControlCaller, @escaping Reply) throws(ControlProblem) -> Void
    ) -> Route { Route(method: .POST, perform: perform) }

    private static func unknown(_ request: ControlRequest) -> ControlProblem {
        let path = "/" + request.path.joined(separator: "/")
        guard request.path.first == "v1" else {
            return ControlProblem(
                .notFound, "there is nothing at \(path): this broker speaks version \(ControlAPI.version) of the API",
                hint: "paths begin with \(ControlAPI.prefix)")
        }
        return ControlProblem(
            .notFound, "there is nothing at \(path)",
            hint: "there are /v1, /v1/status, /v1/dead-letters, /v1/dead-letters/STAGE/NUMBER, "
                + "/v1/dead-letters/STAGE/NUMBER/edit, "
                + "/v1/dead-letters/retry, /v1/dead-letters/drop, /v1/resume, /v1/replay, /v1/stop and /v1/end")
    }

    private static func notAllowed(_ request: ControlRequest, _ method: HTTPMethod) -> ControlAnswer {
        var answer = ControlAnswer.problem(
            ControlProblem(
                .methodNotAllowed, "\(request.method.rawValue) is not for /\(request.path.joined(separator: "/"))",
                hint: "use \(method.rawValue)"))
        answer.allowed = method == .GET ? [.GET, .HEAD] : [method]
        return answer
    }

    // MARK: The broker, and the end of its run

    private func information() -> BrokerInformation {
        BrokerInformation(
            stagewire: Release.version, protocol: ProtocolVersion.text(ProtocolVersion.current),
            pipeline: pipeline.name, pid: getpid())
    }

    private func stop(
        _ request: ControlRequest, _ caller: ControlCaller, _ reply: @escaping Reply
    ) throws(ControlProblem) {
        try request.allowOnly([])
        // `curl -X POST` alone means what a first SIGTERM does.
        let stop =
            request.body.isEmpty
            ? StopRequest(mode: .stop) : try request.decode(StopRequest.self, keys: ["mode", "wait"])
        // Noted first: the end may come in this very turn.
        if stop.wait == true { waiting.append(reply) }
        switch stop.mode {
        case .stop, .drain:
            logger.info("stopping: asked by \(caller.description)")
            lifecycle.stop(finishing: stop.mode == .drain)
        case .now:
            logger.info("ending at once: asked by \(caller.description)")
            lifecycle.abandon()
        }
        if stop.wait != true {
            reply(.json(StopAnswer(state: state, deadlineSeconds: drainSeconds ?? 0), status: .accepted))
        }
    }

    func tellEnd(_ end: EndAnswer) {
        let replies = waiting
        waiting.removeAll()
        for reply in replies { reply(.json(end)) }
    }
}

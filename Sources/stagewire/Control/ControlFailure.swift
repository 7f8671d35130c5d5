import Glibc
import StagewireConfig
import StagewireControl

/// Why a command that asks a running pipeline cannot do its work. `problem` is for people and for `--json`.
struct ControlFailure: Error {
    var problem: Problem
    var status: ExitStatus
    /// Nobody is there (any more).
    var isGone = false

    init(_ problem: Problem, _ status: ExitStatus) {
        self.problem = problem
        self.status = status
    }

    init(_ message: String, hint: String? = nil, status: ExitStatus = .runtime) {
        let code =
            switch status {
            case .runtime, .signal: "runtime"
            case .usage: "usage"
            case .environment: "environment"
            }
        self.init(Problem(code: code, message: message, hint: hint), status)
    }

    /// What the broker itself refuses. A name or number that it does not know is the caller's mistake.
    init(_ refusal: ControlProblem) {
        let status: ExitStatus =
            switch ControlProblem.Code(rawValue: refusal.code) {
            case .badRequest?, .notFound?, .methodNotAllowed?, .tooLarge?, .unsupportedMediaType?: .usage
            case .forbidden?: .environment
            case .conflict?, nil: .runtime
            }
        self.init(Problem(code: refusal.code, message: refusal.message, hint: refusal.hint), status)
    }

    // MARK: Nobody answers

    static func nobody(at path: String) -> ControlFailure {
        gone(
            "no pipeline runs at \(path)",
            hint: "start one with `stagewire run`, or say with --control where it listens")
    }

    static func stale(_ path: String) -> ControlFailure {
        gone(
            "no pipeline runs at \(path) any more: the socket is left over",
            hint: "start the pipeline again with `stagewire run`; it replaces the socket")
    }

    static func vanished(_ path: String) -> ControlFailure {
        gone("the broker at \(path) ended before it answered", hint: "its own output says why")
    }

    private static func gone(_ message: String, hint: String) -> ControlFailure {
        var failure = ControlFailure(message, hint: hint)
        failure.isGone = true
        return failure
    }

    static func denied(_ path: String) -> ControlFailure {
        ControlFailure(
            "you may not connect to \(path)", hint: "run the command as the user who runs the pipeline, or as root",
            status: .environment)
    }

    static func silent(_ path: String, after seconds: Int64) -> ControlFailure {
        ControlFailure(
            "the broker at \(path) does not answer within \(seconds) s",
            hint: "is its process suspended or the machine busy?")
    }

    static func stranger(_ path: String, _ why: String) -> ControlFailure {
        ControlFailure(
            "what answers at \(path) is not the control API of a pipeline: \(why)",
            hint: "the control socket is the one with .control in its name")
    }

    static func newer(_ version: String) -> ControlFailure {
        ControlFailure(
            "the broker speaks version \(version) of the control API, this program version \(ControlAPI.version)",
            hint: "use the stagewire program that the pipeline was started with")
    }
}

/// Runs a command's work; what fails becomes a `Failure`, which `Main` tells people and programs.
func reporting(_ work: () async throws -> Void) async throws {
    do {
        try await work()
    } catch let failure as ControlFailure {
        throw Failure(failure.status, [failure.problem])
    } catch let errors as ConfigurationErrors {
        throw Failure(errors)
    }
}

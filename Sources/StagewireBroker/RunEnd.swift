import StagewireControl
import StagewireRouter

/// How a run of a pipeline ended. The command line turns it into an exit code.
public enum RunEnd: Equatable, Sendable {
    /// Every stage has ended by itself.
    case completed
    /// Asked to stop, everything in flight was finished or given back within the drain deadline.
    case drained
    /// Asked to stop, nothing is in flight any more; what is not settled waits for the next run.
    case stopped
    /// Asked to stop, and something was still in flight at the deadline (or the caller lost patience).
    case abandoned
    /// The run cannot go on; the sentence names the first cause.
    case failed(String)
    /// The machine does not offer what the run needs: a socket that cannot be bound, a command that
    /// cannot be started.
    case unavailable(String)
}

/// A run in retrospect.
public struct RunReport: Equatable, Sendable {
    public var end: RunEnd
    /// As it stood when the end was decided.
    public var summary: PipelineSummary
}

extension EndAnswer {
    init(_ report: RunReport) {
        let (outcome, message): (Outcome, String?) =
            switch report.end {
            case .completed: (.completed, nil)
            case .drained: (.drained, nil)
            case .stopped: (.stopped, nil)
            case .abandoned: (.abandoned, nil)
            case .failed(let why): (.failed, why)
            case .unavailable(let why): (.unavailable, why)
            }
        self.init(outcome: outcome, message: message, unsettled: report.summary.unsettled)
    }
}

/// What the broker needs from the machine and does not get. The description is for a person: what,
/// where, and what to do.
public struct EnvironmentError: Error, Equatable, Sendable, CustomStringConvertible {
    public var description: String

    init(_ description: String) { self.description = description }

    /// "cannot <what>: <the system's words>"
    init(_ what: String, errno code: Int32) {
        description = "\(what): \(SystemMessage.text(code))"
    }
}

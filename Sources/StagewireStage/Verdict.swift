import StagewireModel

/// What a handler throws when it does not accept. Any other error counts as `retry` with its text.
public enum Verdict: Error, Equatable, Sendable {
    /// Will never work: the record becomes a dead letter. Codes from 1000 are the author's own.
    case reject(_ code: UInt32, _ message: String)
    /// Again, one attempt more, not before `after` (zero: the pipeline's backoff). `indefinite`: the effect may
    /// have happened. `code`, from 1000, stays with the record if it becomes a dead letter.
    case retry(
        after: Duration = .zero, _ message: String, indefinite: Bool = false, code: UInt32 = Verdict.applicationCode)
    /// Untouched: the same attempt, for another worker or later.
    case release

    /// The first code that belongs to the author of a stage.
    public static let applicationCode: UInt32 = 1000

    /// What an error that is no verdict means.
    static func of(_ error: any Error) -> Verdict {
        if let verdict = error as? Verdict { return verdict }
        return .retry("\(error)")
    }
}

/// One outcome on its way to the broker: what became of some deliveries.
struct Outcome {
    var kind: OutcomeKind
    var delayMS: UInt32 = 0
    var error: DeliveryError?

    static let accepted = Outcome(kind: .accepted)

    init(kind: OutcomeKind) { self.kind = kind }

    init(_ verdict: Verdict) {
        switch verdict {
        case .reject(let code, let message):
            kind = .rejected
            error = DeliveryError(code: code, message: message)
        case .retry(let delay, let message, let indefinite, let code):
            kind = .retry
            delayMS = delay.milliseconds
            error = DeliveryError(code: code, message: message, indefinite: indefinite)
        case .release: kind = .released
        }
    }
}

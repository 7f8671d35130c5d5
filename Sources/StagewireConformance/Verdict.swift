/// What became of a case.
public enum Verdict: String, Sendable, CaseIterable {
    case pass = "PASS"
    case fail = "FAIL"
    /// It needs a feature that is not declared, or a process where there is none.
    case skip = "SKIP"
    /// A fault that was to be injected did not happen, so nothing was shown.
    case inconclusive = "INCONCLUSIVE"
    /// The implementation died.
    case crash = "CRASH"
}

/// Ends a case before its last step.
struct Stop: Error {
    var verdict: Verdict
    /// Rules that are broken; empty: those of the step or the case.
    var rules: [String] = []
    var message: String

    static func fail(_ message: String, rules: [String] = []) -> Stop {
        Stop(verdict: .fail, rules: rules, message: message)
    }
}

/// A case and what became of it.
public struct CaseResult: Sendable {
    public var slug: String
    public var title: String
    public var role: Role
    public var profile: Profile
    public var verdict: Verdict
    /// Of the case, or of what it failed at.
    public var rules: [String]
    /// What was expected and what happened instead; for a skipped one, why.
    public var message: String
    /// `FILE:LINE:COLUMN` of the step.
    public var place: String
    /// The frames that were exchanged, one line each, the last ones if there were many.
    public var transcript: [String]
    /// The end of what the process wrote to standard error.
    public var standardError: String
    public var seconds: Double
    /// Is listed in `--known-failing`.
    public var isKnownFailing = false

    /// Whether the run may be called good with it.
    public var isAsExpected: Bool {
        switch verdict {
        case .pass: !isKnownFailing
        case .skip: true
        case .fail, .inconclusive, .crash: isKnownFailing
        }
    }
}

import StagewireWire

/// What a step does. conformance/CASES.md has the same list with examples.
public enum Verb: String, Sendable, CaseIterable {
    // Both roles: frames and bytes.
    case send
    case raw
    case expect
    case absent
    case skip
    case barrier
    case closed
    case ended
    case close
    case drop
    case reading
    case automatic
    case pause
    case mark
    case elapsed
    case `repeat`

    // A worker is tested: the suite is the broker.
    case start
    case accept
    case welcome
    case deliver
    case settled
    case unsettled
    case granted
    case emitted
    case drain
    case exit
    case kill
    case alive
    case stderr
    case copes
    case leaves
    case claimed
    case listening
    case random

    // A broker is tested: the suite is the workers.
    case connect
    case hello
    case attach
    case grant
    case claim
    case emit
    case committed
    case finish
    case delivered
    case undelivered
    case settle
    case confirmed
    case stop
    case restart
    case fuzz
    case control

    /// Whose cases may use it; nil: both.
    public var role: Role? {
        switch self {
        case .send, .raw, .expect, .absent, .skip, .barrier, .closed, .ended, .close, .drop, .reading, .automatic,
            .pause, .mark, .elapsed, .repeat, .exit, .kill, .alive, .stderr:
            nil
        case .start, .accept, .welcome, .deliver, .settled, .unsettled, .granted, .emitted, .drain, .copes, .leaves,
            .claimed,
            .listening, .random:
            .worker
        case .connect, .hello, .attach, .grant, .claim, .emit, .committed, .finish, .delivered, .undelivered, .settle,
            .confirmed, .stop, .restart, .fuzz, .control:
            .broker
        }
    }

    /// Needs a process that the suite started itself.
    public var needsProcess: Bool {
        switch self {
        case .exit, .kill, .alive, .stderr, .start, .stop, .restart, .copes, .leaves: true
        case _: false
        }
    }
}

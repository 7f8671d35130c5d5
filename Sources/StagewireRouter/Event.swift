import StagewireModel

/// What can happen to the core, except for the two messages that carry records: those come through
/// `Router.settle` and `Router.emit`, because they borrow the frame's bytes.
public enum Event: Sendable {
    /// A peer connected. `uid` is its user, as the kernel says.
    case connected(ConnectionID, uid: UInt32)
    /// A well-formed control message of a worker.
    case received(ConnectionID, ControlMessage)
    /// A frame of a kind this version does not know: ignored and counted.
    case receivedUnknown(ConnectionID)
    /// The peer broke a rule that the wire checks (framing, well-formedness).
    case violated(ConnectionID, CloseReason)
    /// The peer's end of stream, or a broken connection. The last event of a connection.
    case disconnected(ConnectionID)
    /// Deliveries left for the kernel: the sum of their `Delivery.bytes` (prefixes and control frames not counted).
    case wrote(ConnectionID, bytes: Int)
    /// The host is about to start a worker and gave it this token.
    case expectWorker(stage: Int, instance: String, token: [UInt8])
    /// The host gave up on that worker: its token is void.
    case forgetWorker(token: [UInt8])
    /// End of work: sources stop, everything in flight is finished, at the latest after `deadline`.
    case drain(deadline: Duration)
    /// End of the run, not of the work: nothing more is delivered, workers finish or give back what they hold. The rest is
    /// durable and waits for the next run.
    case suspend(deadline: Duration)
    /// `Router.nextDeadline` has come, or may have.
    case tick
}

import StagewireModel
import StagewireRecord

/// What the shell has to do, in order. Effects are valid until the router's next call: a `Delivery`
/// points into the router's memory.
public enum Effect {
    case send(ConnectionID, ControlMessage)
    case deliver(ConnectionID, Delivery)
    /// Write `Close`, stop handing frames to the router, read on until EOF (bounded by a timeout), then
    /// report `.disconnected`. A spawned worker whose lease expired is also killed.
    case close(ConnectionID, CloseReason)
    /// Read records of a subscription's stream back from the disk, from a sequence on, about so many bytes, and give them to
    /// `Router.take`.
    case read(subscription: Int, from: UInt64, bytes: Int)
    /// A replay that was asked for from this record on will not be: nothing has to be kept for it.
    case replayDropped(subscription: Int, from: UInt64)
    /// A session ended without a clean close. `shrinking`: its suspect group got smaller by it, so it does
    /// not count towards the host's crash-loop breaker and the worker restarts at once.
    case workerLost(stage: Int, instance: String, shrinking: Bool)
    /// Nothing can reach this stage any more and everything it held is settled.
    case stageEnded(stage: Int)
    /// Every stage has ended: the pipeline is complete.
    case pipelineEnded
    case log(Notice)
}

/// Consecutive deliveries to one worker: the i-th record has delivery id `first + i`.
public struct Delivery {
    public var input: UInt32
    public var first: UInt64
    public var count: Int
    /// Indices into `Router.segments`: runs of wire-ready bytes (each record with its tag and length inside
    /// `Deliver`), to be copied behind the prefix in this order.
    public var segments: Range<Int>
    /// Sum of the segments' lengths, bytes.
    public var bytes: Int
    /// Indices into `Router.attempts`, one per record; empty when all are first attempts.
    public var attempts: Range<Int>
}

/// What a person may want to know. Text that came from a worker is already escaped and cut.
public struct Notice: Equatable, Sendable {
    public enum Level: Sendable { case debug, info, warning, error }
    public var level: Level
    public var stage: Int?
    public var instance: String?
    public var text: String

    public init(_ level: Level, stage: Int? = nil, instance: String? = nil, _ text: String) {
        self.level = level
        self.stage = stage
        self.instance = instance
        self.text = text
    }
}

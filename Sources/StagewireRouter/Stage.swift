import DequeModule
import StagewireModel
import StagewireRecord

/// A stage at run time.
struct Stage {
    let definition: StageDefinition
    /// Indices into `Router.subscriptions`, by input number.
    let subscriptions: [Int]
    /// Indices into `Router.streams`, by port number.
    let streams: [Int]
    /// Somebody subscribes to one of its ports: what it accepts without emitting is filtered out.
    var isRead = false
    /// Attached sessions, as slots in `Router.sessions`, in order of attachment.
    var sessions: [Int] = []
    var phase = Phase.running
    var partitions: [Partition] = []
    var partitionIndex: [String: Int] = [:]
    /// Instances that have finished at least one partition.
    var finishedInstances: Set<String> = []
    var suspects: Deque<SuspectGroup> = []
    /// Numbers instances that came without a name.
    var unnamed = 0
    /// Where the choice among equally loaded sessions starts next.
    var turn = 0
    /// Numbers its dead letters.
    var buried: UInt64 = 0
    var emitted: UInt64 = 0
    /// The ticket of the latest group that something of it changes with.
    var changedIn: UInt64 = 0
    var crashes: UInt64 = 0
    var breaker: Breaker

    init(definition: StageDefinition, subscriptions: [Int], streams: [Int]) {
        self.definition = definition
        self.subscriptions = subscriptions
        self.streams = streams
        breaker = Breaker(definition.isSource ? nil : definition.breaker)
    }

    enum Phase: Equatable {
        case running
        /// Its inputs have ended and everything was handed out: workers flush and settle.
        case draining
        case ended
    }
}

/// Where a source is in one of its partitions. Survives the session that claimed it.
struct Partition {
    let name: String
    let origin: OriginID
    var owner: ConnectionID?
    var epoch: UInt64 = 0
    var lastEmitID: UInt64 = 0
    var checkpoint: [UInt8] = []
    var isFinished = false
}

/// Deliveries that a worker held when it crashed: one of them may be why. They go together, alone, to a worker
/// that holds nothing else; each further crash halves them, until one is left and is charged. So a poison record
/// is found in log2(n) crashes and its neighbours stay whole.
struct SuspectGroup {
    struct Member: Equatable {
        /// Index into `Router.subscriptions`.
        var subscription: Int
        var sequence: UInt64
    }

    /// Not handed out in this trial yet, oldest first.
    var pending: Deque<Member>
    /// Of a worker that holds deliveries on purpose: it is never split, and once it is handed out other records follow.
    var isWhole = false
    /// The session that tries it.
    var trial: ConnectionID?
}

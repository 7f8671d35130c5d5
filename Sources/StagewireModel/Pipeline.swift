/// How a stage wants its records relative to each other.
public enum Ordering: UInt8, Sendable, CaseIterable {
    /// Records of one key in order, different keys in parallel; records without a key in any order.
    case key = 1
    case none = 2
    /// All records of an input in order, one worker at a time.
    case total = 3
}

public enum Durability: String, Sendable, CaseIterable {
    case disk, relaxed, memory
}

/// What a subscription does when its stream is full and it is the one in the way.
public enum Overflow: String, Sendable, CaseIterable {
    case block
    case dropNewest = "drop-newest"
    case dropOldest = "drop-oldest"
}

public struct RetryPolicy: Equatable, Sendable {
    /// Deliveries of one record before it becomes a dead letter, the first included.
    public var attempts: UInt32 = 5
    public var backoffFirst: Duration = .milliseconds(200)
    public var backoffLimit: Duration = .seconds(30)
    /// Share of a delay by which it varies, either way, in percent.
    public var jitterPercent: UInt32 = 20
    /// Broker's running time since the first attempt in this subscription. `nil`: no limit.
    public var maxAge: Duration? = .seconds(600)

    public init() {}
}

/// When a stage is paused because too much of what it gets becomes dead letters.
public struct BreakerPolicy: Equatable, Sendable {
    /// Records given up on, among the last `window` with a final verdict, at which the stage pauses.
    public var failures = 50
    public var window = 100
    /// Before it tries again; doubled from pause to pause.
    public var pauseFirst: Duration = .seconds(30)
    public var pauseLimit: Duration = .seconds(600)

    public init() {}
}

/// One edge of the graph: what a stage reads.
public struct InputDefinition: Equatable, Sendable {
    /// Index into `PipelineDefinition.stages`, and into that stage's `ports`.
    public var stage: Int
    public var port: Int
    public var when: Predicate?
    public var overflow: Overflow

    public init(stage: Int, port: Int = 0, when: Predicate? = nil, overflow: Overflow = .block) {
        self.stage = stage
        self.port = port
        self.when = when
        self.overflow = overflow
    }
}

/// What the system limits of a worker's process are, set before its program starts; `nil`: as the broker's own.
public struct ProcessLimits: Equatable, Sendable {
    /// Bytes of address space (`RLIMIT_AS`): what is reserved, not what is used.
    public var addressSpace: Int?
    /// Open descriptors (`RLIMIT_NOFILE`).
    public var openFiles: Int?
    /// Processor time before the system ends it (`RLIMIT_CPU`), whole seconds.
    public var cpuTime: Duration?
    /// Bytes of the largest file that it may write (`RLIMIT_FSIZE`).
    public var fileSize: Int?
    /// Bytes of a core dump (`RLIMIT_CORE`).
    public var coreSize: Int?
    /// Added to the broker's own niceness: 0 to 19.
    public var niceness: Int?

    public init() {}
}

/// What a worker has as standard input and output. Each of the broker's own may go to one stage with one worker.
public enum StandardStreams: String, Sendable, CaseIterable {
    /// Input is empty; output goes into the log.
    case log
    /// Both are the broker's own.
    case inherit
    /// Input is the broker's own; output goes into the log.
    case stdin
    /// Input is empty; output is the broker's own.
    case stdout

    public var hasInput: Bool {
        switch self {
        case .inherit, .stdin: true
        case .log, .stdout: false
        }
    }

    public var hasOutput: Bool {
        switch self {
        case .inherit, .stdout: true
        case .log, .stdin: false
        }
    }
}

/// How the host starts a stage's workers; `nil` in `StageDefinition.launch` means that somebody else does.
public struct Launch: Equatable, Sendable {
    /// Program and arguments; no shell in between.
    public var command: [String]
    /// A stage that comes with Stagewire: the broker's own program runs it as a worker like any other. `command` is
    /// then what that stage is to run, and stands in its configuration too.
    public var builtIn: String?
    /// Working directory; `nil`: the one of the pipeline file.
    public var directory: String?
    public var environment: [String: String]
    public var limits = ProcessLimits()
    /// Standard error goes into the log either way.
    public var standardStreams = StandardStreams.log

    public init(command: [String], directory: String? = nil, environment: [String: String] = [:]) {
        self.command = command
        self.directory = directory
        self.environment = environment
    }
}

public struct StageDefinition: Equatable, Sendable {
    public var name: String
    public var isSource: Bool
    public var inputs: [InputDefinition]
    /// Names of the output ports; number = index. A sink's port has no subscriber.
    public var ports: [String] = ["out"]
    public var launch: Launch?
    /// Workers that the host starts.
    public var workers = 1
    /// Sessions that may be attached at once, external ones included.
    public var maxWorkers = 16
    public var ordering: Ordering = .key
    public var retry = RetryPolicy()
    /// `nil`: it never pauses for what its workers say.
    public var breaker: BreakerPolicy? = BreakerPolicy()
    public var lease: Duration = .seconds(30)
    /// Crashes of a delivery alone in a worker before it becomes a dead letter.
    public var crashLimit: UInt32 = 3
    /// The stage's configuration as one JSON value.
    public var config: [UInt8] = Array("{}".utf8)
    public var emits: [Schema] = []

    public init(name: String, isSource: Bool = false, inputs: [InputDefinition] = []) {
        self.name = name
        self.isSource = isSource
        self.inputs = inputs
    }
}

/// What a journal keeps of records that nobody needs any more, so that they can be replayed: the latest, in whole segments.
public struct RetentionPolicy: Equatable, Sendable {
    /// Records that came in the last so much time, and some more; `nil`: as far as there is room.
    public var time: Duration?
    /// Bytes of segments; with more than that, needed ones included, nothing is retained. `nil`: half of
    /// `PipelineLimits.journalBytes`, which also is the most.
    public var bytes: Int?
    /// The directory that segments which are not retained any more are moved to; `nil`: they are removed.
    public var archive: String?

    public init(time: Duration? = nil, bytes: Int? = nil, archive: String? = nil) {
        self.time = time
        self.bytes = bytes
        self.archive = archive
    }
}

/// A directed acyclic graph of stages. Stages stand in topological order: every input's stage has a
/// smaller index than the stage that reads it (`StagewireConfig` sorts and checks).
public struct PipelineDefinition: Equatable, Sendable {
    public var name: String
    public var durability: Durability = .memory
    public var limits = PipelineLimits()
    /// `nil`: what nobody needs is removed.
    public var retention: RetentionPolicy?
    public var stages: [StageDefinition]

    public init(name: String, stages: [StageDefinition]) {
        self.name = name
        self.stages = stages
    }

    /// Stages between the farthest source and each stage, itself included (1 for a source).
    public func depths() -> [Int] {
        var depths = [Int](repeating: 1, count: stages.count)
        for (index, stage) in stages.enumerated() {
            for input in stage.inputs {
                precondition(input.stage < index, "stages stand in topological order")
                depths[index] = max(depths[index], depths[input.stage] + 1)
            }
        }
        return depths
    }

    /// Bytes that the broker may add to an output of any stage: an upper bound, so that what is
    /// charged (output + reserve) is never less than what is kept. `LineageStamp.bound` in StagewireRecord
    /// proves each term.
    public var stampReserve: Int {
        let depth = depths().max() ?? 1
        let identity = 18 + 18 + 2 + 9  // id, root, parents_truncated, ingest_time
        let parents = Limits.parents * 18
        let trace = 4 + 2 + Limits.traceparent + 3 + Limits.tracestate
        let hop = 2 + 6 + 11 + 6  // tag+length, run, delta, attempt
        let framing = 4 + 6  // lineage's and the record's own tag and length
        return identity + parents + trace + depth * hop + framing
    }
}

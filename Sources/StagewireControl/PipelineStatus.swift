/// `GET /v1/status`: a pipeline at work, in numbers.
public struct PipelineStatus: Codable, Equatable, Sendable {
    public enum State: String, Codable, Sendable {
        case running
        /// Asked to stop; what is in flight gets finished.
        case draining
        /// Decided; workers and connections have a moment to go.
        case ending
    }

    public var pipeline: String
    public var state: State
    /// "memory", "relaxed" or "disk".
    public var durability: String
    public var pid: Int32
    /// The program's version.
    public var stagewire: String
    /// Where workers attach, and where this answer comes from: absolute paths.
    public var socket: String
    public var controlSocket: String
    /// Where the journal lies; absent in memory mode.
    public var stateDirectory: String?
    /// RFC 3339, UTC.
    public var startedAt: String
    public var uptimeSeconds: Double
    /// Seconds until a drain is cut short; absent unless draining.
    public var drainSeconds: Double?
    /// Bytes that records take in streams, parkings and dead letters now.
    public var bytes: Int
    /// In topological order.
    public var stages: [StageStatus]

    public init(
        pipeline: String, state: State, durability: String, pid: Int32, stagewire: String, socket: String,
        controlSocket: String, stateDirectory: String? = nil, startedAt: String, uptimeSeconds: Double,
        drainSeconds: Double? = nil, bytes: Int, stages: [StageStatus]
    ) {
        self.pipeline = pipeline
        self.state = state
        self.durability = durability
        self.pid = pid
        self.stagewire = stagewire
        self.socket = socket
        self.controlSocket = controlSocket
        self.stateDirectory = stateDirectory
        self.startedAt = startedAt
        self.uptimeSeconds = uptimeSeconds
        self.drainSeconds = drainSeconds
        self.bytes = bytes
        self.stages = stages
    }

    private enum CodingKeys: String, CodingKey {
        case pipeline, state, durability, pid, stagewire, socket, bytes, stages
        case controlSocket = "control_socket"
        case stateDirectory = "state_directory"
        case startedAt = "started_at"
        case uptimeSeconds = "uptime_seconds"
        case drainSeconds = "drain_seconds"
    }
}

/// One stage. Counters are since the start of the broker; gauges are as of now.
public struct StageStatus: Codable, Equatable, Sendable {
    public enum Kind: String, Codable, Sendable { case source, transform, sink }
    public enum State: String, Codable, Sendable { case running, draining, ended }

    /// Why records wait although they could be handled.
    public enum Obstacle: String, Codable, Sendable {
        /// Nobody is attached.
        case noWorker = "no_worker"
        /// All attached workers have used up the credit that they gave.
        case noCredit = "no_credit"
        /// What the stage emits is not taken fast enough by the stages behind it.
        case outputFull = "output_full"
        /// Too many records wait behind keys that are retried.
        case parkingFull = "parking_full"
        /// Until some are retried or dropped.
        case deadLettersFull = "dead_letters_full"
        /// Too many of its last records were given up on: `breaker` says more.
        case breakerOpen = "breaker_open"
    }

    /// What a stage's breaker keeps back, and why.
    public struct Breaker: Codable, Equatable, Sendable {
        public enum State: String, Codable, Sendable {
            /// Nothing is delivered until its pause is over.
            case open
            /// A few records are delivered, to see whether it works again.
            case trying
        }

        public var state: State
        /// Until it tries; absent when it does.
        public var seconds: Double?
        /// Records given up on, of the last `of` that were accepted or given up on.
        public var dead: Int
        public var of: Int
        /// The most frequent reason among them, the name of a code, and how often it is.
        public var reason: String
        public var most: Int
        /// The last one's.
        public var error: DeadLetterSummary.Failure

        public init(
            state: State, seconds: Double?, dead: Int, of count: Int, reason: String, most: Int,
            error: DeadLetterSummary.Failure
        ) {
            self.state = state
            self.seconds = seconds
            self.dead = dead
            self.of = count
            self.reason = reason
            self.most = most
            self.error = error
        }
    }

    public struct Input: Codable, Equatable, Sendable {
        /// What is read: a stage and one of its ports.
        public var stage: String
        public var port: String
        /// The condition as written in the pipeline; absent: everything.
        public var when: String?
        public var queued: Int
        public var inFlight: Int
        public var deadLetters: Int

        public init(stage: String, port: String, when: String?, queued: Int, inFlight: Int, deadLetters: Int) {
            self.stage = stage
            self.port = port
            self.when = when
            self.queued = queued
            self.inFlight = inFlight
            self.deadLetters = deadLetters
        }

        private enum CodingKeys: String, CodingKey {
            case stage, port, when, queued
            case inFlight = "in_flight"
            case deadLetters = "dead_letters"
        }
    }

    public var name: String
    public var kind: Kind
    public var state: State
    public var obstacle: Obstacle?
    /// Absent while it is closed.
    public var breaker: Breaker?
    public var inputs: [Input]
    public var ports: [String]
    public var workers: [WorkerStatus]
    /// Processes that the broker keeps running; absent for a stage whose workers somebody else starts.
    public var workersWanted: Int?

    // MARK: Counters

    /// Records accepted, or given up on and not retried by a person since.
    public var `in`: UInt64
    public var out: UInt64
    /// Accepted without any emission.
    public var filtered: UInt64
    public var retried: UInt64
    /// Records ever given up on.
    public var dead: UInt64
    public var dropped: UInt64
    /// Passed over by the stage's conditions.
    public var unmatched: UInt64
    /// Sessions that ended without a goodbye.
    public var crashes: UInt64
    /// Deliveries, repeated ones included.
    public var delivered: UInt64

    // MARK: Gauges

    public var inFlight: Int
    public var queued: Int
    /// Dead letters that are kept now.
    public var deadLetters: Int
    /// What the attached workers may still be sent, all together.
    public var creditRecords: UInt64
    public var creditBytes: UInt64

    public init(
        name: String, kind: Kind, state: State, obstacle: Obstacle?, breaker: Breaker? = nil, inputs: [Input],
        ports: [String], workers: [WorkerStatus], workersWanted: Int?, in: UInt64, out: UInt64, filtered: UInt64,
        retried: UInt64,
        dead: UInt64, dropped: UInt64, unmatched: UInt64, crashes: UInt64, delivered: UInt64, inFlight: Int,
        queued: Int, deadLetters: Int, creditRecords: UInt64, creditBytes: UInt64
    ) {
        self.name = name
        self.kind = kind
        self.state = state
        self.obstacle = obstacle
        self.breaker = breaker
        self.inputs = inputs
        self.ports = ports
        self.workers = workers
        self.workersWanted = workersWanted
        self.in = `in`
        self.out = out
        self.filtered = filtered
        self.retried = retried
        self.dead = dead
        self.dropped = dropped
        self.unmatched = unmatched
        self.crashes = crashes
        self.delivered = delivered
        self.inFlight = inFlight
        self.queued = queued
        self.deadLetters = deadLetters
        self.creditRecords = creditRecords
        self.creditBytes = creditBytes
    }

    private enum CodingKeys: String, CodingKey {
        case name, kind, state, obstacle, breaker, inputs, ports, workers
        case workersWanted = "workers_wanted"
        case `in`, out, filtered, retried, dead, dropped, unmatched, crashes, delivered
        case inFlight = "in_flight"
        case queued
        case deadLetters = "dead_letters"
        case creditRecords = "credit_records"
        case creditBytes = "credit_bytes"
    }
}

/// One worker: a session, a process that the broker keeps, or both.
public struct WorkerStatus: Codable, Equatable, Sendable {
    public enum State: String, Codable, Sendable {
        /// Has a session.
        case attached
        /// Runs, and has not attached yet.
        case starting
        /// Runs without a session that it had: it comes back or ends.
        case detached
        /// Ended, and starts again after its backoff.
        case waiting
        /// Ended as it should.
        case ended
    }

    public var instance: String
    public var state: State
    /// Of the process that the broker started.
    public var pid: Int32?
    /// As in the worker's Hello; absent before the first one.
    public var version: String?
    public var language: String?
    public var inFlight: Int
    public var creditRecords: UInt64
    public var creditBytes: UInt64
    /// Since it attached.
    public var attachedSeconds: Double?
    /// Times that the broker started it again.
    public var restarts: Int?
    /// How it ended the last time: "was killed by SIGSEGV".
    public var lastExit: String?

    public init(
        instance: String, state: State, pid: Int32? = nil, version: String? = nil, language: String? = nil,
        inFlight: Int = 0, creditRecords: UInt64 = 0, creditBytes: UInt64 = 0, attachedSeconds: Double? = nil,
        restarts: Int? = nil, lastExit: String? = nil
    ) {
        self.instance = instance
        self.state = state
        self.pid = pid
        self.version = version
        self.language = language
        self.inFlight = inFlight
        self.creditRecords = creditRecords
        self.creditBytes = creditBytes
        self.attachedSeconds = attachedSeconds
        self.restarts = restarts
        self.lastExit = lastExit
    }

    private enum CodingKeys: String, CodingKey {
        case instance, state, pid, version, language, restarts
        case inFlight = "in_flight"
        case creditRecords = "credit_records"
        case creditBytes = "credit_bytes"
        case attachedSeconds = "attached_seconds"
        case lastExit = "last_exit"
    }
}

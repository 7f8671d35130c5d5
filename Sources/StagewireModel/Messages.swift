/// A schema that a worker reads or writes.
public struct Schema: Equatable, Sendable {
    public var name: String
    public var version: UInt32
    public var definition: [UInt8]

    public init(name: String, version: UInt32, definition: [UInt8] = []) {
        self.name = name
        self.version = version
        self.definition = definition
    }
}

/// A worker's first message. Field meanings: `proto/stagewire/v1/envelope.proto`.
public struct Hello: Equatable, Sendable {
    public var minVersion: UInt32 = ProtocolVersion.current
    public var maxVersion: UInt32 = ProtocolVersion.current
    public var stage = ""
    public var instance = ""
    public var stageVersion = ""
    public var offered: [String] = []
    public var required: [String] = []
    public var maxFrame: UInt64 = 0
    public var token: [UInt8] = []
    public var sdk = ""
    public var language = ""
    public var reads: [Schema] = []
    public var writes: [Schema] = []

    public init() {}
}

/// The broker's answer to an accepted `Hello`.
public struct Welcome: Equatable, Sendable {
    public struct Input: Equatable, Sendable {
        public var number: UInt32
        public var stage: String
        public var port: String
        public var maxUnsettledRecords: UInt64
        public var maxUnsettledBytes: UInt64
        public var ordering: Ordering

        public init(
            number: UInt32, stage: String, port: String, maxUnsettledRecords: UInt64,
            maxUnsettledBytes: UInt64, ordering: Ordering
        ) {
            self.number = number
            self.stage = stage
            self.port = port
            self.maxUnsettledRecords = maxUnsettledRecords
            self.maxUnsettledBytes = maxUnsettledBytes
            self.ordering = ordering
        }
    }

    public struct Output: Equatable, Sendable {
        public var number: UInt32
        public var port: String
        public init(number: UInt32, port: String) {
            self.number = number
            self.port = port
        }
    }

    public var version: UInt32 = ProtocolVersion.current
    public var session: UInt64 = 0
    public var features: [String] = []
    public var maxFrame: UInt64 = 0
    public var maxRecord: UInt64 = 0
    public var stampReserve: UInt64 = 0
    public var maxStepRecords: UInt64 = 0
    public var maxStepBytes: UInt64 = 0
    public var heartbeatMS: UInt32 = 0
    public var idleMS: UInt32 = 0
    public var leaseMS: UInt32 = 0
    public var config: [UInt8] = []
    public var inputs: [Input] = []
    public var outputs: [Output] = []
    public var pipeline = ""
    public var instance = ""

    public init() {}
}

/// `major * 1000 + minor`.
public enum ProtocolVersion {
    public static let current: UInt32 = 1000
    public static func major(_ version: UInt32) -> UInt32 { version / 1000 }
    /// "1.0"
    public static func text(_ version: UInt32) -> String { "\(version / 1000).\(version % 1000)" }
}

/// The named features of protocol 1.0. `x-` prefixed ones belong to vendors.
public enum Feature {
    public static let singleThreaded = "single-threaded"
    public static let holds = "holds"
    public static let settleConfirm = "settle-confirm"
    /// What this broker puts into force when a worker offers it.
    public static let supported = [singleThreaded, holds, settleConfirm]
    /// Named so that nobody else uses the name; not served yet.
    public static let reserved = ["state", "schemas", "rollout", "bridge", "memfd"]
}

/// Cumulative limits since the session began.
public struct CreditLimit: Equatable, Sendable {
    public var number: UInt32
    public var records: UInt64
    public var bytes: UInt64
    public init(number: UInt32 = 0, records: UInt64, bytes: UInt64) {
        self.number = number
        self.records = records
        self.bytes = bytes
    }
}

/// One worker's identity in lineage: what a hop's run number stands for.
public struct Run: Hashable, Sendable {
    public var number: UInt32
    public var stage: String
    public var version: String
    public var instance: String
    public var language: String
    public init(number: UInt32, stage: String, version: String, instance: String, language: String) {
        self.number = number
        self.stage = stage
        self.version = version
        self.instance = instance
        self.language = language
    }
}

public enum DrainReason: UInt32, Sendable {
    case inputEnded = 1
    case shutdown = 2
}

/// A worker's verdict. Raw values are those of the wire.
public enum OutcomeKind: UInt8, Sendable {
    case accepted = 1
    case rejected = 2
    case retry = 3
    case released = 4
}

/// The outcome (by its first delivery) or Emit (by its id) that was refused, and why.
public struct Refusal: Equatable, Sendable {
    public var id: UInt64
    public var error: DeliveryError
    public init(id: UInt64, error: DeliveryError) {
        self.id = id
        self.error = error
    }
}

/// Every message without records, as values: what the codec decodes and encodes through libprotobuf-c.
/// `Deliver`, `Settle` and `Emit` never take this form; their bytes are scanned and copied.
public enum ControlMessage: Equatable, Sendable {
    case hello(Hello)
    case welcome(Welcome)
    case close(CloseReason)
    case ping(nonce: UInt64)
    case pong(nonce: UInt64)
    case credit(CreditLimit)
    case committed(partition: String, through: UInt64, refused: [Refusal])
    case settled(through: UInt64, refused: [Refusal])
    case extend
    case drain(DrainReason, deadlineMS: UInt32)
    case runs([Run])
    case claim(partition: String)
    case claimed(partition: String, epoch: UInt64, lastEmitID: UInt64, checkpoint: [UInt8])
    case finished(partition: String)
}

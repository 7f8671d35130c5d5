/// A record given up on, without its contents.
public struct DeadLetterSummary: Codable, Equatable, Sendable {
    public struct Failure: Codable, Equatable, Sendable {
        public var code: UInt32
        /// The code's name, `REJECTED`; absent for an application's own code.
        public var name: String?
        public var message: String

        public init(code: UInt32, name: String?, message: String) {
            self.code = code
            self.name = name
            self.message = message
        }
    }

    public var stage: String
    /// Together with the stage it names the letter, as in `score/17`: consecutive per stage, from 1.
    public var number: UInt64
    /// What was read: a stage, and its port.
    public var input: String
    public var port: String
    /// The record's id, 32 hexadecimal digits.
    public var id: String
    /// Why it was given up on, the name of a code: `ATTEMPTS_EXHAUSTED`.
    public var reason: String
    public var attempts: UInt32
    /// The worker's last error, or the broker's.
    public var error: Failure
    /// When it was given up on: RFC 3339, UTC, microseconds.
    public var time: String
    /// The key, when it is text; its bytes are in the full letter.
    public var key: String?
    public var schema: String
    public var schemaVersion: UInt32
    public var payloadBytes: Int
    /// A retry was asked for, and waits for room.
    public var isRetrying: Bool

    public init(
        stage: String, number: UInt64, input: String, port: String, id: String, reason: String, attempts: UInt32,
        error: Failure, time: String, key: String?, schema: String, schemaVersion: UInt32, payloadBytes: Int,
        isRetrying: Bool
    ) {
        self.stage = stage
        self.number = number
        self.input = input
        self.port = port
        self.id = id
        self.reason = reason
        self.attempts = attempts
        self.error = error
        self.time = time
        self.key = key
        self.schema = schema
        self.schemaVersion = schemaVersion
        self.payloadBytes = payloadBytes
        self.isRetrying = isRetrying
    }

    private enum CodingKeys: String, CodingKey {
        case stage, number, input, port, id, reason, attempts, error, time, key, schema
        case schemaVersion = "schema_version"
        case payloadBytes = "payload_bytes"
        case isRetrying = "retrying"
    }
}

/// `GET /v1/dead-letters?stage=S&after=N&limit=L`, with the conditions of a `DeadLetterFilter`: oldest first, per stage.
public struct DeadLetterPage: Codable, Equatable, Sendable {
    public var letters: [DeadLetterSummary]
    /// All that match, those of other pages included.
    public var total: Int
    /// The last number on this page, to be given as `after`; absent on the last page. Pages need a `stage`.
    public var next: UInt64?

    public init(letters: [DeadLetterSummary], total: Int, next: UInt64? = nil) {
        self.letters = letters
        self.total = total
        self.next = next
    }
}

/// `GET /v1/dead-letters/STAGE/NUMBER`: everything that is known.
public struct DeadLetterDetail: Codable, Equatable, Sendable {
    public struct Hop: Codable, Equatable, Sendable {
        public var stage: String
        public var version: String
        public var instance: String
        public var language: String
        /// When the stage emitted the record: RFC 3339, UTC, microseconds.
        public var time: String
        public var attempt: UInt32

        public init(stage: String, version: String, instance: String, language: String, time: String, attempt: UInt32) {
            self.stage = stage
            self.version = version
            self.instance = instance
            self.language = language
            self.time = time
            self.attempt = attempt
        }
    }

    /// W3C Trace Context.
    public struct Trace: Codable, Equatable, Sendable {
        public var traceparent: String
        public var tracestate: String

        public init(traceparent: String, tracestate: String) {
            self.traceparent = traceparent
            self.tracestate = tracestate
        }
    }

    /// Bytes up to which a payload is given as text, too.
    public static let textLimit = 64 * 1024

    public var letter: DeadLetterSummary
    public var contentType: String
    /// RFC 3339, UTC, microseconds; absent when the stage gave none.
    public var eventTime: String?
    /// The same in microseconds since 1970: years beyond 9999 have no RFC 3339.
    public var eventMicroseconds: Int64?
    /// Base64; absent when there is no key.
    public var keyBase64: String?
    public var attributes: [Attribute]
    public var payloadBase64: String
    /// The payload when it is UTF-8 without control characters other than line ends and tabs, and no longer than
    /// `textLimit` bytes.
    public var payloadText: String?
    /// Ids of the records it was derived from.
    public var parents: [String]
    /// There were more than lineage keeps.
    public var hasMoreParents: Bool
    /// The id of the source's record; its own when it is one.
    public var root: String
    /// Absent when the source gave none.
    public var trace: Trace?
    public var ingestTime: String?
    public var hops: [Hop]

    public init(
        letter: DeadLetterSummary, contentType: String, eventTime: String?, eventMicroseconds: Int64?,
        keyBase64: String?, attributes: [Attribute], payloadBase64: String, payloadText: String?, parents: [String],
        hasMoreParents: Bool, root: String, trace: Trace?, ingestTime: String?, hops: [Hop]
    ) {
        self.letter = letter
        self.contentType = contentType
        self.eventTime = eventTime
        self.eventMicroseconds = eventMicroseconds
        self.keyBase64 = keyBase64
        self.attributes = attributes
        self.payloadBase64 = payloadBase64
        self.payloadText = payloadText
        self.parents = parents
        self.hasMoreParents = hasMoreParents
        self.root = root
        self.trace = trace
        self.ingestTime = ingestTime
        self.hops = hops
    }

    private enum CodingKeys: String, CodingKey {
        case letter, attributes, parents, root, trace, hops
        case contentType = "content_type"
        case eventTime = "event_time"
        case eventMicroseconds = "event_microseconds"
        case keyBase64 = "key_base64"
        case payloadBase64 = "payload_base64"
        case payloadText = "payload_text"
        case hasMoreParents = "more_parents"
        case ingestTime = "ingest_time"
    }
}

/// `POST /v1/dead-letters/retry` and `POST /v1/dead-letters/drop`: which ones. At least one of `numbers`, a condition of
/// the filter and `all` says so; several of them mean all of them at once, and `all` stands alone. In JSON the filter's
/// fields stand beside the others.
public struct DeadLetterSelection: Codable, Equatable, Sendable {
    public var stage: String
    public var numbers: [UInt64]?
    public var filter: DeadLetterFilter
    public var all: Bool?

    public init(stage: String, numbers: [UInt64]? = nil, filter: DeadLetterFilter, all: Bool? = nil) {
        self.stage = stage
        self.numbers = numbers
        self.filter = filter
        self.all = all
    }

    public init(stage: String, numbers: [UInt64]? = nil, reason: String? = nil, all: Bool? = nil) {
        self.init(stage: stage, numbers: numbers, filter: DeadLetterFilter(reason: reason), all: all)
    }

    private enum CodingKeys: String, CodingKey, CaseIterable { case stage, numbers, all }

    /// The names that its JSON may have.
    public static let keys = CodingKeys.allCases.map(\.rawValue) + DeadLetterFilter.keys

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        stage = try container.decode(String.self, forKey: .stage)
        numbers = try container.decodeIfPresent([UInt64].self, forKey: .numbers)
        all = try container.decodeIfPresent(Bool.self, forKey: .all)
        filter = try DeadLetterFilter(from: decoder)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(stage, forKey: .stage)
        try container.encodeIfPresent(numbers, forKey: .numbers)
        try container.encodeIfPresent(all, forKey: .all)
        try filter.encode(to: encoder)
    }
}

/// `POST /v1/dead-letters/STAGE/NUMBER/edit`: another record takes the place of a letter's, which becomes its parent.
public struct DeadLetterEdit: Codable, Equatable, Sendable {
    /// An encoded `Record` of the protocol without lineage: what a worker would emit.
    public var recordBase64: String

    public static let keys = [CodingKeys.recordBase64.rawValue]

    public init(recordBase64: String) { self.recordBase64 = recordBase64 }

    private enum CodingKeys: String, CodingKey { case recordBase64 = "record_base64" }
}

/// A letter that was edited.
public struct DeadLetterEdited: Codable, Equatable, Sendable {
    public var stage: String
    public var number: UInt64
    /// Of the new record.
    public var id: String

    public init(stage: String, number: UInt64, id: String) {
        self.stage = stage
        self.number = number
        self.id = id
    }
}

/// What became of a selection.
public struct DeadLetterAnswer: Codable, Equatable, Sendable {
    /// Letters that were dropped, or whose retry had not been asked for before.
    public var changed: Int
    /// Letters of the selection that wait for room until they are delivered again; they follow by themselves.
    public var waiting: Int
    /// Numbers that name no letter (any more).
    public var missing: [UInt64]

    public init(changed: Int, waiting: Int = 0, missing: [UInt64] = []) {
        self.changed = changed
        self.waiting = waiting
        self.missing = missing
    }
}

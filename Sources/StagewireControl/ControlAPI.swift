/// The control API: HTTP/1.1 and JSON on a Unix socket beside the workers' one. `docs/CONTROL_API.md` is its
/// description; these types are what the broker encodes and what the command line decodes.
///
/// Within version 1 fields are only added, and a reader ignores those that it does not know.
public enum ControlAPI {
    public static let version = 1
    /// What every path begins with.
    public static let prefix = "/v1"
    /// A header field of every answer, errors included, with `version` as its value: by it a reader knows whom it has
    /// in front of it.
    public static let versionField = "Stagewire-Api"
    /// Dead letters on one page: by default, and at most.
    public static let defaultPage = 100
    public static let longestPage = 1000

    /// Where the control socket lies: `x.sock` has `x.control.sock` beside it, any other `x` has `x.control`.
    public static func socketPath(besides socket: String) -> String {
        socket.hasSuffix(suffix) ? socket.dropLast(suffix.count) + ".control" + suffix : socket + ".control"
    }

    /// Bytes by which the control socket's path is longer than the workers' one.
    public static let extraPathBytes = 8
    private static let suffix = ".sock"
}

/// What an answer other than 2xx carries.
public struct ControlProblem: Error, Codable, Equatable, Sendable {
    /// For programs: one of `Code`, or one that a later version has added.
    public var code: String
    /// For people: what happened.
    public var message: String
    /// What to do about it.
    public var hint: String?

    public init(code: String, message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    public init(_ code: Code, _ message: String, hint: String? = nil) {
        self.init(code: code.rawValue, message: message, hint: hint)
    }

    public enum Code: String, CaseIterable, Sendable {
        case badRequest = "bad_request"
        case forbidden
        case notFound = "not_found"
        case methodNotAllowed = "method_not_allowed"
        /// The state of the pipeline does not allow it.
        case conflict
        /// The body, the path or the head of the request.
        case tooLarge = "too_large"
        /// A body that is not declared to be JSON.
        case unsupportedMediaType = "unsupported_media_type"

        /// HTTP's number for it.
        public var status: Int {
            switch self {
            case .badRequest: 400
            case .forbidden: 403
            case .notFound: 404
            case .methodNotAllowed: 405
            case .conflict: 409
            case .tooLarge: 413
            case .unsupportedMediaType: 415
            }
        }
    }

    /// `{"error": {...}}`
    public struct Body: Codable, Equatable, Sendable {
        public var error: ControlProblem
        public init(_ error: ControlProblem) { self.error = error }
    }
}

/// `GET /v1`: who answers.
public struct BrokerInformation: Codable, Equatable, Sendable {
    public var api = ControlAPI.version
    /// The program's version, "0.1.0".
    public var stagewire: String
    /// The newest protocol version that it speaks, "1.0".
    public var `protocol`: String
    public var pipeline: String
    public var pid: Int32

    public init(stagewire: String, protocol: String, pipeline: String, pid: Int32) {
        self.stagewire = stagewire
        self.protocol = `protocol`
        self.pipeline = pipeline
        self.pid = pid
    }
}

/// `POST /v1/resume`: a stage that its breaker has paused goes on at once.
public struct ResumeRequest: Codable, Equatable, Sendable {
    public var stage: String

    public init(stage: String) { self.stage = stage }
}

/// What came of it.
public struct ResumeAnswer: Codable, Equatable, Sendable {
    public var stage: String
    /// False: its breaker did not keep it back.
    public var resumed: Bool

    public init(stage: String, resumed: Bool) {
        self.stage = stage
        self.resumed = resumed
    }
}

/// `POST /v1/replay`: a stage gets records once more that it has settled. One of `sequence`, `time` and `beginning` says from
/// where on.
public struct ReplayRequest: Codable, Equatable, Sendable {
    public var stage: String
    /// The stream, "stage" or "stage.port"; may be absent where the stage has only one input.
    public var input: String?
    /// The number of a record in its stream.
    public var sequence: UInt64?
    /// RFC 3339: the first record that entered the stream at this time or later.
    public var time: String?
    /// From the first record that is retained.
    public var beginning: Bool?

    public static let keys = ["stage", "input", "sequence", "time", "beginning"]

    public init(
        stage: String, input: String? = nil, sequence: UInt64? = nil, time: String? = nil, beginning: Bool? = nil
    ) {
        self.stage = stage
        self.input = input
        self.sequence = sequence
        self.time = time
        self.beginning = beginning
    }
}

/// What will be replayed (202: it begins when what the stage's workers have is settled).
public struct ReplayAnswer: Codable, Equatable, Sendable {
    public var stage: String
    public var input: String
    /// The first record's number in its stream.
    public var from: UInt64
    /// How many records that were settled come again; some may be passed over by the input's condition.
    public var records: UInt64
    /// Records that workers have.
    public var waitsFor: Int

    public init(stage: String, input: String, from: UInt64, records: UInt64, waitsFor: Int) {
        self.stage = stage
        self.input = input
        self.from = from
        self.records = records
        self.waitsFor = waitsFor
    }

    private enum CodingKeys: String, CodingKey {
        case stage, input, from, records
        case waitsFor = "waits_for"
    }
}

/// `POST /v1/stop`.
public struct StopRequest: Codable, Equatable, Sendable {
    public enum Mode: String, Codable, Sendable {
        /// Workers finish what they hold, within the pipeline's drain limit; what waits for them stays for the next run. With
        /// `durability: memory`, where there is none, the same as `drain`.
        case stop
        /// Sources stop, everything in flight and everything that waits is finished, within the pipeline's drain limit.
        case drain
        /// Workers are killed, what is in flight is lost (in memory mode).
        case now
    }

    public var mode: Mode
    /// The answer is an `EndAnswer`, and comes when the run has ended. Absent: false.
    public var wait: Bool?

    public init(mode: Mode, wait: Bool? = nil) {
        self.mode = mode
        self.wait = wait
    }
}

/// Answer to `POST /v1/stop` without `wait` (202: the end comes later).
public struct StopAnswer: Codable, Equatable, Sendable {
    public var state: PipelineStatus.State
    /// Seconds until the broker cuts a drain short; 0 when there is nothing left to wait for.
    public var deadlineSeconds: Double

    public init(state: PipelineStatus.State, deadlineSeconds: Double) {
        self.state = state
        self.deadlineSeconds = deadlineSeconds
    }

    private enum CodingKeys: String, CodingKey {
        case state
        case deadlineSeconds = "deadline_seconds"
    }
}

/// `GET /v1/end`: how the run ended. Answered when it has, however long that takes: sockets are removed by then and
/// workers gone, and a new broker may take the place.
public struct EndAnswer: Codable, Equatable, Sendable {
    public enum Outcome: String, Codable, Sendable {
        /// Every stage has ended by itself.
        case completed
        /// Asked to drain, everything in flight was finished or given back.
        case drained
        /// Asked to stop: nothing is in flight, and what is not settled waits for the next run.
        case stopped
        /// Cut short: by the drain deadline, or because somebody wanted it at once.
        case abandoned
        /// The run could not go on.
        case failed
        /// The machine did not offer what the run needs.
        case unavailable
    }

    public var outcome: Outcome
    /// The first cause, of a run that failed.
    public var message: String?
    /// Records that were neither settled nor dead letters: in memory mode they are gone.
    public var unsettled: Int

    public init(outcome: Outcome, message: String? = nil, unsettled: Int) {
        self.outcome = outcome
        self.message = message
        self.unsettled = unsettled
    }
}

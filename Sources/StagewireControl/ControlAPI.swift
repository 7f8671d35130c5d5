/// The control API: HTTP/1.1 and JSON on a Unix socket beside the workers' one. `docs/CONTROL_API.md` is its
/// description; these types are what the broker encodes and what the command line decodes.
///
/// Within version 1 fields are only added, and a reader ignores those that it does not know.
public enum ControlAPI {
    public static let version = 1
    /// What every path begins with.
    public static let prefix = "/v1"

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
    /// For programs: `not_found`, `bad_request`, `forbidden`, `conflict`, `too_large`, `method_not_allowed`,
    /// `unavailable`.
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

/// `POST /v1/stop`.
public struct StopRequest: Codable, Equatable, Sendable {
    public enum Mode: String, Codable, Sendable {
        /// Sources stop, everything in flight is finished, within the pipeline's drain limit.
        case drain
        /// Workers are killed, what is in flight is lost (in memory mode).
        case now
    }

    public var mode: Mode
    public init(mode: Mode) { self.mode = mode }
}

/// Answer to `POST /v1/stop` (202: the end comes later).
public struct StopAnswer: Codable, Equatable, Sendable {
    public var state: PipelineStatus.State
    /// Seconds until the broker cuts a drain short.
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

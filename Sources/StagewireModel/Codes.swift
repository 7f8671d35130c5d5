/// What went wrong, in one closed list of numbers that every SDK shares. 0 is a normal end;
/// 1000 and up belong to applications.
public enum Code: UInt32, Sendable, CaseIterable {
    case ok = 0

    // Connection
    case malformedFrame = 100
    case frameTooLarge = 101
    case unsupportedVersion = 102
    case unsupportedFeature = 103
    case handshakeTimeout = 104
    case idleTimeout = 105
    case unauthenticated = 106
    case unexpectedMessage = 107
    case flood = 108
    case frameLimitTooSmall = 109
    case tooManyConnections = 110
    case malformedHello = 111

    // Session
    case unknownStage = 200
    case duplicateInstance = 201
    case stageFull = 202
    case creditExceeded = 203
    case unknownPort = 204
    case unknownDelivery = 205
    case invalidOutcome = 206
    case leaseExpired = 207
    case fenced = 208
    case emitOutOfSequence = 209
    case notClaimed = 210
    case shuttingDown = 211
    case drainDeadline = 212
    case invalidPartition = 213

    // Delivery: reasons of refusals and dead letters
    case rejected = 300
    case attemptsExhausted = 301
    case expired = 302
    case crashed = 303
    case outputTooLarge = 304
    case stepTooLarge = 305
    case invalidOutput = 306

    public enum Scope: String, Sendable { case none, connection, session, delivery }

    /// By hundreds: 1xx are a connection's, 2xx a session's, 3xx a delivery's.
    public var scope: Scope {
        if rawValue == 0 { return .none }
        return rawValue < 200 ? .connection : rawValue < 300 ? .session : .delivery
    }

    /// The name in `docs/PROTOCOL.md`, the same in every SDK.
    public var name: String {
        switch self {
        case .ok: "OK"
        case .malformedFrame: "MALFORMED_FRAME"
        case .frameTooLarge: "FRAME_TOO_LARGE"
        case .unsupportedVersion: "UNSUPPORTED_VERSION"
        case .unsupportedFeature: "UNSUPPORTED_FEATURE"
        case .handshakeTimeout: "HANDSHAKE_TIMEOUT"
        case .idleTimeout: "IDLE_TIMEOUT"
        case .unauthenticated: "UNAUTHENTICATED"
        case .unexpectedMessage: "UNEXPECTED_MESSAGE"
        case .flood: "FLOOD"
        case .frameLimitTooSmall: "FRAME_LIMIT_TOO_SMALL"
        case .tooManyConnections: "TOO_MANY_CONNECTIONS"
        case .malformedHello: "MALFORMED_HELLO"
        case .unknownStage: "UNKNOWN_STAGE"
        case .duplicateInstance: "DUPLICATE_INSTANCE"
        case .stageFull: "STAGE_FULL"
        case .creditExceeded: "CREDIT_EXCEEDED"
        case .unknownPort: "UNKNOWN_PORT"
        case .unknownDelivery: "UNKNOWN_DELIVERY"
        case .invalidOutcome: "INVALID_OUTCOME"
        case .leaseExpired: "LEASE_EXPIRED"
        case .fenced: "FENCED"
        case .emitOutOfSequence: "EMIT_OUT_OF_SEQUENCE"
        case .notClaimed: "NOT_CLAIMED"
        case .shuttingDown: "SHUTTING_DOWN"
        case .drainDeadline: "DRAIN_DEADLINE"
        case .invalidPartition: "INVALID_PARTITION"
        case .rejected: "REJECTED"
        case .attemptsExhausted: "ATTEMPTS_EXHAUSTED"
        case .expired: "EXPIRED"
        case .crashed: "CRASHED"
        case .outputTooLarge: "OUTPUT_TOO_LARGE"
        case .stepTooLarge: "STEP_TOO_LARGE"
        case .invalidOutput: "INVALID_OUTPUT"
        }
    }

    /// Whether connecting (or trying) again, unchanged, can help.
    public var isRetryable: Bool {
        switch self {
        case .handshakeTimeout, .idleTimeout, .tooManyConnections, .duplicateInstance, .stageFull,
            .leaseExpired, .shuttingDown, .drainDeadline:
            true
        case .ok, .malformedFrame, .frameTooLarge, .unsupportedVersion, .unsupportedFeature, .unauthenticated,
            .unexpectedMessage, .flood, .frameLimitTooSmall, .malformedHello, .unknownStage, .creditExceeded,
            .unknownPort, .unknownDelivery, .invalidOutcome, .fenced, .emitOutOfSequence, .notClaimed,
            .invalidPartition, .rejected, .attemptsExhausted, .expired, .crashed, .outputTooLarge, .stepTooLarge,
            .invalidOutput:
            false
        }
    }
}

/// Why a connection ends: a code and a sentence that says what happened and what to do.
public struct CloseReason: Error, Equatable, Sendable {
    public var code: UInt32
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code.rawValue
        self.message = message
    }

    public init(code: UInt32, message: String) {
        self.code = code
        self.message = message
    }
}

/// An error of one delivery or emission, as a worker or the broker states it.
public struct DeliveryError: Error, Equatable, Sendable {
    public var code: UInt32
    public var message: String
    /// The effect may have happened.
    public var indefinite: Bool

    public init(code: UInt32, message: String, indefinite: Bool = false) {
        self.code = code
        self.message = message
        self.indefinite = indefinite
    }

    public init(_ code: Code, _ message: String, indefinite: Bool = false) {
        self.init(code: code.rawValue, message: message, indefinite: indefinite)
    }
}

import StagewireModel

/// Why a connection is over.
enum Fault: Error, Equatable, Sendable {
    case closed(CloseReason, byBroker: Bool)
    case endOfStream
    case broken(String)

    var text: String {
        switch self {
        case .closed(let reason, _):
            let name = Code(rawValue: reason.code)?.name ?? "code \(reason.code)"
            return "\(reason.message) [\(name)]"
        case .endOfStream: return "the broker is gone: the connection ended without a word"
        case .broken(let problem): return problem
        }
    }
}

/// How a worker ends.
struct Exit: Equatable, Sendable {
    var code: Int32
    /// For standard error; empty: nothing to say.
    var message = ""
}

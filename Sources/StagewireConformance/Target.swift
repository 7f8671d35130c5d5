/// What is tested, and how it is reached.
public enum Target: Sendable, Equatable {
    /// A worker that the suite starts for every case.
    case worker(command: [String], directory: String?)
    /// A worker that somebody starts by hand, again for every case: it dials this path.
    case attachedWorker(socket: String)
    /// A broker that the suite starts for every case. `{pipeline}` and `{socket}` in the command stand for paths.
    case broker(command: [String], directory: String?)
    /// A broker that runs already, with the pipeline of `conformance/pipeline.yaml`.
    case runningBroker(socket: String)

    public var role: Role {
        switch self {
        case .worker, .attachedWorker: .worker
        case .broker, .runningBroker: .broker
        }
    }

    var hasProcess: Bool {
        switch self {
        case .worker, .broker: true
        case .attachedWorker, .runningBroker: false
        }
    }
}

/// How cases are run.
public struct RunOptions: Sendable {
    /// Every wait and every pause is multiplied by it.
    public var timeScale = 1.0
    public var jobs = 1
    public var seed: UInt64 = 1
    /// Begins no more cases once one has failed or crashed.
    public var stopsAtFirstFailure = false
    /// Features by stage that the worker says it offers or requires; what Hello has must be the same. Nil: as in Hello.
    public var features: [String: Set<String>]?
    /// The broker under test has Stagewire's control API (docs/CONTROL_API.md), which some cases ask for what no worker
    /// can see, such as why a record became a dead letter.
    public var hasControl = true
    /// Where each case gets a directory of its own.
    public var directory: String

    public init(directory: String) { self.directory = directory }
}

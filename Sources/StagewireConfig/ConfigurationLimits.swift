import StagewireModel

/// What a configuration may ask for. Lower bounds keep a pipeline able to move; upper bounds keep a typing
/// error from reserving the machine.
enum ConfigurationLimits {
    // MARK: Counts
    static let stages = 1024
    /// Inputs of one stage: all of them have to fit into one `Welcome` beside `config`, in 256 KiB.
    static let inputs = 256
    static let ports = 64
    static let workers = 1...Limits.connections
    static let attempts = 1...1_000_000
    static let crashes = 1...1000
    /// Records that a breaker looks back at; the broker keeps a byte for each.
    static let breaker = 1...10_000
    /// Bytes of a stage's `config` as JSON.
    static let config = 128 * 1024
    /// Nesting of a stage's `config` is that of the file: `Document.depth`.

    // MARK: Durations
    static let backoff: ClosedRange<Duration> = .milliseconds(1)...(.seconds(86_400))
    static let age: ClosedRange<Duration> = .milliseconds(1)...(.seconds(365 * 86_400))
    static let pause: ClosedRange<Duration> = .milliseconds(1)...(.seconds(86_400))
    static let lease: ClosedRange<Duration> = .milliseconds(10)...(.seconds(86_400))
    static let timeout: ClosedRange<Duration> = .milliseconds(10)...(.seconds(86_400))
    static let drain: ClosedRange<Duration> = .zero...(.seconds(86_400))

    // MARK: Budgets
    /// The stamp of the deepest pipeline takes under 4 KiB; the frame around one record has to stay under
    /// the ceiling of frames.
    static let record = 4096...(Limits.ceilingFrame - Limits.frameOverhead)
    static let bytes = 4096...(16 << 30)
    static let records = 1...(1 << 24)
    /// A few segments have to fit at least.
    static let journal = 16 << 20...terabytes
    static let backlog = 0...terabytes
    static let retention = 1 << 20...terabytes

    // MARK: Processes
    // Lower bounds: under these no program starts, or none that can do anything. Upper bounds: what a process
    // can address, and what a kernel grants as a rule.
    static let addressSpace = 16 << 20...terabytes
    /// Standard streams, the socket, and some for the program's own start.
    static let openFiles = 16...(1 << 20)
    static let cpuTime: ClosedRange<Duration> = .seconds(1)...(.seconds(365 * 86_400))
    static let fileSize = 4096...terabytes
    static let coreSize = 0...terabytes
    static let niceness = 0...19
    private static let terabytes = 16 << 40

    // MARK: Paths
    /// Bytes of a Unix socket's path that every system takes (`sun_path` of 104 on some, its end included).
    static let unixSocket = 103
    /// Bytes that the name of the control socket, which stands beside the workers', has more.
    static let controlSuffix = 8
    static let socketPath = unixSocket - controlSuffix

    // MARK: exec
    static let execRecords = 1...1_000_000
    static let execEvery: ClosedRange<Duration> = .zero ... .seconds(86_400)
    static let execTimeout: ClosedRange<Duration> = .milliseconds(1) ... .seconds(86_400)
    static let execGrace: ClosedRange<Duration> = .zero ... .seconds(3600)
}

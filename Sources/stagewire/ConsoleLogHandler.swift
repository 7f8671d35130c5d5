import Glibc
import Logging

/// swift-log's backend: one line each on the console, `12:03:04 warning: text`.
struct ConsoleLogHandler: LogHandler {
    let console: Console
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    init(console: Console, logLevel: Logger.Level) {
        self.console = console
        self.logLevel = logLevel
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let prefix =
            switch event.level {
            case .trace, .debug: "debug: "
            case .info, .notice: ""
            case .warning: "warning: "
            case .error, .critical: "error: "
            }
        console.line("\(Self.time()) \(prefix)\(Self.label(event.metadata))\(event.message)")
    }

    /// "[stage/instance] "
    private static func label(_ metadata: Logger.Metadata?) -> String {
        guard let stage = metadata?["stage"] else { return "" }
        return "[\(stage)\(metadata?["instance"].map { "/\($0)" } ?? "")] "
    }

    /// Local time of day.
    private static func time() -> String {
        var now = time_t()
        Glibc.time(&now)
        var local = tm()
        localtime_r(&now, &local)
        return [local.tm_hour, local.tm_min, local.tm_sec].map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(separator: ":")
    }
}

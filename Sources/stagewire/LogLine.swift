import Foundation
import Glibc
import Logging
import StagewireWire

/// One entry of the log: what it says, and where it comes from.
struct LogLine: Equatable, Sendable {
    /// Bytes of one line that are shown at most.
    private static let longest = 64 * 1024

    var time: timespec
    var level: Logger.Level
    var message: String
    var stage: String?
    var instance: String?
    /// "stdout" or "stderr" on lines that a worker printed.
    var stream: String?

    /// Takes the origin out of the metadata that the broker gives.
    init(level: Logger.Level, message: String, metadata: Logger.Metadata = [:], time: timespec = .now) {
        self.time = time
        self.level = level
        self.message = message
        stage = metadata["stage"].map { "\($0)" }
        instance = metadata["instance"].map { "\($0)" }
        stream = metadata["stream"].map { "\($0)" }
    }

    static func == (a: Self, b: Self) -> Bool {
        (a.time.tv_sec, a.time.tv_nsec, a.level, a.message) == (b.time.tv_sec, b.time.tv_nsec, b.level, b.message)
            && (a.stage, a.instance, a.stream) == (b.stage, b.instance, b.stream)
    }

    // MARK: For a person

    /// `12:03:04 score/1   | text`: what a worker printed stands behind a bar, what the broker says of a worker behind
    /// a colon, and what it says of itself behind the time. Further lines are indented.
    ///
    /// - Parameter width: of the labels, so that texts stand below one another; a longer label is not cut.
    func text(_ style: Style, labelWidth width: Int = 0) -> String {
        // Whatever it is that got here, no control character reaches a terminal.
        let lines = message.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            Text.escaped(String(line), limit: Self.longest)
        }
        let rest = lines.dropFirst().map { $0.hasPrefix("    ") ? "\n\($0)" : "\n    \($0)" }
        return "\(clock) \(label(style, width))\(severity(style))\(lines.first ?? "")\(rest.joined())"
    }

    private func label(_ style: Style, _ width: Int) -> String {
        guard let stage else { return "" }
        let name = Text.escaped(instance.map { "\(stage)/\($0)" } ?? stage)
        let space = String(repeating: " ", count: max(0, width - name.count))
        return style.label(name, of: stage) + space + (stream == nil ? " : " : " | ")
    }

    private func severity(_ style: Style) -> String {
        switch level {
        case .trace, .debug: "debug: "
        case .info, .notice: ""
        case .warning: style.warning("warning:") + " "
        case .error, .critical: style.error("error:") + " "
        }
    }

    /// Local time of day.
    private var clock: String {
        var seconds = time.tv_sec
        var local = tm()
        localtime_r(&seconds, &local)
        return [local.tm_hour, local.tm_min, local.tm_sec].map { Figures.two($0) }.joined(separator: ":")
    }

    // MARK: For a program

    /// One JSON object on one line; `event` and `details` are there on the run's milestones.
    func json<Details: Encodable>(event: String? = nil, details: Details?) -> String {
        let object = Object(
            time: time.rfc3339, level: level.rawValue, message: message, stage: stage, instance: instance,
            stream: stream, event: event, details: details)
        return JSONText.line(object)
    }

    var json: String { json(details: Bool?.none) }

    private struct Object<Details: Encodable>: Encodable {
        var time: String
        var level: String
        var message: String
        var stage: String?
        var instance: String?
        var stream: String?
        var event: String?
        var details: Details?
    }
}

extension timespec {
    static var now: timespec {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return now
    }

    /// UTC with milliseconds, `2026-11-21T04:05:06.007Z`.
    var rfc3339: String {
        var seconds = tv_sec
        var utc = tm()
        gmtime_r(&seconds, &utc)
        let date = "\(utc.tm_year + 1900)-\(Figures.two(utc.tm_mon + 1))-\(Figures.two(utc.tm_mday))"
        let clock = [utc.tm_hour, utc.tm_min, utc.tm_sec].map { Figures.two($0) }.joined(separator: ":")
        let milliseconds = String(tv_nsec / 1_000_000)
        return "\(date)T\(clock).\(String(repeating: "0", count: 3 - milliseconds.count))\(milliseconds)Z"
    }
}

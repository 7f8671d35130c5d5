import Dispatch
import Glibc
import Synchronization

/// Standard error: log lines, and below them one status line that is rewritten in place on a terminal.
///
/// Whoever reads it may be slow or paused, so one queue writes and nobody waits for it; what does not fit into
/// the backlog is dropped and counted.
final class Console: Sendable {
    /// Bytes that may wait to be written.
    private static let backlog = 1024 * 1024

    private struct State {
        var waiting = 0
        var dropped = 0
        var status = ""
    }

    let format: LogFormat
    /// Whether there is a status line.
    let isRewriting: Bool
    private let style: Style
    /// Columns of the labels in front of lines.
    private let labelWidth: Int
    private let queue = DispatchQueue(label: "stagewire.console")
    private let state = Mutex(State())

    init(_ options: LogOptions, labelWidth: Int, environment: [String: String]) {
        format = options.logFormat
        style = Style(isColored: options.color.isColored(STDERR_FILENO, environment: environment))
        isRewriting = format == .text && Terminal.canControl(STDERR_FILENO, environment)
        self.labelWidth = labelWidth
    }

    /// For a command that logs nothing and shows a status line only.
    init(environment: [String: String]) {
        format = .text
        style = Style.of(STDERR_FILENO)
        isRewriting = Terminal.canControl(STDERR_FILENO, environment)
        labelWidth = 0
    }

    func log(_ line: LogLine) { self.line(render(line)) }

    private func render(_ line: LogLine) -> String {
        switch format {
        case .text: line.text(style, labelWidth: labelWidth)
        case .json: line.json
        }
    }

    /// Prints one or several lines as they are.
    func line(_ text: String) {
        let dropped: Int? = state.withLock { state in
            guard state.waiting + text.utf8.count <= Self.backlog else {
                state.dropped += 1
                return nil
            }
            state.waiting += text.utf8.count
            defer { state.dropped = 0 }
            return state.dropped
        }
        guard let dropped else { return }
        let note = dropped > 0 ? render(Self.note(dropped)) + "\n" : ""
        queue.async { [self] in
            let status = state.withLock { $0.status }
            let (clear, redraw) = status.isEmpty ? ("", "") : ("\r\u{1b}[K", status)
            Terminal.write(clear + note + text + "\n" + redraw, to: STDERR_FILENO)
            state.withLock { $0.waiting -= text.utf8.count }
        }
    }

    private static func note(_ dropped: Int) -> LogLine {
        LogLine(level: .warning, message: "\(dropped) lines dropped: standard error is not read fast enough")
    }

    /// Columns that a status line may take: one less than there are, for the cursor.
    var statusWidth: Int { Terminal.width(STDERR_FILENO) - 1 }

    /// Replaces the status line; only where there is one.
    func status(_ text: String) {
        precondition(isRewriting, "what is not a terminal gets lines")
        let isBehind = state.withLock { state in
            state.status = text
            return state.waiting > 0
        }
        // The lines that are waiting will draw it.
        if !isBehind { queue.async { Terminal.write("\r\u{1b}[K" + text, to: STDERR_FILENO) } }
    }

    func clearStatus() {
        let hadStatus = state.withLock { state in
            defer { state.status = "" }
            return !state.status.isEmpty
        }
        if hadStatus { queue.async { Terminal.write("\r\u{1b}[K", to: STDERR_FILENO) } }
    }

    /// Waits until everything is written, for two seconds at most.
    func finish() {
        let done = DispatchSemaphore(value: 0)
        queue.async { done.signal() }
        _ = done.wait(timeout: .now() + 2)
    }
}

import Dispatch
import Glibc
import Synchronization

/// Standard error: lines, and below them one status line that is rewritten in place on a terminal.
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

    let isTerminal = Terminal.isTerminal(STDERR_FILENO)
    private let queue = DispatchQueue(label: "stagewire.console")
    private let state = Mutex(State())

    /// Prints one or several lines.
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
        let note = dropped > 0 ? "(\(dropped) lines dropped: standard error is not read fast enough)\n" : ""
        queue.async { [self] in
            let status = state.withLock { $0.status }
            let (clear, redraw) = status.isEmpty ? ("", "") : ("\r\u{1b}[K", status)
            Terminal.write(clear + note + text + "\n" + redraw, to: STDERR_FILENO)
            state.withLock { $0.waiting -= text.utf8.count }
        }
    }

    /// Replaces the status line. On anything but a terminal it is a line like any other.
    func status(_ text: String) {
        guard isTerminal else { return line(text) }
        let fitting = String(text.prefix(Terminal.width(STDERR_FILENO) - 1))
        let isBehind = state.withLock { state in
            state.status = fitting
            return state.waiting > 0
        }
        // The lines that are waiting will draw it.
        if !isBehind { queue.async { Terminal.write("\r\u{1b}[K" + fitting, to: STDERR_FILENO) } }
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

import Glibc
import StagewireControl

/// `status --watch`: redrawn in place on a terminal, one block after the other elsewhere.
struct StatusWatch {
    var client: ControlClient
    var interval: Duration

    private static let home = "\u{1b}[H"
    private static let clearLine = "\u{1b}[K"
    private static let clearBelow = "\u{1b}[J"

    func run() async throws {
        // The last table stays where it is.
        let signals = SignalThread()
        signals.start { _, _ in _exit(0) }
        defer { withExtendedLifetime(signals) {} }
        var before: PipelineStatus?
        var isFirst = true
        while true {
            let status: PipelineStatus
            do {
                status = try await client.status()
            } catch let failure as ControlFailure where failure.isGone {
                guard let before else { throw failure }
                return Output.text("\(before.pipeline) has ended.")
            }
            draw(StatusView(status: status, before: before), isFirst: isFirst)
            (before, isFirst) = (status, false)
            try await Task.sleep(for: interval)
        }
    }

    private func draw(_ view: StatusView, isFirst: Bool) {
        guard Terminal.isTerminal(STDOUT_FILENO) else {
            return Output.text((isFirst ? "" : "\n") + view.lines().joined(separator: "\n"))
        }
        // Asked every time, for the window may have been resized.
        let size = Terminal.size(STDOUT_FILENO)
        let style = Style.of(STDOUT_FILENO)
        let lines = view.lines(width: size.columns, style: style).prefix(max(2, size.rows - 1))
        let text = lines.map { Self.cut($0, size.columns) + Self.clearLine + "\n" }.joined()
        Terminal.write((isFirst ? Self.home + Self.clearBelow : Self.home) + text + Self.clearBelow, to: STDOUT_FILENO)
    }

    /// As many characters as fit, without counting the colours' sequences: a line that wraps would shift the others.
    static func cut(_ line: String, _ width: Int) -> String {
        var result = ""
        var count = 0
        var isSequence = false
        for character in line {
            if character == "\u{1b}" { isSequence = true }
            if !isSequence {
                guard count < width else { continue }
                count += 1
            }
            result.append(character)
            if isSequence, character == "m" { isSequence = false }
        }
        return result
    }
}

extension Terminal {
    /// 80 by 24 when unknown.
    static func size(_ descriptor: Int32) -> (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 else { return (80, 24) }
        return (size.ws_col > 0 ? Int(size.ws_col) : 80, size.ws_row > 0 ? Int(size.ws_row) : 24)
    }
}

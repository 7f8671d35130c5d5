import Foundation
import Logging
import Testing

@testable import stagewire

/// One line of the log, in both formats.
@Suite struct LogLineTests {
    /// 2026-11-21 04:05:06.007 UTC
    private static let time = timespec(tv_sec: 1_795_233_906, tv_nsec: 7_999_999)
    private static let plain = Style(isColored: false)
    private static let colored = Style(isColored: true)

    private func line(_ message: String, _ level: Logger.Level = .info, _ metadata: Logger.Metadata = [:]) -> LogLine {
        LogLine(level: level, message: message, metadata: metadata, time: Self.time)
    }

    /// Without the time of day, which depends on where the test runs.
    private func text(_ line: LogLine, _ style: Style = plain, width: Int = 0) -> String {
        let text = line.text(style, labelWidth: width)
        #expect(text.prefixMatch(of: #/\d\d:\d\d:\d\d /#) != nil)
        return String(text.dropFirst(9))
    }

    @Test func labels() {
        let worker: Logger.Metadata = ["stage": "score", "instance": "1", "stream": "stderr"]
        #expect(text(line("at work", .info, worker)) == "score/1 | at work")
        #expect(text(line("at work", .info, worker), width: 12) == "score/1      | at work")
        #expect(text(line("at work", .info, worker), width: 3) == "score/1 | at work", "a longer label is not cut")
        let broker: Logger.Metadata = ["stage": "score", "instance": "1"]
        #expect(text(line("attached", .info, broker)) == "score/1 : attached")
        #expect(text(line("has ended", .info, ["stage": "score"])) == "score : has ended")
        #expect(text(line("stopping")) == "stopping")
    }

    @Test func severity() {
        #expect(text(line("odd", .warning, ["stage": "a", "instance": "2"])) == "a/2 : warning: odd")
        #expect(text(line("odd", .warning), Self.colored) == "\u{1b}[33mwarning:\u{1b}[0m odd")
        #expect(text(line("bad", .error), Self.colored) == "\u{1b}[31merror:\u{1b}[0m bad")
        #expect(text(line("so", .notice), Self.colored) == "so")
    }

    @Test("a stage has one colour, and several stages have several")
    func colors() {
        func color(_ stage: String) -> Substring {
            text(line("x", .info, ["stage": "\(stage)", "instance": "1", "stream": "stdout"]), Self.colored)
                .prefix { $0 != "m" }
        }
        #expect(color("score") == color("score"))
        let all = Set((0..<100).map { color("stage-\($0)") })
        #expect((6...8).contains(all.count))
        #expect(!all.contains("\u{1b}[31") && !all.contains("\u{1b}[33"), "red and yellow mean trouble")
    }

    @Test("no control character comes through, and a message stays below its time")
    func escaping() {
        let hostile = "\u{1b}[2J\u{9b}31m\u{202e}\rx"
        let shown = text(line(hostile, .info, ["stage": "\u{7}s", "instance": "\n1"]))
        #expect(shown == "\\u{7}s/\\u{a}1 : \\u{1b}[2J\\u{9b}31m\\u{202e}\\u{d}x")
        #expect(text(line("why\n    indented\nnot")) == "why\n    indented\n    not")
    }

    @Test func json() throws {
        let worker: Logger.Metadata = ["stage": "score", "instance": "1", "stream": "stderr"]
        let object = try JSONSerialization.jsonObject(with: Data(line("a \"b\"\n", .warning, worker).json.utf8))
        let expected = [
            "time": "2026-11-21T04:05:06.007Z", "level": "warning", "message": "a \"b\"\n", "stage": "score",
            "instance": "1", "stream": "stderr",
        ]
        #expect(object as? [String: String] == expected)
        let plain = try JSONSerialization.jsonObject(with: Data(line("x").json.utf8)) as? [String: String]
        #expect(plain?.keys.sorted() == ["level", "message", "time"], "what is not known is absent")
    }

    @Test("JSON is one line of safe text that means the same")
    func hostileJSON() throws {
        let hostile = "\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\u{2028}\u{e0041}\nx"
        let json = line(hostile).json
        let isSafe = json.unicodeScalars.allSatisfy { scalar in
            ![.control, .format, .lineSeparator, .paragraphSeparator].contains(scalar.properties.generalCategory)
        }
        #expect(isSafe)
        let object = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: String]
        #expect(object?["message"] == hostile)
    }
}

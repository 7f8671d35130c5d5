import Glibc
import Testing

@testable import stagewire

/// What is decided before anything is printed.
@Suite struct ChoiceTests {
    /// A pseudo-terminal stands for a real one.
    @Test func color() throws {
        let terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY)
        try #require(terminal >= 0 && isatty(terminal) == 1)
        defer { close(terminal) }
        func isColored(_ choice: ColorChoice, _ environment: [String: String], on descriptor: Int32) -> Bool {
            choice.isColored(descriptor, environment: environment)
        }
        #expect(isColored(.auto, ["TERM": "xterm"], on: terminal))
        #expect(!isColored(.auto, ["TERM": "dumb"], on: terminal))
        #expect(!isColored(.auto, ["TERM": "xterm", "NO_COLOR": "1"], on: terminal))
        #expect(isColored(.auto, ["TERM": "xterm", "NO_COLOR": ""], on: terminal), "an empty value is none")
        #expect(isColored(.always, ["TERM": "dumb", "NO_COLOR": "1"], on: terminal), "who asks gets it")
        #expect(!isColored(.never, ["TERM": "xterm"], on: terminal))
        let file = open("/dev/null", O_WRONLY)
        defer { close(file) }
        #expect(!isColored(.auto, ["TERM": "xterm"], on: file))
        #expect(isColored(.always, [:], on: file))
    }

    @Test func invocation() {
        #expect(Invocation.wantsJSON(["run", "--json"]))
        #expect(!Invocation.wantsJSON(["run", "--", "--json"]))
        #expect(!Invocation.wantsJSON(["decode", "--json-lines"]))
        #expect(Invocation.command(["--nonsense", "run", "check"]) == "run")
        #expect(Invocation.command(["nonsense", "run"]) == "stagewire")
        #expect(Invocation.command([]) == "stagewire")
    }

    @Test func problems() {
        let problem = Problem(
            code: "configuration", message: "no such stage", file: "p.yaml", line: 3, column: 5, hint: "did you mean a?"
        )
        #expect(problem.text == "p.yaml:3:5: no such stage\n    did you mean a?")
        #expect(Failure(.environment, "no broker").problems == [Problem(code: "environment", message: "no broker")])
        #expect(Failure(.environment, "no broker").problems[0].text == "stagewire: no broker")
        #expect(Failure(.usage, "no", code: "not_found").problems[0].code == "not_found")
        #expect([ExitStatus.runtime, .usage, .environment, .signal(15)].map(\.code) == [1, 2, 3, 143])
    }
}

import StagewireConfig
import Testing

/// Whatever stands in the file: a pipeline or errors with places in it, never a crash.
@Suite struct RobustnessTests {
    static func check(_ text: String, _ seed: UInt64) {
        do {
            let commands = CommandCheck(environment: ["PATH": "/no/such:."])
            _ = try PipelineFile.parse(text, name: "test.yaml", directory: "/no/such", commands: commands)
        } catch {
            let lines = text.unicodeScalars.count { ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"].contains($0) } + 1
            for error in error.errors {
                // An unexpected end may be reported on the line behind the last.
                #expect(error.line >= 1 && error.line <= lines + 1 && error.column >= 1, "seed \(seed): \(error)")
                #expect(!error.message.isEmpty, "seed \(seed)")
            }
        }
    }

    @Test(arguments: 0..<300 as Range<UInt64>) func randomBytes(_ seed: UInt64) {
        var random = Random(seed: seed)
        let bytes = (0..<Int.random(in: 0..<200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        Self.check(String(decoding: bytes, as: UTF8.self), seed)
    }

    @Test(arguments: 0..<300 as Range<UInt64>) func randomTokens(_ seed: UInt64) {
        var random = Random(seed: seed)
        let tokens = [
            "pipeline", "stages", "from", "run", ": ", ":", "- ", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ", ",
            "&a ",
            "*a", "\"", "'", "|", ">", "!", "%", "? ", "---", "...", "#", "a", "1", "~", "\t", "\r\n", "\u{85}", "é",
            "\\",
            "!!str ", "<<", "@", "`", "when", "==",
        ]
        let count = Int.random(in: 1..<60, using: &random)
        Self.check((0..<count).map { _ in random.pick(tokens) }.joined(), seed)
    }

    @Test(arguments: 0..<600 as Range<UInt64>) func mutations(_ seed: UInt64) {
        var random = Random(seed: seed)
        var bytes = Array(LoadingTests.full.utf8)
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let index = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes.remove(at: index)
            case 1: bytes[index] = random.pick(Array(" \n\t:-[]{},&*!|>'\"%@`#?a1".utf8))
            case 2: bytes.insert(random.pick(Array(" \n:-[]{},*&\"'".utf8)), at: index)
            case 3: bytes.insert(contentsOf: bytes[index..<min(bytes.count, index + 40)], at: index)
            default: bytes[index] = UInt8.random(in: 0...255, using: &random)
            }
        }
        Self.check(String(decoding: bytes, as: UTF8.self), seed)
    }

    @Test func everyPrefix() {
        let text = LoadingTests.full
        for count in stride(from: 0, to: text.utf8.count, by: 3) {
            Self.check(String(decoding: text.utf8.prefix(count), as: UTF8.self), UInt64(count))
        }
    }

    /// As much as a file may hold, in the shapes that cost most: each has to end.
    @Test func fullSize() {
        let limit = 1_048_576
        let wrong = (0..<300).map {
            "  s\($0): {run: [x], from: [" + String(repeating: "t\($0), ", count: 150) + "]}\n"
        }
        let dense = (0..<300).map { stage in
            let from = (max(0, stage - 150)..<stage).map { "s\($0), " }.joined()
            return "  s\(stage): {run: [x], " + (stage == 0 ? "source: true" : "from: [\(from)]") + "}\n"
        }
        for text in [
            "pipeline: p\nstages:\n" + wrong.joined(), "pipeline: p\nstages:\n" + dense.joined(),
            String(repeating: "- ", count: limit / 2), String(repeating: "{", count: limit),
            "a: \"" + String(repeating: "*", count: limit - 5) + "\"",
        ] {
            #expect(text.utf8.count <= limit)
            Self.check(text, 0)
        }
    }
}

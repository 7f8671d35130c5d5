import Foundation
import Testing

/// `stagewire check`, `graph` and `schema` as a user meets them.
@Suite struct CheckCommandTests {
    private static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    private static let golden = tests.appendingPathComponent("StagewireConfigTests/Golden")

    private static func read(_ name: String) throws -> String {
        try String(contentsOf: golden.appendingPathComponent(name), encoding: .utf8)
    }

    // MARK: Files that are wrong

    /// The program says what the reader's golden files say, and nothing on standard output.
    @Test(arguments: [
        "broken-yaml", "unknown-keys", "wrong-types", "cycle", "dangling", "duplicate-keys", "durations", "when-errors",
        "when-lines", "limit-relations", "resources", "alias-bomb", "too-deep", "names",
    ]) func brokenFiles(_ name: String) async throws {
        let expected = try Self.read("\(name).txt").replacing("\(name).yaml:", with: "p.yaml:")
        let result = try await Program.run(["check", "--no-commands", "p.yaml"], Self.read("\(name).yaml"))
        #expect(result.code == 2)
        #expect(result.error == expected)
        #expect(result.output == "")
    }

    /// What was said is in the envelope too, one element for each.
    @Test(arguments: ["check", "graph"]) func errorsAsJSON(_ command: String) async throws {
        let arguments = command == "check" ? ["--no-commands", "--json"] : ["--json"]
        let result = try await Program.run([command, "p.yaml"] + arguments, Self.read("unknown-keys.yaml"))
        #expect(result.code == 2)
        let envelope = try Self.envelope(result.output)
        #expect(envelope["command"] as? String == command && envelope["ok"] as? Bool == false)
        let errors = try #require(envelope["errors"] as? [[String: Any]])
        #expect(errors.count == 8)
        #expect(errors[0]["code"] as? String == "configuration" && errors[0]["file"] as? String == "p.yaml")
        #expect(errors[2]["line"] as? Int == 6 && errors[2]["column"] as? Int == 5)
        #expect(errors[2]["message"] as? String == "unknown key `wokers` in stage `ingest`")
        #expect(errors[2]["hint"] as? String == "did you mean `workers`?")
    }

    private static func envelope(_ output: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
    }

    private static let missing = """
        pipeline: test
        stages:
          a: {run: [./missing, x], source: true}
          b: {run: [sh, -c, "true"], from: a, lease: 30}
        """

    /// Programs are looked for together with everything else.
    @Test(arguments: ["check", "run"]) func missingProgram(_ command: String) async throws {
        let result = try await Program.run([command, "p.yaml"], Self.missing)
        #expect(result.code == 2)
        #expect(
            result.error == """
                p.yaml:3:13: stage `a`: `run`: there is no program `./missing`
                    is it built? The path begins at the directory of this file
                p.yaml:4:46: `lease`: expected a duration such as `200ms`, `10m` or `1h30m`, found the number `30`
                    add a unit: ms, s, m, h or d

                """)
    }

    @Test func withoutCommands() async throws {
        let pipeline = Self.missing.replacing("lease: 30", with: "lease: 30s")
        #expect(try await Program.run(["check", "p.yaml"], pipeline).code == 2)
        #expect(try await Program.run(["check", "--no-commands", "p.yaml"], pipeline).code == 0)
        #expect(try await Program.run(["graph", "p.yaml"], pipeline).code == 0)
    }

    // MARK: Files that are right

    private static let sensors = """
        pipeline: sensors
        stages:
          ingest: {attach: external, source: true, ports: [out, alerts], max_workers: 2}
          score: {run: [sh], workers: 2, from: {stage: ingest, when: 'site == "a"'}}
          notify: {run: [sh], from: [score, {stage: ingest, port: alerts, overflow: drop-oldest}]}
        """

    @Test func report() async throws {
        let result = try await Program.run(["check", "p.yaml"], Self.sensors)
        #expect(result.code == 0 && result.error == "")
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines[0] == "p.yaml: pipeline sensors is right: 3 stages, durability disk")
        #expect(
            lines[2...5] == [
                "  ingest  source     external",
                "  score   transform  2 workers     < ingest.out when site == \"a\"",
                "  notify  sink       1 worker      < score",
                "                                   < ingest.alerts (drop-oldest)",
            ])
        #expect(lines[7] == "Memory of the broker, at most:")
        #expect(lines.last == "" && lines[lines.count - 2].hasPrefix("sum "))
    }

    @Test func reportAsJSON() async throws {
        let result = try await Program.run(["check", "--json", "p.yaml"], Self.sensors)
        #expect(result.code == 0)
        let report = try #require(try Self.envelope(result.output)["result"] as? [String: Any])
        #expect(report["pipeline"] as? String == "sensors")
        let stages = try #require(report["stages"] as? [[String: Any]])
        #expect(stages.map { $0["name"] as? String } == ["ingest", "score", "notify"])
        #expect(stages.map { $0["kind"] as? String } == ["source", "transform", "sink"])
        #expect(stages.map { $0["workers"] as? Int } == [nil, 2, 1])
        let budget = try #require(report["budget"] as? [String: Any])
        let bytes = try #require(budget["lines"] as? [[String: Any]]).compactMap { $0["bytes"] as? Int }
        #expect(bytes.count > 10 && budget["total"] as? Int == bytes.reduce(0, +))
        #expect((report["edges"] as? [[String: Any]])?.count == 3)
    }

    @Test func graphs() async throws {
        let mermaid = try await Program.run(["graph", "p.yaml"], Self.sensors)
        #expect(mermaid.code == 0 && mermaid.output.hasPrefix("flowchart LR\n    s0([\"ingest<br/>external\"])"))
        let dot = try await Program.run(["graph", "p.yaml", "--format", "dot"], Self.sensors)
        #expect(dot.code == 0 && dot.output.hasPrefix("digraph \"sensors\" {\n") && dot.output.hasSuffix("}\n"))
        let json = try await Program.run(["graph", "p.yaml", "--json"], Self.sensors)
        let graph = try #require(try Self.envelope(json.output)["result"] as? [String: Any])
        let edges = try #require(graph["edges"] as? [[String: String]])
        #expect(edges[0] == ["from": "ingest", "to": "score", "port": "out", "when": "site == \"a\""])
        #expect(edges[1] == ["from": "score", "to": "notify"])
        #expect(edges[2] == ["from": "ingest", "to": "notify", "port": "alerts", "overflow": "drop-oldest"])
        #expect((graph["nodes"] as? [Any])?.count == 3)
        #expect(try await Program.run(["graph", "p.yaml", "--format", "svg"], Self.sensors).code == 2)
    }

    @Test func schema() async throws {
        let result = try await Program.run(["schema"])
        let path = Self.tests.deletingLastPathComponent().appendingPathComponent("docs/pipeline.schema.json")
        #expect(result.code == 0)
        #expect(result.output == (try String(contentsOf: path, encoding: .utf8)))
        let envelope = try Self.envelope(try await Program.run(["schema", "--json"]).output)
        let whole = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? NSDictionary
        #expect(whole != nil && envelope["result"] as? NSDictionary == whole)
    }

    // MARK: Files that want to hurt

    /// Refused, and at once: an oversize file, nesting without end, aliases of aliases.
    @Test func hostileFiles() async throws {
        let bomb = (1...30).map {
            "x\($0): &x\($0) [" + Array(repeating: "*x\($0 - 1)", count: 9).joined(separator: ", ") + "]"
        }
        let files = [
            ("larger than 1MiB", String(repeating: "# pipeline\n", count: 100_000)),
            ("nest", "pipeline: p\nx: " + String(repeating: "[", count: 500_000)),
            ("aliases are not supported", "x0: &x0 [a]\n" + bomb.joined(separator: "\n")),
        ]
        for (sentence, text) in files {
            let result = try await Program.run(["check", "p.yaml"], text)
            #expect(result.code == 2 && result.error.contains(sentence))
        }
    }
}

import Foundation
import StagewireControl
import StagewireModel
import Testing

@testable import StagewireBroker

/// `status`, `dead-letters` and `stop` as a user meets them: words, exit codes, JSON.
@Suite struct ControlCommandTests {
    // MARK: Finding the pipeline

    @Test func nobodyRuns() async throws {
        try await Program.inDirectory(LivePipeline.yaml) { directory in
            for (arguments, words) in [
                (["status"], "no pipeline runs in \(directory)/stagewire"),
                (["stop", "sensors"], "no pipeline runs at \(directory)/stagewire/sensors.control.sock"),
                (["status", "p.yaml"], "no pipeline runs at \(directory)/stagewire/sensors.control.sock"),
                (["dead-letters", "list", "--control", "x.control"], "no pipeline runs at x.control"),
                (["dead-letters", "show", "score/1", "--control", "p.yaml"], "it is no socket"),
            ] {
                let result = try await Program(
                    arguments, in: directory, environment: ["XDG_RUNTIME_DIR": directory]
                ).wait()
                #expect(result.code == 1 && result.output.isEmpty)
                #expect(result.error.contains(words), "\(arguments): \(result.error)")
            }
        }
    }

    @Test func theOnlyOneIsFoundAndSeveralAreNamed() async throws {
        try await LivePipeline.with { pipeline in
            #expect(try await pipeline.run("status").output.hasPrefix("sensors: running, up "))
            #expect(try await pipeline.run("status", "sensors").code == 0)
            #expect(try await pipeline.run("status", "../p.yaml").code == 0)
            #expect(try await pipeline.run("status", "--control", pipeline.control).code == 0)
            let both = try await pipeline.run("status", "sensors", "--control", pipeline.control)
            #expect(both.code == 2 && both.error.contains("give one of them"))
            try await Program.inDirectory(LivePipeline.yaml.replacing("sensors", with: "meters")) { other in
                let second = try Program(
                    ["run", "p.yaml"], in: other, environment: ["XDG_RUNTIME_DIR": pipeline.directory])
                try await second.says("stages")
                let several = try await pipeline.run("status")
                #expect(several.code == 2 && several.error.contains("2 pipelines run: meters, sensors"))
                // What a killed broker leaves behind is none that runs.
                second.signal(SIGKILL)
                _ = try await second.wait()
                #expect(try await pipeline.run("status").output.hasPrefix("sensors: running"))
                let stale = try await pipeline.run("status", "meters")
                // Unless somebody has removed the socket after it.
                #expect(stale.code == 1 && stale.error.contains("no pipeline runs at"))
            }
        }
    }

    @Test func whatAnswersMayBeSomethingElse() async throws {
        try await LivePipeline.with { pipeline in
            let worker = try await pipeline.run("status", "--control", pipeline.path)
            #expect(worker.code == 1)
            let words = ["is not the control API", "ended before it answered"]
            #expect(words.contains { worker.error.contains($0) }, "\(worker.error)")
        }
    }

    @Test(arguments: [
        (
            "HTTP/1.1 404 Not Found\r\nStagewire-Api: 2\r\nContent-Length: 45\r\n\r\n"
                + "{\"error\":{\"code\":\"not_found\",\"message\":\"no\"}}", "speaks version 2 of the control API"
        ),
        ("HTTP/1.1 200 OK\r\nStagewire-Api: 1\r\nContent-Length: 2\r\n\r\n{}", "is none of the API's"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "without naming its version"),
        ("SSH-2.0-OpenSSH\r\n", "is not the control API"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "ended before it answered"),
        ("", "ended before it answered"),
    ]) func answersOfSomethingElse(_ answer: String, _ words: String) async throws {
        try await Program.inDirectory("") { directory in
            let path = directory + "/x.control.sock"
            let (listening, _) = try SocketPath(path).claim()
            defer { close(listening) }
            let command = try Program(["status", "--control", path], in: directory)
            try await onThread {
                var ready = pollfd(fd: listening, events: Int16(POLLIN), revents: 0)
                #expect(poll(&ready, 1, 20_000) == 1)
                let descriptor = accept(listening, nil, nil)
                defer { close(descriptor) }
                // The whole request, so that closing does not cut off the answer.
                var request = [UInt8](repeating: 0, count: 4096)
                #expect(recv(descriptor, &request, request.count, 0) > 0)
                _ = Array(answer.utf8).withUnsafeBytes {
                    send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
            }
            let result = try await command.wait()
            #expect(result.code == 1 && result.error.contains(words), "\(result.error)")
        }
    }

    @Test(arguments: [
        ["status", "--watch", "--json"], ["status", "--interval", "1ms"], ["dead-letters", "show", "score"],
        ["dead-letters", "show", "score/x"], ["dead-letters", "retry"], ["dead-letters", "drop", "--stage", "score"],
        ["dead-letters", "drop", "--all"], ["dead-letters", "drop", "score/1", "--stage", "score", "--all"],
        ["dead-letters", "retry", "--stage", "score", "--all", "--reason", "REJECTED"],
        ["dead-letters", "list", "--limit", "0"], ["dead-letters", "show", "score/1", "--json", "--payload"],
        ["dead-letters", "show", "score/1", "--record", "--payload"],
        ["dead-letters", "retry", "--key", "a"], ["dead-letters", "drop", "score/1", "--error", "x"],
        ["dead-letters", "drop", "--stage", "score", "--error", ""], ["dead-letters", "list", "--attribute", "level"],
        ["dead-letters", "list", "--attribute", "a=1", "--attribute", "a=2"],
        ["dead-letters", "list", "--after", "noon"],
        ["dead-letters", "list", "--after", "1h", "--before", "2h"], ["resume"],
        ["dead-letters", "retry", "--stage", "score", "--all", "--schema", "x", "--dry-run", "--json"],
    ]) func wrongUsage(_ arguments: [String]) async throws {
        let result = try await Program.run(arguments)
        #expect(result.code == 2 && result.error.contains("sage: stagewire"))
        #expect(result.output.isEmpty != arguments.contains("--json"), "with --json the envelope says it, too")
    }

    // MARK: Commands

    @Test func statusTable() async throws {
        try await LivePipeline.with { pipeline in
            let workers = try await pipeline.reject(3)
            let result = try await pipeline.run("status")
            let lines = result.output.split(separator: "\n").map(String.init)
            #expect(lines[0].hasPrefix("sensors: running, up ") && lines[0].contains("durability memory"))
            let heading = "stage version workers in out filtered retried dead in flight credit queue"
            #expect(Self.words(lines[1]) == heading)
            #expect(Self.words(lines[2]) == "ingest - 1 - 3 - - - - - -")
            #expect(Self.words(lines[3]).hasPrefix("score - 1 3 0 0 0 3 0 4,09"))
            #expect(lines[4] == "score has 3 dead letters: stagewire dead-letters list --stage score")
            // Colours are for terminals.
            #expect(!result.output.contains("\u{1b}"))
            let json = try await pipeline.run("status", "--json")
            let envelope = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
            let status = envelope?["result"] as? [String: Any]
            #expect(envelope?["ok"] as? Bool == true && status?["pipeline"] as? String == "sensors")
            withExtendedLifetime(workers) {}
        }
    }

    private static func words(_ line: String) -> String { line.split(separator: " ").joined(separator: " ") }

    @Test func watchEndsWithThePipeline() async throws {
        try await LivePipeline.with { pipeline in
            let watch = try pipeline.start("status", "--watch", "--interval", "100ms")
            for _ in 0..<500 where !watch.output.contains("out/s") { try await Task.sleep(for: .milliseconds(20)) }
            pipeline.program.signal(SIGTERM)
            let result = try await watch.wait()
            #expect(result.code == 0 && result.output.hasSuffix("sensors has ended.\n"))
            #expect(result.output.contains("\n\nsensors: ") && result.output.contains("in/s"))
        }
    }

    @Test func watchEndsWithControlC() async throws {
        try await LivePipeline.with { pipeline in
            let watch = try pipeline.start("status", "--watch", "--interval", "100ms")
            for _ in 0..<500 where !watch.output.contains("score") { try await Task.sleep(for: .milliseconds(20)) }
            watch.signal(SIGINT)
            let result = try await watch.wait()
            #expect(result.code == 0 && result.output.contains("score"))
        }
    }

    @Test func lettersAreListedShownRetriedAndDropped() async throws {
        try await LivePipeline.with { pipeline in
            #expect(try await pipeline.run("dead-letters", "list").output == "No stage has dead letters.\n")
            let workers = try await pipeline.reject(4)
            let list = try await pipeline.run("dead-letters", "list", "--limit", "3")
            let lines = list.output.split(separator: "\n").map { Self.words(String($0)) }
            #expect(lines[0] == "letter reason attempts key schema bytes given up error")
            #expect(lines[1].hasPrefix("score/1 REJECTED 1 k0 - 1 2") && lines.count == 5)
            #expect(lines[4].hasPrefix("3 of 4;"))
            #expect(try await pipeline.run("dead-letters", "list", "--stage", "nope").code == 2)
            let show = try await pipeline.run("dead-letters", "show", "score/2")
            #expect(show.output.hasPrefix("score/2: REJECTED after 1 attempt, 2"))
            #expect(show.output.contains("  key         k1\n") && show.output.contains("  payload, 1 byte\n    1\n"))
            #expect(show.output.contains("    ingest  -"))
            #expect(try await pipeline.run("dead-letters", "show", "score/2", "--payload").output == "1")
            let missing = try await pipeline.run("dead-letters", "show", "score/99", "--json")
            #expect(missing.code == 2 && missing.output.contains("\"code\" : \"not_found\""))
            #expect(missing.error.contains("score has no dead letter 99"))

            let retry = try await pipeline.run("dead-letters", "retry", "score/1", "score/99")
            #expect(retry.code == 0)
            #expect(retry.output == "1 dead letter of score is retried\nscore has no dead letter 99 (any more)\n")
            let futile = try await pipeline.run("dead-letters", "retry", "score/98", "score/99")
            #expect(futile.code == 1 && futile.error.contains("score has no dead letters 98, 99 (any more)"))
            let refused = try await pipeline.run("dead-letters", "drop", "--stage", "score", "--all")
            #expect(refused.code == 2 && refused.error.contains("3 dead letters of score would be dropped"))
            #expect(
                try await pipeline.run("dead-letters", "drop", "score/2").output
                    == "1 dead letter of score is dropped\n")
            let drop = try await pipeline.run("dead-letters", "drop", "--stage", "score", "--all", "--yes", "--json")
            let change = "{\n      \"changed\" : 2,\n"
            #expect(drop.code == 0 && drop.output.contains(change), "\(drop.output)")
            withExtendedLifetime(workers) {}
        }
    }

    @Test func bytesThatAreNoText() async throws {
        try await LivePipeline.with { pipeline in
            let payload: [UInt8] = [0, 0x1b, 0x41, 0xff]
            let workers = try await pipeline.reject(1) { _ in payload }
            let show = try await pipeline.run("dead-letters", "show", "score/1", "--pipeline", "sensors")
            #expect(show.output.contains("    00000000  00 1b 41 ff") && show.output.contains("|..A.|"))
            withExtendedLifetime(workers) {}
        }
    }

    /// What was given up on, into the stage once more, without a broker.
    @Test func aRecordForATest() async throws {
        try await LivePipeline.with { pipeline in
            // Two lines of text, far longer than what `show` prints.
            let payload = [UInt8]("a\n".utf8) + [UInt8](repeating: 0x7a, count: 200_000)
            var header = ProtoWriter()
            header.bytes(5, Array("text/plain".utf8))
            header.message(6) { attribute in
                attribute.bytes(1, Array("level".utf8))
                attribute.varint(3, 14)
            }
            var trace = ProtoWriter()
            trace.bytes(1, Array("00-4bf9-00f0-01".utf8))
            trace.bytes(2, Array("vendor=1".utf8))
            let (fields, context) = (header.bytes, trace.bytes)
            let workers = try await pipeline.reject(
                1, payload: { _ in payload },
                change: { record in
                    record.header = fields
                    record.trace = context
                })
            let show = try await pipeline.run("dead-letters", "show", "score/1", "--record")
            #expect(show.code == 0 && show.output.hasSuffix(#", "attempt": 1}"# + "\n"))
            #expect(show.output.contains(#""trace": {"traceparent": "00-4bf9-00f0-01", "tracestate": "vendor=1"}"#))
            try Data(show.output.utf8).write(to: URL(fileURLWithPath: pipeline.directory + "/letter.jsonl"))
            let configuration = #"{"command": ["cat"], "input": "json-lines"}"#
            let test = try await pipeline.run(
                "stage", "exec", "--config", configuration, "--test", pipeline.directory + "/letter.jsonl")
            #expect(test.code == 0 && test.error.contains("1 records: 1 accepted"), "\(test.error)")
            let again = String(repeating: "z", count: 200_000)
            let expected =
                #"{"key": "k0", "text": "a\n"# + again
                + #"", "content_type": "text/plain", "attributes": {"level": 7}}"# + "\n"
            #expect(test.output == expected, "the same record")
            withExtendedLifetime(workers) {}
        }
    }

    // MARK: Stopping

    @Test func stopDrains() async throws {
        try await LivePipeline.with { pipeline in
            let result = try await pipeline.run("stop")
            #expect(result.code == 0 && result.output == "sensors has ended: everything in flight was finished.\n")
            let run = try await pipeline.program.wait()
            #expect(run.code == 0 && run.error.contains("stopping: asked by"))
            #expect(access(pipeline.control, F_OK) != 0)
        }
    }

    @Test func stopDoesNotWaitForLongerThanItIsTold() async throws {
        try await LivePipeline.with(LivePipeline.yaml.replacing("drain: 1s", with: "drain: 1h")) { pipeline in
            let source = try TestWorker(pipeline.path, stage: "ingest")
            _ = try source.claim("p")
            try source.emit("p", id: 1, (0..<50).map(Flow.record))
            try source.awaitCommitted(through: 1)
            let impatient = try await pipeline.run("stop", "--timeout", "100ms", "--json")
            #expect(impatient.code == 1 && impatient.error.contains("has not ended within 100ms"))
            #expect(impatient.output.contains("\"ok\" : false"))
            _ = try await pipeline.run("stop", "--now")
            withExtendedLifetime(source) {}
        }
    }

    @Test func stopIsCutShortByTheDrainLimit() async throws {
        try await LivePipeline.with { pipeline in
            let source = try TestWorker(pipeline.path, stage: "ingest")
            _ = try source.claim("p")
            try source.emit("p", id: 1, (0..<50).map(Flow.record))
            try source.awaitCommitted(through: 1)
            let result = try await pipeline.run("stop")
            #expect(result.code == 1 && result.error.contains("sensors was cut short; 50 records were not settled"))
            withExtendedLifetime(source) {}
        }
    }

    @Test func stopNow() async throws {
        try await LivePipeline.with(LivePipeline.yaml.replacing("drain: 1s", with: "drain: 1h")) { pipeline in
            let source = try TestWorker(pipeline.path, stage: "ingest")
            _ = try source.claim("p")
            try source.emit("p", id: 1, (0..<2).map(Flow.record))
            try source.awaitCommitted(through: 1)
            #expect(try await pipeline.run("stop", "--no-wait").output == "sensors is asked to end.\n")
            let result = try await pipeline.run("stop", "--now")
            #expect(
                result.code == 0 && result.output == "sensors has ended at once; 2 records were not settled.\n",
                "\(result)")
            withExtendedLifetime(source) {}
        }
    }

    @Test func stopOfABrokerThatIsKilled() async throws {
        try await LivePipeline.with(LivePipeline.yaml.replacing("drain: 1s", with: "drain: 1h")) { pipeline in
            let source = try TestWorker(pipeline.path, stage: "ingest")
            let stop = try pipeline.start("stop")
            try await pipeline.program.says("stopping: asked by")
            pipeline.program.signal(SIGKILL)
            let result = try await stop.wait()
            #expect(result.code == 1 && result.error.contains("sensors ended without saying how"))
            withExtendedLifetime(source) {}
        }
    }
}

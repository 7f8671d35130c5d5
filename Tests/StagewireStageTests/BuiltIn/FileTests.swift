import Foundation
import StagewireModel
import Testing

@testable import StagewireStage
@testable import StagewireStages

@Suite struct FileTests {
    /// Runs `body` in a new directory.
    private static func inDirectory(_ body: (String) async throws -> Void) async throws {
        let directory = NSTemporaryDirectory() + "/stagewire-file-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await body(directory)
    }

    private static func contents(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    private static func write(_ text: String, to path: String) {
        try? Data(text.utf8).write(to: URL(fileURLWithPath: path))
    }

    // MARK: Sink

    private static func sink(_ configuration: String, _ batches: [[String]]) async throws -> Exit {
        try await FakeBroker.play(BuiltInStage.fileSink.stage) { broker, _ in
            let session = try broker.attach { $0.config = Array(configuration.utf8) }
            for batch in batches {
                try session.deliver(batch)
                _ = try session.outcomes(batch.count)
            }
            try session.end()
        }
    }

    @Test func aBatchIsAppended() async throws {
        try await Self.inDirectory { directory in
            Self.write("old\n", to: directory + "/f")
            let exit = try await Self.sink(#"{"path": "\#(directory)/f"}"#, [["a", "b\nb"], ["c"]])
            #expect(exit == Exit(code: 0))
            #expect(Self.contents(directory + "/f") == "old\na\nc\n", "what holds a line break is rejected")
        }
    }

    @Test func aFileIsRotatedBySize() async throws {
        try await Self.inDirectory { directory in
            let configuration = #"{"path": "\#(directory)/f", "format": "json-lines", "rotate": {"bytes": 1}}"#
            #expect(try await Self.sink(configuration, [["a"], ["b"], ["c"]]) == Exit(code: 0))
            let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
            #expect(names.count == 3)
            let all = names.map { Self.contents("\(directory)/\($0)") }
            #expect(all.allSatisfy { $0.hasSuffix("}\n") && $0.split(separator: "\n").count == 1 })
            #expect(Self.contents(directory + "/f").contains(#""text": "c""#))
        }
    }

    @Test func aDiskThatTakesNothingMeansRetry() async throws {
        let exit = try await FakeBroker.play(BuiltInStage.fileSink.stage) { broker, _ in
            let session = try broker.attach { $0.config = Array(#"{"path": "/dev/full"}"#.utf8) }
            try session.deliver(["a"])
            let seen = try session.outcomes(1)
            #expect(seen.map(\.kind) == [3])
            #expect(seen[0].message == "cannot write to /dev/full: No space left on device")
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aFileThatCannotBeOpenedIsAConfigurationError() async throws {
        let exit = try await FakeBroker.play(BuiltInStage.fileSink.stage) { broker, _ in
            _ = try? broker.attach { $0.config = Array(#"{"path": "/nowhere/f"}"#.utf8) }
        }
        #expect(exit == Exit(code: 2, message: "`path`: cannot open /nowhere/f: No such file or directory"))
    }

    // MARK: Source

    /// Plays until every partition is finished; returns partition, texts and the last checkpoint of each.
    private static func source(
        _ configuration: String, checkpoints: [String: String] = [:]
    ) async throws -> [String: (texts: [String], checkpoint: String)] {
        let box = SourceBox()
        let exit = try await FakeBroker.play(BuiltInStage.fileSource.stage) { broker, _ in
            let session = try broker.attach {
                $0.inputs = []
                $0.config = Array(configuration.utf8)
            }
            while let message = try session.next(), try box.take(message, session, checkpoints) {}
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        return box.seen
    }

    @Test func aDirectorysFilesArePartitions() async throws {
        try await Self.inDirectory { directory in
            Self.write("1\n2\n\n3", to: directory + "/b")
            Self.write("x\n", to: directory + "/a")
            Self.write("hidden\n", to: directory + "/.c")
            let seen = try await Self.source(#"{"path": "\#(directory)"}"#)
            #expect(Set(seen.keys) == ["a", "b"])
            #expect(seen["b"]?.texts == ["1", "2", "", "3"], "half a line at the end is a line")
            #expect(seen["b"]?.checkpoint == "6")
        }
    }

    @Test func aRestartGoesOnAtTheCheckpoint() async throws {
        try await Self.inDirectory { directory in
            Self.write("1\n2\n3\n", to: directory + "/f")
            let seen = try await Self.source(#"{"path": "\#(directory)/f"}"#, checkpoints: ["f": "4"])
            #expect(seen["f"]?.texts == ["3"])
            let shorter = try await Self.source(#"{"path": "\#(directory)/f"}"#, checkpoints: ["f": "400"])
            #expect(shorter["f"]?.texts == ["1", "2", "3"])
        }
    }

    @Test func aLineThatIsNoRecordIsNamed() async throws {
        try await Self.inDirectory { directory in
            Self.write("{\"text\": \"a\"}\nnonsense\n", to: directory + "/f")
            let exit = try await FakeBroker.play(BuiltInStage.fileSource.stage) { broker, _ in
                let session = try broker.attach {
                    $0.inputs = []
                    $0.config = Array(#"{"path": "\#(directory)/f", "format": "json-lines"}"#.utf8)
                }
                let box = SourceBox()
                while let message = try session.next(), try box.take(message, session, [:]) {}
            }
            #expect(exit.code == 1)
            #expect(exit.message.contains("/f: the line at byte 14: no JSON: no JSON value at byte 2"))
        }
    }

    @Test func whatIsAppendedIsFollowed() async throws {
        try await Self.inDirectory { directory in
            Self.write("1\n2", to: directory + "/f")
            let exit = try await FakeBroker.play(BuiltInStage.fileSource.stage) { broker, _ in
                let session = try broker.attach {
                    $0.inputs = []
                    $0.config = Array(#"{"path": "\#(directory)/f", "follow": true}"#.utf8)
                }
                let box = SourceBox()
                while box.seen["f"]?.texts != ["1"], let message = try session.next() {
                    _ = try box.take(message, session, [:])
                }
                let handle = try #require(FileHandle(forWritingAtPath: directory + "/f"))
                _ = try handle.seekToEnd()
                try handle.write(contentsOf: Data("2\n".utf8))
                while box.seen["f"]?.texts != ["1", "22"], let message = try session.next() {
                    _ = try box.take(message, session, [:])
                }
                #expect(box.seen["f"]?.checkpoint == "5")
                try session.send(.drain(.shutdown, deadlineMS: 5000))
                while let message = try session.next() {
                    if case .control(.close(let reason)) = message {
                        #expect(reason.code == 0)
                        break
                    }
                }
                session.hangUp()
            }
            #expect(exit == Exit(code: 0))
        }
    }

    @Test func standardInputIsReadToItsEnd() async throws {
        let pipe = Pipe()
        pipe.fileHandleForWriting.write(Data("a\nb".utf8))
        try pipe.fileHandleForWriting.close()
        let descriptor = pipe.fileHandleForReading.fileDescriptor
        let stage = Stage.source(configuration: StreamConfiguration.self) { configuration, source in
            try await StandardInputStage.run(configuration, source, descriptor: descriptor)
        }
        let box = SourceBox()
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach { $0.inputs = [] }
            while let message = try session.next(), try box.take(message, session, [:]) {}
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(box.seen["stdin"]?.texts == ["a", "b"])
        #expect(box.seen["stdin"]?.checkpoint == "3")
        try pipe.fileHandleForReading.close()
    }
}

/// Plays a broker's part towards a source, and keeps what it emits.
private final class SourceBox: @unchecked Sendable {  // read when the script's thread has ended
    var seen: [String: (texts: [String], checkpoint: String)] = [:]
    private var open: Set<String> = []

    /// False: every partition is finished, or the source is gone.
    func take(_ message: FakeSession.Message, _ session: FakeSession, _ checkpoints: [String: String]) throws -> Bool {
        switch message {
        case .control(.claim(let name)):
            open.insert(name)
            let checkpoint = Array((checkpoints[name] ?? "").utf8)
            try session.send(.claimed(partition: name, epoch: 1, lastEmitID: 0, checkpoint: checkpoint))
        case .emit(let name, let id, let emissions, let checkpoint):
            seen[name, default: ([], "")].texts += emissions.map(\.text)
            seen[name]?.checkpoint = checkpoint
            try session.send(.committed(partition: name, through: id, refused: []))
        case .control(.finished(let name)): open.remove(name)
        case .control(.close): return false
        case .control, .settle: break
        }
        // The next file is claimed only when this one is done.
        if !open.isEmpty { return true }
        return try !isIdle(session)
    }

    private func isIdle(_ session: FakeSession) throws -> Bool { try !session.isTalking(withinMS: 500) }
}

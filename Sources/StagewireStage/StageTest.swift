import Foundation
import StagewireModel
import StagewireWire

/// A stage without a broker: records out of a file, one after another, and what comes of them on standard output.
enum StageTest {
    /// Returns the exit code: 0, all were accepted; 1, not all; 2, the file or the configuration is wrong.
    static func run(_ stage: Stage, _ test: StageArguments.Test) async -> Int32 {
        do {
            switch try HandlerMaker.make(stage.kind, test.configuration) {
            case .source(let function):
                guard test.file == nil else {
                    throw ConfigurationError("--test of a source takes no file: it has no input")
                }
                return await SourceTest.run(function, limit: test.limit)
            case .lane(let handler):
                guard let file = test.file else {
                    throw ConfigurationError("--test takes a file, or - for standard input")
                }
                let bench = TestBench(handler)
                try await bench.run(try records(file))
                return bench.finish()
            }
        } catch {
            Complaint.write("\(error)")
            return 2
        }
    }

    /// Every line that is not blank is a record.
    static func records(_ file: String) throws -> [Record] {
        let data: Data?
        if file == "-" {
            data = try? FileHandle.standardInput.readToEnd() ?? Data()
        } else {
            data = FileManager.default.contents(atPath: file)
        }
        guard let data else { throw ConfigurationError("cannot read \(file)") }
        let input = Input(number: 0, stage: "test", port: "out", ordering: .key)
        var records: [Record] = []
        for (number, line) in data.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated() {
            guard line.contains(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0d }) else { continue }
            let output: Output
            do { output = try RecordJSON.read(Array(line)) } catch {
                throw ConfigurationError("\(file):\(number + 1): \(error.description)")
            }
            records.append(Record(testing: output, delivery: UInt64(records.count + 1), input: input))
        }
        return records
    }
}

extension Record {
    /// A record that nobody delivered, for testing a handler.
    public init(testing output: Output) {
        self.init(testing: output, delivery: 1, input: Input(number: 0, stage: "test", port: "out", ordering: .key))
    }

    init(testing output: Output, delivery: UInt64, input: Input) {
        let bytes = output.encoded()
        self.init(
            Batch(
                bytes: bytes, input: input, firstDelivery: delivery, records: [0..<bytes.count], runs: RunTable()), 0)
    }
}

/// Calls a stage's handler and counts what comes of it.
final class TestBench {
    /// Any port is taken: a test knows no pipeline.
    static var welcome: Welcome {
        var welcome = Welcome()
        let limits = PipelineLimits()
        welcome.maxFrame = UInt64(Limits.defaultFrame)
        welcome.maxRecord = UInt64(limits.maxRecord)
        welcome.maxStepBytes = UInt64(limits.maxStepBytes)
        welcome.maxStepRecords = UInt64(limits.maxStepRecords)
        return welcome
    }

    private let handler: Lane.Handler
    private var emitter = Emitter(recording: TestBench.welcome)
    private var counts: [OutcomeKind: Int] = [:]
    private var filtered = 0
    private var emitted = 0

    init(_ handler: Lane.Handler) { self.handler = handler }

    func run(_ records: [Record]) async throws {
        switch handler {
        case .single(let single):
            for record in records {
                await call([record]) { emitter in
                    switch single {
                    case .synchronous(let body): try body(record, &emitter)
                    case .asynchronous(let body): try await body(record, &emitter)
                    }
                }
            }
        case .group(.arrived, let group):
            for record in records { await call(Window(records: [record]), group) }
        case .group(.window(let bounds, let byKey), let group):
            await runWindows(records, WindowSorter(bounds, byKey: byKey), group)
        }
    }

    /// Time stands still: windows by time end with the file.
    private func runWindows(_ records: [Record], _ start: WindowSorter, _ handler: GroupHandler) async {
        var sorter = start
        for record in records {
            switch sorter.add(record, now: 0) {
            case .held: break
            case .timeless:
                count([record], Outcome(.reject(1000, "the record has no event time, which its window needs")))
            case .late(let end):
                count([record], Outcome(.reject(1000, "late: its window ended at \(Timestamp.text(end))")))
            }
            for window in sorter.takeEnded() { await call(window, handler) }
        }
        sorter.endEverything()
        for window in sorter.takeEnded() { await call(window, handler) }
    }

    private func call(_ window: Window, _ handler: GroupHandler) async {
        await call(window.records) { emitter in
            switch handler {
            case .synchronous(let body): try body(window, &emitter)
            case .asynchronous(let body): try await body(window, &emitter)
            }
        }
    }

    private func call(_ records: [Record], _ body: (inout Emitter) async throws -> Void) async {
        emitter.reset()
        do {
            try await body(&emitter)
        } catch {
            return count(records, Outcome(Verdict.of(error)))
        }
        if let error = emitter.refusal { return count(records, Outcome(.reject(error.code, error.message))) }
        let rejected = emitter.rejectedDeliveries
        for record in records {
            if let error = rejected[record.delivery] { count([record], Outcome(.reject(error.code, error.message))) }
        }
        let accepted = records.filter { rejected[$0.delivery] == nil }
        counts[.accepted, default: 0] += accepted.count
        if emitter.recorded.isEmpty { filtered += accepted.count }
        emitted += emitter.recorded.count
        for output in emitter.recorded { _ = Socket.writeFile(RecordJSON.write(output) + [0x0a], to: 1) }
    }

    private func count(_ records: [Record], _ outcome: Outcome) {
        counts[outcome.kind, default: 0] += records.count
        let word = "\(outcome.kind)".uppercased()
        let reason = outcome.error.map { " \($0.code): \(Text.escaped($0.message))" } ?? ""
        for record in records {
            _ = Socket.writeFile(Array("record \(record.delivery): \(word)\(reason)\n".utf8), to: 2)
        }
    }

    /// Prints the sum and returns the exit code.
    func finish() -> Int32 {
        let count = { (kind: OutcomeKind) in self.counts[kind] ?? 0 }
        let all = counts.values.reduce(0, +)
        let text =
            "\(all) records: \(count(.accepted)) accepted (\(filtered) filtered), \(count(.rejected)) rejected, "
            + "\(count(.retry)) to be retried, \(count(.released)) released; \(emitted) emitted\n"
        _ = Socket.writeFile(Array(text.utf8), to: 2)
        return count(.accepted) == all ? 0 : 1
    }
}

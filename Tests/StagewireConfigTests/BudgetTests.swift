import StagewireConfig
import StagewireModel
import Testing

@Suite struct BudgetTests {
    static let text = """
        pipeline: p
        stages:
          ingest: {run: [x], source: true, max_workers: 1, ports: [out, alerts, unread]}
          score: {run: [x], from: [ingest, {stage: ingest, port: alerts}], max_workers: 2}
          sink: {run: [x], from: score, max_workers: 1}
        """

    @Test func everyPartIsCounted() throws {
        let pipeline = try parse(Self.text).definition
        let budget = Budget(pipeline)
        func owners(_ item: Budget.Item) -> [String] { budget.lines.filter { $0.item == item }.map(\.owner) }
        #expect(owners(.stream) == ["ingest.out", "ingest.alerts", "score"])
        #expect(owners(.index) == owners(.stream))
        #expect(owners(.parking) == ["score < ingest.out", "score < ingest.alerts", "sink < score"])
        #expect(owners(.deadLetters) == owners(.parking))
        #expect(owners(.inFlight) == owners(.parking))
        #expect(owners(.receiving) == ["ingest", "score", "sink"])
        #expect(owners(.unwritten) == owners(.receiving))
        #expect(owners(.partitions) == ["ingest"])
        #expect(owners(.journal).count == 1 && owners(.snapshot).count == 1)
        #expect(owners(.handshakes).count == 1 && owners(.runs).count == 1)
        #expect(budget.total == budget.lines.map(\.bytes).reduce(0, +))
    }

    @Test func boundsHoldTheLimits() throws {
        let pipeline = try parse(Self.text).definition
        let limits = pipeline.limits
        for line in Budget(pipeline).lines {
            switch line.item {
            case .stream: #expect(line.bytes > limits.windowBytes + limits.maxStepBytes)
            case .index: #expect(line.bytes >= limits.streamRecords(workers: 1) * 33)
            case .parking: #expect(line.bytes > limits.parkingBytes(workers: 1))
            case .deadLetters: #expect(line.bytes > limits.deadLetterBytes)
            case .inFlight: #expect(line.bytes > limits.unsettledBytes)
            case .receiving: #expect(line.bytes >= Limits.defaultFrame)
            case .unwritten: #expect(line.bytes >= Limits.unwritten + limits.maxRecord)
            case .backlog: #expect(line.bytes > limits.unsettledBytes)
            case .journal: #expect(line.bytes >= 3 * limits.windowBytes)
            case .snapshot: #expect(line.bytes == 3 * 256 << 20)
            case .partitions: #expect(line.bytes >= Limits.partitions * Limits.checkpoint)
            case .handshakes: #expect(line.bytes == Limits.unauthenticated * Limits.handshakeFrame)
            case .runs: #expect(line.bytes >= Limits.runs * 4 * Limits.name)
            }
        }
    }

    @Test func memoryNeedsNoJournal() throws {
        var pipeline = try parse(Self.text).definition
        pipeline.durability = .memory
        #expect(!Budget(pipeline).lines.contains { $0.item == .journal || $0.item == .snapshot })
    }

    @Test func aSmallJournalHasNoLargeSnapshots() throws {
        var pipeline = try parse(Self.text).definition
        pipeline.limits.journalBytes = 16 << 20
        #expect(Budget(pipeline).lines.first { $0.item == .snapshot }?.bytes == 48 << 20)
    }

    @Test func moreWorkersNeedMore() throws {
        var pipeline = try parse(Self.text).definition
        let before = Budget(pipeline).total
        pipeline.stages[1].maxWorkers = 3
        #expect(Budget(pipeline).total > before)
    }

    @Test func table() throws {
        let lines = Budget(try parse(Self.text).definition).table.split(separator: "\n")
        #expect(lines[0].hasPrefix("what"))
        #expect(lines.last!.hasPrefix("sum"))
        #expect(lines.allSatisfy { !$0.hasSuffix(" ") })
        let columns = Set(
            lines.dropFirst().compactMap { line in
                line.firstRange(of: " MiB").map { line.distance(from: line.startIndex, to: $0.lowerBound) }
            })
        #expect(columns.count == 1, "figures stand below each other")
    }
}

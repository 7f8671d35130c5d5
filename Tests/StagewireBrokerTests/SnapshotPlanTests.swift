import StagewireLedger
import StagewireModel
import Testing

@testable import StagewireBroker

/// What a snapshot copies so that segments may go, and what it leaves where it is.
@Suite struct SnapshotPlanTests {
    private static let segments: [(first: UInt64, bytes: Int)] = [1, 10, 20, 30].map { ($0, 1_000_000) }

    /// A source and its reader; records of 100 bytes in these entries, settled but for `open` of each entry's ten.
    private static func ledger(open: [UInt64: UInt64]) throws -> Ledger {
        var ledger = Ledger()
        let pipeline = PipelineDefinition(
            name: "plan",
            stages: [
                StageDefinition(name: "source", isSource: true),
                StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)]),
            ])
        try apply(EntryKind.layout, Layout(pipeline).encoded(), 1, &ledger)
        for entry in UInt64(2)..<35 {
            let first = (entry - 2) * 10
            var log = ChangeLog()
            let done = first..<first + 10 - open[entry, default: 0]
            if !done.isEmpty { log.done(0, done) }
            log.close()
            let payload =
                StepsEntry.head(appends: 1) + StepsEntry.head(stream: 0, first: first, count: 10, bytes: 1000)
                + [UInt8](repeating: 0, count: 1000) + log.bytes
            try apply(EntryKind.steps, payload, entry, &ledger)
        }
        return ledger
    }

    private static func apply(_ kind: UInt8, _ payload: [UInt8], _ entry: UInt64, _ ledger: inout Ledger) throws {
        let segment = segments.last { $0.first <= entry }?.first ?? 1
        // So far apart that each entry's records are by themselves.
        let place = EntryPlace(segment: segment, offset: Int(entry) * 1_000_000, sequence: entry)
        try ledger.apply(kind: kind, payload.span.bytes, at: place)
    }

    private static func cut(
        _ open: [UInt64: UInt64], freesAll: Bool = false, sparing: Int, anew: Int = 1 << 20, size: Int = 1_000_000
    ) throws -> UInt64 {
        SnapshotPlan.cut(
            try ledger(open: open), segments.map { ($0.first, size) }, freesAll: freesAll, sparing: sparing, anew: anew)
    }

    @Test func nothingNeededNothingCopied() throws {
        for sparing in [0, 1] {
            #expect(try Self.cut([:], sparing: sparing) == 30)
            #expect(try Self.cut([31: 10, 34: 10], sparing: sparing) == 30)
        }
    }

    /// What is on its way in the latest full segment stays where it is, and all before goes; without room it is copied.
    @Test func theLatestFullSegmentIsSpared() throws {
        #expect(try Self.cut([25: 10, 29: 3], sparing: 1) == 20)
        #expect(try Self.cut([25: 10, 29: 3], sparing: 0) == 30)
        #expect(try Self.cut([25: 10, 29: 3], freesAll: true, sparing: 1) == 30)
    }

    /// What is on its way is spread over as many segments as it needs several times over, and they are spared as far as may be.
    @Test func asMuchIsSparedAsIsOnItsWay() throws {
        let (two, three): ([UInt64: UInt64], [UInt64: UInt64]) = ([15: 10, 29: 10], [15: 10, 25: 10, 29: 10])
        #expect(try Self.cut(two, sparing: 1 << 30, size: 10_000) == 20)
        #expect(try Self.cut(three, sparing: 1 << 30, size: 10_000) == 10)
        #expect(try Self.cut(three, sparing: 10_000, size: 10_000) == 20)
    }

    /// More than may pass through memory at once: as many of the oldest segments go as that is enough for, and the rest with the
    /// next snapshot.
    @Test func whatIsTooMuchAtOnceGoesLittleByLittle() throws {
        #expect(try Self.cut([3: 1, 25: 10], sparing: 0, anew: 1100) == 30)
        #expect(try Self.cut([3: 1, 25: 10], sparing: 0, anew: 1099) == 10)
        #expect(try Self.cut([3: 1, 25: 10], sparing: 0, anew: 99) == 0)
        #expect(try Self.cut([3: 1, 25: 10], freesAll: true, sparing: 0, anew: 99) == 30)
    }

    /// An old record pins nothing: it is copied as before.
    @Test func whatIsOlderIsCopied() throws {
        #expect(try Self.cut([3: 1], sparing: 1) == 20)
        #expect(try Self.cut([3: 1], sparing: 0) == 30)
        #expect(try Self.cut([3: 1, 25: 10], sparing: 1) == 20)
    }
}

import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireLedger

/// What is kept for replays, and what a replay comes to.
struct RetentionTests {
    private static let second: UInt64 = 1_000_000

    /// Ten entries of three records in stream 0, a second apart from 1,000 s on, in segments of four entries; all of it settled
    /// but by subscription 0, which has the last entry's to do.
    private func life(retaining: Bool = true) throws -> (Ledger, entries: [[UInt8]]) {
        var ledger = Ledger()
        ledger.retain(retaining)
        let layout = Layout(Sample.pipeline()).encoded()
        var entries = [layout]
        try ledger.apply(kind: EntryKind.layout, layout.span.bytes, at: place(1))
        for entry in 0..<10 as Range<UInt64> {
            let records = (0..<3).map { Sample.record("\(entry * 3 + UInt64($0))") }
            let payload = Sample.steps([(0, entry * 3, records)]) { log in
                log.noted((1000 + entry) * Self.second)
                for sequence in entry * 3..<entry * 3 + 3 {
                    if entry < 9 { log.done(0, sequence) }
                    log.done(2, sequence)
                }
            }
            entries.append(payload)
            try ledger.apply(kind: EntryKind.steps, payload.span.bytes, at: place(entry + 2))
        }
        return (ledger, entries)
    }

    private func place(_ sequence: UInt64) -> EntryPlace {
        EntryPlace(
            segment: (sequence - 1) / 4 * 4 + 1, offset: 64 + Int((sequence - 1) % 4) * Ledger.Extent.span,
            sequence: sequence)
    }

    private let files: [(first: UInt64, bytes: Int)] = [(1, 100), (5, 100), (9, 50)]

    private func sequences(_ ledger: Ledger, _ entries: [[UInt8]], from sequence: UInt64) throws -> [UInt64] {
        let plan = ledger.plan(subscription: 0, from: sequence, bytes: .max)
        return try plan.read(snapshot: [], fetch: each { entries[Int($0.sequence) - 1] }).map(\.sequence)
    }

    @Test func withoutItNothingIsKept() throws {
        let (ledger, entries) = try life(retaining: false)
        #expect(ledger.firstKept(subscription: 0) == nil && ledger.firstNeeded == 11)
        #expect(throws: ReplayRefusal.self) {
            try ledger.replay(0, from: .beginning, fetch: each { entries[Int($0.sequence) - 1] })
        }
    }

    @Test func all() throws {
        let (ledger, entries) = try life()
        #expect(ledger.firstKept(subscription: 0) == 0 && ledger.firstNeeded == 2)
        #expect(try sequences(ledger, entries, from: 0) == Array(0..<30))
        // What nobody reads is kept as well: a stage that is new may want it.
        #expect(ledger.streams.allSatisfy { $0.extents.first != nil || $0.end == 0 })
    }

    @Test func bounds() throws {
        let (ledger, _) = try life()
        func bound(_ time: Duration?, _ bytes: Int?, at now: UInt64 = 1010) -> UInt64 {
            ledger.bound(RetentionPolicy(time: time, bytes: bytes), segments: files, now: now * Self.second)
        }
        #expect(bound(nil, nil) == 1 && bound(nil, 250) == 1 && bound(nil, 249) == 5 && bound(nil, 149) == 9)
        #expect(bound(nil, 0) == 9)
        // The second segment was begun when the time was 1002, the third one at 1006.
        #expect(bound(.seconds(8), nil) == 1 && bound(.seconds(7), nil) == 5 && bound(.seconds(4), nil) == 5)
        #expect(bound(.seconds(3), nil) == 9 && bound(.seconds(3), nil, at: 2000) == 9)
        // A clock that was set back keeps more, never less.
        #expect(bound(.seconds(3), nil, at: 5) == 1)
    }

    @Test func whatIsNotRetainedGoes() throws {
        var (ledger, entries) = try life()
        ledger.retain(from: 5)
        #expect(ledger.firstKept(subscription: 0) == 9 && ledger.firstNeeded == 5)
        ledger.retain(from: 3)
        #expect(ledger.firstKept(subscription: 0) == 9)
        // Through a snapshot and back.
        let made = try ledger.snapshot(cutting: 5, strays: [], fetch: each { entries[Int($0.sequence) - 1] })
        let read = try Snapshot(made.encoded().span.bytes).ledger
        #expect(read.retained == 5 && read.firstKept(subscription: 0) == 9 && read.time == ledger.time)
        #expect(read.segments == ledger.segments)
        ledger.retain(false)
        #expect(ledger.firstKept(subscription: 0) == nil && ledger.firstNeeded == 11)
    }

    @Test func places() throws {
        let (ledger, entries) = try life()
        let fetch = each { entries[Int($0.sequence) - 1] }
        func start(_ place: ReplayStart) -> UInt64? { try? ledger.replay(0, from: place, fetch: fetch).from }
        #expect(start(.beginning) == 0 && start(.sequence(26)) == 26)
        // Nothing of it was settled yet.
        #expect(start(.sequence(27)) == nil && start(.sequence(1000)) == nil)
        #expect(
            try ledger.replay(0, from: .sequence(7), fetch: fetch)
                == ReplayRange(stream: StreamName(stage: "source", port: "out"), from: 7, until: 27, end: 30))
    }

    @Test func back() throws {
        var (ledger, entries) = try life()
        try ledger.fold(Sample.steps { $0.rewound(0, to: 4) })
        #expect(ledger.subscriptions[0].done == SequenceSet(below: 4))
        #expect(try sequences(ledger, entries, from: 4) == Array(4..<30))
        // What comes again is needed: it stays without any retention.
        ledger.retain(from: 9)
        #expect(ledger.firstNeeded == 3 && ledger.firstKept(subscription: 0) == 21)
        entries.append([])
        let recovered = try ledger.recover(Sample.pipeline(), strays: [], fetch: each { entries[Int($0.sequence) - 1] })
        #expect(recovered.subscriptions[0].cursor == 4)
        #expect(recovered.streams[0].records.map(\.sequence) == Array(4..<30))
        // To what is not there, or not settled yet, nobody goes.
        #expect(ledger.flaw(Sample.steps { $0.rewound(0, to: 3) }) != nil)
        #expect(ledger.flaw(Sample.steps { $0.rewound(0, to: 5) }) != nil)
        #expect(ledger.flaw(Sample.steps { $0.rewound(9, to: 5) }) != nil)
    }

    @Test func pins() throws {
        var (ledger, _) = try life()
        let held = ledger.pin(subscription: 0, 10, floor: 0)
        #expect(held)
        let below = ledger.pin(subscription: 0, 2, floor: 5)
        #expect(!below)
        // As long as it is to begin there, retention does not pass it.
        func bound() -> UInt64 { ledger.bound(RetentionPolicy(bytes: 0), segments: files, now: 5000 * Self.second) }
        #expect(bound() == 5)
        try ledger.fold(Sample.steps { $0.rewound(0, to: 10) })
        #expect(bound() == 9)
    }

    @Test func deadLettersStay() throws {
        var (ledger, _) = try life()
        try ledger.fold(
            Sample.steps { log in
                log.buried(0, 27, Sample.verdict(1))
                log.tried(0, 28, Trial(attempt: 2, crashes: 0, age: 0, delay: 0))
            })
        try ledger.fold(Sample.steps { $0.rewound(0, to: 20) })
        #expect(ledger.subscriptions[0].letters.count == 1 && ledger.subscriptions[0].trials.isEmpty)
    }
}

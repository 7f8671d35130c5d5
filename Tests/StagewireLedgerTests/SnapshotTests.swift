import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireLedger

struct SnapshotTests {
    private func life(_ seed: UInt64, steps: Int = 60, apart: Int = Ledger.Extent.span) throws -> (History, Ledger) {
        var history = History(seed: seed)
        var ledger = Sample.ledger()
        for _ in 0..<steps { try ledger.fold(history.step(), apart: apart) }
        return (history, ledger)
    }

    @Test func ofNothing() throws {
        for ledger in [Ledger(), Sample.ledger()] {
            let bytes = Snapshot(ledger: ledger, records: []).encoded()
            let read = try Snapshot(bytes.span.bytes)
            #expect(read.encoded() == bytes && read.ledger.next == ledger.next)
        }
    }

    /// Cut at every entry: what it says is the same, and nothing below is needed any more.
    @Test(arguments: 1...12 as ClosedRange<UInt64>) func everyCut(seed: UInt64) throws {
        let (history, ledger) = try life(seed)
        for cut in 0...ledger.next {
            let made = try ledger.snapshot(cutting: cut, strays: [], fetch: each { history.payload($0) })
            let bytes = made.encoded()
            let read = try Snapshot(bytes.span.bytes)
            #expect(read.encoded() == bytes)
            #expect(read.ledger.firstNeeded >= min(cut, ledger.next), "seed \(seed), cut at \(cut)")
            let faults = history.faults(read.ledger, strays: read.records)
            #expect(faults.isEmpty, "seed \(seed), cut at \(cut): \(faults)")
        }
    }

    /// Only entries that hold something needed are read, and only what is needed is copied.
    @Test func readsWhatItNeeds() throws {
        let (history, ledger) = try life(3)
        var fetched: Set<UInt64> = []
        let fetch = each { place in
            fetched.insert(place.sequence)
            return history.payload(place)
        }
        let made = try ledger.snapshot(cutting: ledger.next, strays: [], fetch: fetch)
        var expected: Set<UInt64> = []
        var bytes = 0
        for stream in history.layout.streams.indices {
            for sequence in history.needed(stream) {
                expected.insert(history.homes[stream][Int(sequence)])
                bytes += history.records[stream][Int(sequence)].count
            }
        }
        #expect(fetched == expected && made.records.count == 8 + bytes)
        #expect(made.ledger.liveBytes(below: ledger.next) == bytes)
    }

    /// Snapshots one after the other, the life going on between taking and adopting, and restarts: copies are kept as long as
    /// they are needed, and go then.
    @Test(arguments: 1...60 as ClosedRange<UInt64>) func again(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let apart = seed % 2 == 0 ? Ledger.Extent.span : 20_000
        var (history, ledger) = try life(seed, steps: 10, apart: apart)
        var strays: [UInt8] = []
        for round in 0..<12 {
            let cut = UInt64.random(in: 0...ledger.next, using: &random)
            ledger.close(below: cut)
            let made = try ledger.snapshot(cutting: cut, strays: strays, fetch: each { history.payload($0) })
            let bytes = made.encoded()
            var restarted = try Snapshot(bytes.span.bytes).ledger
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                let payload = history.step()
                try ledger.fold(payload, apart: apart)
                try restarted.fold(payload, apart: apart)
            }
            ledger.adopt(made.ledger, cutting: cut)
            strays = made.records
            // An extent that begins before the cut may go on behind it; then it is kept as it is.
            if apart == Ledger.Extent.span { #expect(ledger.firstNeeded >= min(cut, ledger.next)) }
            let faults = history.faults(ledger, strays: strays)
            #expect(faults.isEmpty, "seed \(seed), round \(round): \(faults)")
            #expect(restarted.described(strays) == ledger.described(strays), "seed \(seed), round \(round)")
            if Bool.random(using: &random) { ledger = restarted }
        }
        ledger.close(below: ledger.next)
        let last = try ledger.snapshot(cutting: ledger.next, strays: strays, fetch: each { history.payload($0) })
        for (stream, name) in history.layout.streams.enumerated() {
            let copied = last.ledger.streams[last.ledger.streamIndex[name]!].strays.keys
            #expect(Set(copied) == history.needed(stream), "seed \(seed)")
        }
    }

    /// Strays that are not there, or another snapshot's, are an error.
    @Test func foreignStrays() throws {
        let (history, ledger) = try life(5)
        let made = try ledger.snapshot(cutting: ledger.next, strays: [], fetch: each { history.payload($0) })
        #expect(!made.records.isEmpty)
        #expect(throws: LedgerFlaw.self) {
            _ = try made.ledger.recover(history.pipeline, strays: [], fetch: each { history.payload($0) })
        }
        #expect(throws: LedgerFlaw.self) {
            _ = try made.ledger.snapshot(cutting: 0, strays: [], fetch: each { history.payload($0) })
        }
        // The next one's have other places: they are never taken for these.
        let next = try made.ledger.snapshot(
            cutting: made.ledger.next, strays: made.records, fetch: each { history.payload($0) })
        #expect(next.records.count == made.records.count)
        for strays in [next.records, Array(made.records.dropLast()), Array(made.records.dropFirst())] {
            #expect(throws: LedgerFlaw.self) {
                _ = try made.ledger.recover(history.pipeline, strays: strays, fetch: each { history.payload($0) })
            }
            #expect(throws: LedgerFlaw.self) {
                _ = try made.ledger.snapshot(cutting: 0, strays: strays, fetch: each { history.payload($0) })
            }
            let plan = made.ledger.plan(subscription: 2, from: 0, bytes: 1 << 20)
            #expect(plan.needsSnapshot)
            #expect(throws: LedgerFlaw.self) {
                _ = try plan.read(snapshot: strays, fetch: each { history.payload($0) })
            }
        }
        let plan = made.ledger.plan(subscription: 2, from: 0, bytes: 1 << 20)
        let read = try plan.read(snapshot: made.records, fetch: each { history.payload($0) })
        #expect(read.map { Array($0.bytes) } == read.map { history.records[0][Int($0.sequence)] } && !read.isEmpty)
    }

    /// What `fetch` gives back is not what was there.
    @Test func foreignEntries() throws {
        let (history, ledger) = try life(6)
        for wrong in [[], Sample.steps(), history.entries[0], [UInt8](repeating: 0x22, count: 5000)] as [[UInt8]] {
            #expect(throws: LedgerFlaw.self) {
                _ = try ledger.recover(history.pipeline, strays: [], fetch: each { _ in wrong })
            }
            #expect(throws: LedgerFlaw.self) {
                _ = try ledger.snapshot(cutting: ledger.next, strays: [], fetch: each { _ in wrong })
            }
        }
        struct Gone: Error {}
        #expect(throws: Gone.self) {
            _ = try ledger.recover(history.pipeline, strays: [], fetch: each { _ in throw Gone() })
        }
    }
}

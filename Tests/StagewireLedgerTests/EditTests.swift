import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireLedger

/// Dead letters whose record a person has replaced: it is in no stream, and outlives everything like any other.
struct EditTests {
    private let edited = Sample.record("edited")

    /// Records 0 and 1 are dead letters of subscription 0; the first one is edited in entry 4.
    private func some() throws -> (Ledger, entries: [[UInt8]]) {
        var ledger = Sample.ledger()
        let payloads = [
            Sample.steps([(0, 0, [Sample.record("a"), Sample.record("b")])]) {
                $0.done(2, 0); $0.done(2, 1)
            },
            Sample.steps { log in
                log.buried(0, 0, Sample.verdict(1))
                log.buried(0, 1, Sample.verdict(2))
            },
            Sample.steps { $0.edited(0, number: 1, record: edited) },
        ]
        for payload in payloads { try ledger.fold(payload) }
        return (ledger, [[]] + payloads)
    }

    private func letters(_ ledger: Ledger, strays: [UInt8] = [], _ entries: [[UInt8]]) throws -> [[UInt8]] {
        let recovered = try ledger.recover(
            Sample.pipeline(), strays: strays, fetch: each { entries[Int($0.sequence) - 1] })
        return recovered.subscriptions[0].letters.map { letter in letter.record.ref.copyWireBytes() }
            + recovered.subscriptions[0].held.map { held in held.record.ref.copyWireBytes() }
    }

    @Test func takesItsPlace() throws {
        let (ledger, entries) = try some()
        #expect(try letters(ledger, entries) == [edited, Sample.record("b")])
        #expect(ledger.firstNeeded == 2)
    }

    @Test func theRecordBeforeIsNotNeeded() throws {
        var (ledger, entries) = try some()
        try ledger.fold(Sample.steps { $0.discarded(0, number: 2) })
        #expect(ledger.firstNeeded == 4)
        // Edited again, and then gone.
        let again = Sample.steps { $0.edited(0, number: 1, record: Sample.record("again")) }
        try ledger.fold(again)
        entries += [[], again]
        #expect(try letters(ledger, entries) == [Sample.record("again")] && ledger.firstNeeded == 6)
        try ledger.fold(Sample.steps { $0.discarded(0, number: 1) })
        #expect(ledger.firstNeeded == ledger.next && ledger.streams[0].edited.isEmpty)
    }

    /// Back to its stage, given up on once more, back again, settled.
    @Test func itsWay() throws {
        var (ledger, entries) = try some()
        let arrival = LedgerLimit.firstArrival + 5
        try ledger.fold(Sample.steps { $0.revived(0, number: 1, as: arrival) })
        entries.append([])
        #expect(try letters(ledger, entries) == [Sample.record("b"), edited])
        try ledger.fold(Sample.steps { $0.buried(0, arrival, Sample.verdict(3)) })
        entries.append([])
        #expect(try letters(ledger, entries) == [Sample.record("b"), edited])
        try ledger.fold(Sample.steps { $0.revived(0, number: 3, as: arrival + 1) })
        try ledger.fold(Sample.steps { $0.done(0, arrival + 1) })
        #expect(ledger.streams[0].edited.isEmpty && ledger.firstNeeded == 2)
    }

    /// A snapshot has a copy as soon as the entry is to go.
    @Test func inSnapshots() throws {
        var (ledger, entries) = try some()
        for cut in 0...ledger.next {
            ledger.close(below: cut)
            let made = try ledger.snapshot(cutting: cut, strays: [], fetch: each { entries[Int($0.sequence) - 1] })
            let bytes = made.encoded()
            let read = try Snapshot(bytes.span.bytes)
            #expect(read.encoded() == bytes)
            #expect(
                try letters(read.ledger, strays: read.records, entries) == [edited, Sample.record("b")], "cut \(cut)")
            #expect(read.ledger.streams[0].edited.count == (cut <= 4 ? 1 : 0))
            // And the next one as well.
            let next = try read.ledger.snapshot(
                cutting: ledger.next, strays: read.records, fetch: each { entries[Int($0.sequence) - 1] })
            #expect(try letters(next.ledger, strays: next.records, []) == [edited, Sample.record("b")], "cut \(cut)")
            var adopted = ledger
            adopted.adopt(made.ledger, cutting: cut)
            #expect(try letters(adopted, strays: made.records, entries) == [edited, Sample.record("b")], "cut \(cut)")
            // Reading back what waits does not meet it.
            #expect(!made.ledger.plan(subscription: 2, from: 2, bytes: .max).needsSnapshot)
        }
    }

    @Test func refused() throws {
        let (ledger, _) = try some()
        #expect(ledger.flaw(Sample.steps { $0.edited(0, number: 9, record: edited) }) != nil)
        #expect(ledger.flaw(Sample.steps { $0.edited(1, number: 1, record: edited) }) != nil)
        var (broken, entries) = try some()
        entries[3] = Sample.steps()
        #expect(throws: LedgerFlaw.self) { try letters(broken, entries) }
        try broken.fold(Sample.steps { $0.edited(0, number: 1, record: [1, 2, 3]) })
        entries.append(Sample.steps { $0.edited(0, number: 1, record: [1, 2, 3]) })
        #expect(throws: LedgerFlaw.self) { try letters(broken, entries) }
    }
}

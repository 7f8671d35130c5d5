import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireLedger

/// Long lives with much on the side, counted in extents looked at: time says nothing on a busy machine.
struct ScaleTests {
    private static let entries: UInt64 = 100_000
    private static let letters: UInt64 = 10_000

    private static let record = Sample.record("x")

    /// Folds entries of one record each, which is done with in the next one, after so many dead letters.
    private func grown(lettersEach apart: UInt64) throws -> Ledger {
        var ledger = Sample.ledger()
        var number: UInt64 = 0
        for sequence in 0..<Self.entries {
            try ledger.fold(
                Sample.steps([(0, sequence, [Self.record])]) { log in
                    guard sequence > 0 else { return }
                    if number < Self.letters, sequence % apart == 0 {
                        number += 1
                        log.buried(0, sequence - 1, Sample.verdict(number))
                    } else {
                        log.done(0, sequence - 1)
                    }
                    log.done(2, sequence - 1)
                })
        }
        return ledger
    }

    /// Ten thousand dead letters, each in an entry of its own, do not make the other entries slower.
    @Test func deadLetters() throws {
        for apart in [1, 9] as [UInt64] {
            var ledger = try grown(lettersEach: apart)
            #expect(ledger.streams[0].extents.pinned.count == Int(Self.letters))
            // One to go, and the search for each letter's entry.
            #expect(ledger.streams[0].extents.looks < Int(Self.entries + Self.letters * 20))
            let before = ledger.streams[0].extents.looks
            // Dropped from the back, from the middle, from the front: never all of them for one.
            let numbers = (1...Self.letters).map { $0 % 2 == 0 ? Self.letters + 1 - $0 / 2 : $0 / 2 + 1 }
            for number in numbers { try ledger.fold(Sample.steps { $0.discarded(0, number: number) }) }
            #expect(ledger.streams[0].extents.looks - before < Int(Self.letters * 40))
            #expect(ledger.streams[0].extents.pinned.isEmpty && ledger.firstNeeded == Self.entries + 1)
        }
    }

    /// A snapshot reads each entry that is needed once, and what is done once does not come again with the next.
    @Test func snapshots() throws {
        var ledger = try grown(lettersEach: 1)
        var strays: [UInt8] = []
        for round in 0..<3 {
            var fetched = 0
            let fetch = each { place in
                fetched += 1
                return Sample.steps([(0, place.sequence - 2, [Self.record])])
            }
            let made = try ledger.snapshot(cutting: ledger.next, strays: strays, fetch: fetch)
            #expect(fetched == (round == 0 ? Int(Self.letters) + 1 : 0))
            ledger.adopt(made.ledger, cutting: ledger.next)
            strays = made.records
            #expect(ledger.streams[0].strays.count == Int(Self.letters) + 1)
            #expect(ledger.firstNeeded == ledger.next)
        }
        // Copied ones are in no entry: to drop them costs nothing there.
        let before = ledger.streams[0].extents.looks
        for number in 1...Self.letters { try ledger.fold(Sample.steps { $0.discarded(0, number: number) }) }
        #expect(ledger.streams[0].extents.looks == before)
        let made = try ledger.snapshot(cutting: ledger.next, strays: strays, fetch: each { _ in [] })
        #expect(made.ledger.streams[0].strays.count == 1)
    }

    /// A long backlog of small entries costs little memory, wherever its reader stands.
    @Test func manySmallEntries() throws {
        var ledger = Sample.ledger()
        for sequence in 0..<Self.entries { try ledger.fold(Sample.steps([(0, sequence, [Self.record])]), apart: 256) }
        // 25.6 MB of entries.
        let extents = ledger.streams[0].extents.straight
        #expect(extents.count < 110 && extents.reduce(0) { $0 + $1.count } == Int(Self.entries))
        for sequence in stride(from: 0, to: Self.entries, by: 997) {
            #expect(
                ledger.streams[0].extents.from(sequence, bytes: 1).first.map { ($0.first..<$0.end).contains(sequence) }
                    == true)
        }
    }

    /// Every second record waits while half a million others are done with, and then they go in order: with an array of
    /// ranges this would move two terabytes.
    @Test func everySecondRecordLate() {
        var set = SequenceSet(below: 0)
        let count: UInt64 = 500_000
        for sequence in 0..<count { set.insert(2 * sequence + 1..<2 * sequence + 2) }
        #expect(set.ranges.count == Int(count))
        for sequence in 0..<count { set.insert(2 * sequence..<2 * sequence + 1) }
        #expect(set == SequenceSet(below: 2 * count))
    }

    /// A change about a long range is not paid for by its length.
    @Test func longRanges() throws {
        var snapshot = Snapshot(ledger: Sample.ledger(), records: [])
        snapshot.ledger.streams[0].end = LedgerLimit.sequence
        let bytes = snapshot.encoded()
        var ledger = try Snapshot(bytes.span.bytes).ledger
        try ledger.fold(Sample.steps { $0.tried(0, 5, Trial(attempt: 2, crashes: 0, age: 0, delay: 0)) })
        var done: [UInt8] = [0, 1, 0, 0]
        done.put(LedgerLimit.sequence)
        try ledger.fold(done)
        #expect(ledger.subscriptions[0].done.low == LedgerLimit.sequence && ledger.subscriptions[0].trials.isEmpty)
    }
}

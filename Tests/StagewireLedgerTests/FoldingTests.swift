import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireLedger

struct FoldingTests {
    /// Hundreds of lives; what a start would find is what the naive oracle says, after every entry.
    @Test(arguments: 1...60 as ClosedRange<UInt64>) func agreesWithTheOracle(seed: UInt64) throws {
        var history = History(seed: seed)
        var ledger = Sample.ledger()
        for step in 0..<80 {
            // Every other time entries lie so near each other that they are one extent.
            try ledger.fold(history.step(), apart: seed % 2 == 0 ? Ledger.Extent.span : 10_000)
            guard step % 4 == 0 else { continue }
            let faults = history.faults(ledger, strays: [])
            #expect(faults.isEmpty, "seed \(seed), step \(step): \(faults)")
        }
        #expect(ledger.next == history.next)
    }

    /// A copy is a state of its own.
    @Test func value() throws {
        var history = History(seed: 4)
        var ledger = Sample.ledger()
        for _ in 0..<50 { try ledger.fold(history.step()) }
        let copy = ledger
        let before = copy.described()
        for _ in 0..<20 { try ledger.fold(history.step()) }
        #expect(copy.described() == before && ledger.described() != before)
    }

    // MARK: What is refused

    /// A ledger with records 0 to 3 in stream 0, dead letter 1 of record 0 in subscription 0, which came back as an arrival,
    /// and dead letter 2 of record 1.
    private func some() throws -> Ledger {
        var ledger = Sample.ledger()
        try ledger.fold(Sample.steps([(0, 0, (0..<4).map { Sample.record("\($0)") })]))
        try ledger.fold(
            Sample.steps { log in
                log.buried(0, 0, Sample.verdict(1))
                log.revived(0, number: 1, as: LedgerLimit.firstArrival)
                log.buried(0, 1, Sample.verdict(2))
            })
        return ledger
    }

    /// Appends of bytes that need not be records.
    private func raw(_ stream: Int, _ first: UInt64, _ count: Int, bytes size: Int) -> [UInt8] {
        StepsEntry.head(appends: 1) + StepsEntry.head(stream: stream, first: first, count: count, bytes: size)
            + [UInt8](repeating: 0, count: size)
    }

    @Test func appends() throws {
        let ledger = try some()
        #expect(ledger.flaw(raw(0, 4, 2, bytes: 4)) == nil)
        #expect(
            ledger.flaw(raw(0, 5, 1, bytes: 9)) == "stream source goes on with 5 behind 4 (at byte 1 of the payload)")
        #expect(
            ledger.flaw(raw(0, 3, 1, bytes: 9)) == "stream source goes on with 3 behind 4 (at byte 1 of the payload)")
        #expect(ledger.flaw(raw(4, 0, 1, bytes: 9)) == "there is no stream 4 (at byte 1 of the payload)")
        #expect(ledger.flaw(raw(0, 4, 0, bytes: 9)) == "0 records in 9 bytes (at byte 1 of the payload)")
        #expect(ledger.flaw(raw(0, 4, 5, bytes: 9)) == "5 records in 9 bytes (at byte 1 of the payload)")
        var huge = StepsEntry.head(appends: 1)
        for number in [0, 4, UInt64.max >> 1, 9] { huge.put(number) }
        #expect(
            ledger.flaw(huge + [UInt8](repeating: 0, count: 9))
                == "9223372036854775807 records in 9 bytes (at byte 1 of the payload)")
        #expect(ledger.flaw([3, 0]) == "a number does not end (at byte 2 of the payload)")
        #expect(ledger.flaw([1, 0, 4, 1, 9, 0]) == "9 bytes are announced and 1 are there (at byte 5 of the payload)")
    }

    /// A stream that is as long as one may be takes nothing more.
    @Test func theLongestStream() throws {
        var snapshot = Snapshot(ledger: Sample.ledger(), records: [])
        snapshot.ledger.streams[0].end = LedgerLimit.sequence - 1
        let bytes = snapshot.encoded()
        let ledger = try Snapshot(bytes.span.bytes).ledger
        #expect(ledger.flaw(raw(0, LedgerLimit.sequence - 1, 1, bytes: 2)) == nil)
        #expect(
            ledger.flaw(raw(0, LedgerLimit.sequence - 1, 2, bytes: 4))?.hasPrefix("stream source goes beyond") == true)
        snapshot.ledger.streams[0].end = LedgerLimit.sequence + 1
        #expect(throws: LedgerFlaw.self) { _ = try Snapshot(snapshot.encoded().span.bytes) }
    }

    @Test func changes() throws {
        let ledger = try some()
        let arrival = LedgerLimit.firstArrival
        let trial = Trial(attempt: 2, crashes: 0, age: 0, delay: 0)
        let cases: [(String, (inout ChangeLog) -> Void)] = [
            ("there is no subscription 3", { $0.done(3, 0) }),
            ("left from source has no record 4 to settle", { $0.done(0, 4) }),
            (
                "left from source has no record 3 to settle",
                { log in for sequence in 3..<5 { log.done(0, UInt64(sequence)) } }
            ),
            ("left from source has no record \(arrival + 1) to settle", { $0.done(0, arrival + 1) }),
            (
                "left from source has no record \(arrival + 1) to settle",
                { log in for sequence in 0..<2 as Range<UInt64> { log.done(0, arrival + sequence) } }
            ),
            ("sink from left has no record 0 to settle", { $0.done(1, 0) }),
            ("there is no subscription 3", { $0.tried(3, 0, trial) }),
            ("left from source has no record 0 to settle", { $0.tried(0, 0, trial) }),
            ("left from source has no record 4 to settle", { $0.tried(0, 4, trial) }),
            ("left from source has no record \(UInt64.max) to settle", { $0.tried(0, .max, trial) }),
            ("left from source has no record 1 to settle", { $0.buried(0, 1, Sample.verdict(3)) }),
            ("left from source has no record \(UInt64.max) to settle", { $0.buried(0, .max, Sample.verdict(3)) }),
            ("dead letter 2 of left comes behind 2", { $0.buried(0, 2, Sample.verdict(2)) }),
            ("left from source has no dead letter 1", { $0.discarded(0, number: 1) }),
            ("sink from source has no dead letter 2", { $0.discarded(2, number: 2) }),
            ("left from source has no dead letter 3", { $0.asked(0, number: 3) }),
            ("left from source has no dead letter 1", { $0.revived(0, number: 1, as: arrival + 1) }),
            ("dead letter 2 comes back as 7, which is no number for it", { $0.revived(0, number: 2, as: 7) }),
            (
                "dead letter 2 comes back as \(arrival), which is no number for it",
                { $0.revived(0, number: 2, as: arrival) }
            ),
            (
                "dead letter 2 comes back as \(UInt64.max), which is no number for it",
                { $0.revived(0, number: 2, as: .max) }
            ),
            ("there is no stage 3", { $0.moved(stage: 3, partition: "p", to: SourcePosition()) }),
            (
                "run 2 begins, and there were 0 before",
                { $0.began(Run(number: 2, stage: "", version: "", instance: "", language: "")) }
            ),
        ]
        for (expected, change) in cases {
            #expect(ledger.flaw(Sample.steps { change(&$0) }) == expected + " (at byte 1 of the payload)")
        }
    }

    @Test func numbers() throws {
        let ledger = try some()
        let tooLarge = "is too large a number"
        for (expected, bytes) in [
            ("a change of kind 12, which this version does not know (at byte 1 of the payload)", [0, 12]),
            ("a change of kind 0, which this version does not know (at byte 1 of the payload)", [0, 0]),
            ("a range that is none (at byte 1 of the payload)", [0, 1, 0, 2, 0]),
            ("a number does not end (at byte 2 of the payload)", [0, 1]),
        ] as [(String, [UInt8])] { #expect(ledger.flaw(bytes) == expected) }
        #expect(ledger.flaw([0, 1, 0, 1] + most) == "a range that is none (at byte 1 of the payload)")
        // 2^64 and 2^63: one bit too many for a number, and for an index.
        #expect(
            ledger.flaw([0, 1, 0] + [UInt8](repeating: 0x80, count: 9) + [2, 1])?.hasPrefix(
                "a number has more than 64 bits") == true)
        #expect(
            ledger.flaw([0, 1] + [UInt8](repeating: 0x80, count: 9) + [1, 0, 1])?.hasPrefix("a number is too large")
                == true)
        for place in 0..<4 {
            var trial: [UInt64] = [1, 0, 1, 1]
            trial[place] = .max
            var bytes: [UInt8] = [0, 2, 0, 2]
            for number in trial { bytes.put(number) }
            #expect(ledger.flaw(bytes)?.contains(tooLarge) == true, "\(place)")
        }
        #expect(ledger.flaw([0, 7, 0, 1, 0xff, 0, 0, 0])?.hasPrefix("a text is not UTF-8") == true)
        #expect(ledger.flaw([0, 7, 0, 0] + most + [0, 0])?.contains(tooLarge) == true)
        #expect(ledger.flaw([0, 3, 0, 2, 3] + most)?.hasPrefix("a number has more than 32 bits") == true)
        #expect(ledger.flaw([0, 3, 0, 2, 3, 0, 0, 0, 0, 0, 2])?.contains(tooLarge) == true)
    }

    private var most: [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(UInt64.max)
        return bytes
    }

    @Test func kinds() {
        let ledger = Sample.ledger()
        for kind in [0, 3, 255] as [UInt8] {
            #expect(
                ledger.flaw([], kind: kind)
                    == "an entry of kind \(kind), which this version does not know (at byte 0 of the payload)")
        }
        #expect(ledger.flaw([]) == "a number does not end (at byte 0 of the payload)")
        #expect(ledger.flaw([0]) == nil)
        #expect(ledger.flaw([], kind: EntryKind.layout) != nil)
        #expect(Ledger().flaw([1, 0, 0, 1, 2, 0, 0])?.hasPrefix("there is no stream 0") == true)
    }
}

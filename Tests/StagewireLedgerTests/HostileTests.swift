import StagewireModel
import StagewireRouter
import StagewireTestSupport
import Testing

@testable import StagewireLedger

/// Bytes that nobody has written: an error for people, or another state that holds together, and never a trap. (The
/// journal's checksums keep such bytes away; what is left are defects, and versions to come.)
struct HostileTests {
    /// A life, its ledger before the last entry, and that entry.
    private func some(_ seed: UInt64, steps: Int = 40) throws -> (history: History, ledger: Ledger, last: [UInt8]) {
        var history = History(seed: seed)
        var ledger = Sample.ledger()
        for _ in 0..<steps { try ledger.fold(history.step()) }
        let last = history.step()
        return (history, ledger, last)
    }

    /// Cut anywhere, an entry is refused or is a shorter one.
    @Test(arguments: 1...30 as ClosedRange<UInt64>) func everyTruncation(seed: UInt64) throws {
        let (history, ledger, last) = try some(seed)
        for count in 0..<last.count { attempt(Array(last[..<count]), ledger, history) }
        let layout = history.entries[0]
        for count in 0..<layout.count { #expect(ledger.flaw(Array(layout[..<count]), kind: EntryKind.layout) != nil) }
    }

    @Test(arguments: 1...30 as ClosedRange<UInt64>) func flips(seed: UInt64) throws {
        let (history, ledger, last) = try some(seed)
        var random = SplitMix64(seed: seed)
        var taken = 0
        for _ in 0..<250 {
            if attempt(Mutation.of(last, &random), ledger, history) { taken += 1 }
            _ = ledger.flaw(Mutation.of(history.entries[0], &random), kind: EntryKind.layout)
        }
        // Otherwise it was all refused at the first byte.
        #expect(taken > 0, "seed \(seed)")
    }

    /// Takes a payload in, if it can be, and does with what comes of it all that is done with a ledger.
    @discardableResult
    private func attempt(_ payload: [UInt8], _ ledger: Ledger, _ history: History) -> Bool {
        var ledger = ledger
        do throws(LedgerFlaw) { try ledger.fold(payload) } catch { return false }
        use(ledger, history, strays: []) { place in
            place.sequence == history.next - 1 ? payload : history.payload(place)
        }
        return true
    }

    private func use(
        _ ledger: Ledger, _ history: History, strays: [UInt8], _ payload: @escaping (EntryPlace) -> [UInt8]
    ) {
        let fetch = each(payload)
        if let recovered = try? ledger.recover(history.pipeline, strays: strays, fetch: fetch) {
            var router = Router(
                history.pipeline, recovered: recovered, at: Moment(uptime: 1 << 50, wall: 1_700_000_000_000_000))
            router.handle(.tick, at: Moment(uptime: 1 << 51, wall: 1_700_000_000_000_000))
            router.pump(at: Moment(uptime: 1 << 51, wall: 1_700_000_000_000_000))
        }
        _ = ledger.liveBytes(below: ledger.next / 2)
        _ = ledger.orphans(in: Layout())
        for cut in [0, ledger.firstNeeded, ledger.next] {
            guard let made = try? ledger.snapshot(cutting: cut, strays: strays, fetch: fetch) else { continue }
            let bytes = made.encoded()
            // What was taken in can be written and read again.
            guard let read = try? Snapshot(bytes.span.bytes), read.encoded() == bytes else {
                Issue.record("a state that cannot be read back")
                return
            }
        }
    }

    // MARK: Snapshots

    private func snapshot(_ seed: UInt64) throws -> (history: History, bytes: [UInt8], records: Int) {
        let (history, ledger, _) = try some(seed, steps: 25)
        let made = try ledger.snapshot(cutting: ledger.next / 2, strays: [], fetch: each { history.payload($0) })
        return (history, made.encoded(), made.records.count)
    }

    @Test(arguments: 1...10 as ClosedRange<UInt64>) func everyTruncationOfASnapshot(seed: UInt64) throws {
        let (_, bytes, _) = try snapshot(seed)
        for count in 0..<bytes.count {
            guard (try? Snapshot(bytes.span.bytes.extracting(0..<count))) == nil else {
                Issue.record("seed \(seed): cut to \(count) of \(bytes.count) bytes it can be read")
                return
            }
        }
        #expect(throws: LedgerFlaw.self) { _ = try Snapshot((bytes + [0]).span.bytes) }
    }

    @Test(arguments: 1...40 as ClosedRange<UInt64>) func flipsInASnapshot(seed: UInt64) throws {
        let (history, bytes, records) = try snapshot(seed)
        var random = SplitMix64(seed: seed)
        var taken = 0
        for _ in 0..<400 {
            // The state more often than the records, of which there are many.
            let part = Bool.random(using: &random) ? bytes.count - records : bytes.count
            let changed = Mutation.of(bytes, &random, within: part)
            guard let read = try? Snapshot(changed.span.bytes) else { continue }
            taken += 1
            use(read.ledger, history, strays: read.records) { place in
                let known = 1..<history.next
                return known.contains(place.sequence) ? history.payload(place) : []
            }
            // It goes on with whatever comes.
            var ledger = read.ledger
            ledger.next = history.next - 1
            _ = try? ledger.fold(history.entries.last!)
        }
        #expect(taken > 0, "seed \(seed)")
    }

    /// The ledger's own time is the next segment's, so that would stand before the last one.
    @Test func aSegmentOfATimeToCome() throws {
        var ledger = Sample.ledger()
        ledger.time = 5
        ledger.segments = [Ledger.SegmentMark(first: 1, time: 5)]
        let fetch: EntryFetch = { _, _, _ in }
        let good = try ledger.snapshot(cutting: 0, strays: [], fetch: fetch).encoded()
        #expect(try Snapshot(good.span.bytes).ledger.segments.map(\.time) == [5])
        ledger.segments = [Ledger.SegmentMark(first: 1, time: 6)]
        let bad = try ledger.snapshot(cutting: 0, strays: [], fetch: fetch).encoded()
        #expect(throws: LedgerFlaw.self) { try Snapshot(bad.span.bytes) }
    }

    /// Numbers that would ask for all memory, or run for ever, if they were believed.
    @Test func hugeCounts() throws {
        let ledger = Sample.ledger()
        for count in [1 << 20, 1 << 40, UInt64.max >> 1, .max] as [UInt64] {
            var bytes: [UInt8] = []
            bytes.put(count)
            #expect(ledger.flaw(bytes) != nil)
            #expect(ledger.flaw(bytes, kind: EntryKind.layout) != nil)
            #expect(ledger.flaw([0, 1, 0, 0] + bytes) != nil)
            #expect(ledger.flaw([0, 7, 0] + bytes) != nil)
            #expect(throws: LedgerFlaw.self) { _ = try Snapshot(([1, 0] + bytes).span.bytes) }
            // Layout of nothing, then so many streams.
            #expect(throws: LedgerFlaw.self) { _ = try Snapshot(([1, 0, 3, 0, 0, 0] + bytes).span.bytes) }
        }
    }

    /// A record's bytes that are none reach neither router nor worker.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func records(seed: UInt64) throws {
        let (history, ledger, _) = try some(seed)
        var random = SplitMix64(seed: seed)
        for _ in 0..<300 {
            _ = try? ledger.recover(
                history.pipeline, strays: [], fetch: each { Mutation.of(history.payload($0), &random) })
        }
    }
}

/// One to three bytes changed, left out, or put in.
enum Mutation {
    static func of(_ bytes: [UInt8], _ random: inout SplitMix64, within part: Int? = nil) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            guard !bytes.isEmpty else { return bytes }
            let place = Int.random(in: 0..<min(bytes.count, part ?? bytes.count), using: &random)
            switch Int.random(in: 0..<8, using: &random) {
            case 0: bytes.remove(at: place)
            case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
            case 2: bytes[place] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random)!
            case 3:
                bytes.replaceSubrange(place..<place + 1, with: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])
            case _: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            }
        }
        return bytes
    }
}

import StagewireDiskSimulation
import StagewireJournal
import StagewireTestSupport

let identity = JournalIdentity(high: 0x1122_3344_5566_7788, low: 0x99aa_bbcc_ddee_ff00)

/// A journal on a simulated disk, used at random by seed, whatever happens to it, and compared with the oracle.
final class Rig {
    let disk: MemoryDisk
    var account = Account()
    var problems: [String] = []
    private(set) var options: JournalOptions
    private var writer: JournalWriter<MemoryDisk>?
    private var random: SplitMix64
    private var pending: [Item] = []
    private var made = 0
    private let crash: (inout SplitMix64) -> MemoryDisk.Crash
    /// How often it was opened after a crash or a poisoned writer.
    private(set) var restarts = 0
    /// How many segments that were others before there were after flushes.
    private(set) var reuses = 0
    /// What openings found unfinished.
    private(set) var unfinished = 0

    init(seed: UInt64, segmentBytes: Int = 1024, crash: @escaping (inout SplitMix64) -> MemoryDisk.Crash) {
        random = SplitMix64(seed: seed)
        disk = MemoryDisk(random: SplitMix64(seed: seed ^ 0x5555))
        options = JournalOptions(
            identity: identity, nonce: seed, segmentBytes: segmentBytes,
            reusableBytes: [0, 1, 3][Int(seed / 2 % 3)] * segmentBytes)
        self.crash = crash
    }

    var isOpen: Bool { writer != nil }

    // MARK: Opening

    /// Opens it, a second time if a fault prevents it.
    func open() {
        for attempt in 0..<8 {
            var found: [Item] = []
            do throws(JournalError) {
                options.nonce = random.next()
                writer = try JournalWriter.open(disk, options) { entry, _, payload in
                    found.append(
                        Item(
                            sequence: entry.sequence, kind: entry.kind,
                            payload: payload.withUnsafeBytes { Array($0) }))
                }
                unfinished += writer?.found.findings.count ?? 0
                problems += account.reopened(found)
                pending = []
                return
            } catch {
                if disk.hasCrashed { restartDisk() }
                switch error {
                case .disk, .full: break
                default: problems.append("opening: \(error.message)")
                }
                if attempt == 7 { problems.append("cannot be opened") }
            }
        }
    }

    private func restartDisk() {
        restarts += 1
        disk.restart(crash(&random))
    }

    /// Ends as if killed, in the calm.
    func kill(_ crash: MemoryDisk.Crash) {
        writer = nil
        disk.restart(crash)
        open()
    }

    private func reopen() {
        writer = nil
        if disk.openFiles != 0 && !disk.hasCrashed { problems.append("\(disk.openFiles) files are still open") }
        if disk.hasCrashed { restartDisk() }
        open()
    }

    // MARK: Using

    func step() {
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<8: append()
        case 8..<14: flush()
        case 14..<16: perform { (writer) throws(JournalError) in try writer.prepareAhead(zeros: 600) }
        case 16: retire()
        case 17: reopen()
        // Where segments are used again there should be some.
        case 18 where options.reusableBytes > 0: retire()
        default: readBack()
        }
    }

    func append() {
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            made += 1
            let size = Int.random(in: 0..<10, using: &random) == 0 ? 700 : Int.random(in: 0...90, using: &random)
            var payload = Array("\(made):".utf8)
            // Zeros too, which look like what was never written.
            let fill = made % 3 == 0 ? 0 : UInt8(truncatingIfNeeded: made)
            payload += [UInt8](repeating: fill, count: size)
            let item = Item(sequence: 0, kind: UInt8(made % 250 + 1), payload: payload)
            pending.append(item)
            perform { (writer) throws(JournalError) in writer.append(kind: item.kind, item.payload.span.bytes) }
        }
    }

    func flush() {
        account.attempt(pending, from: account.next)
        let items = pending
        perform { [self] (writer) throws(JournalError) in
            let durable = try writer.flush()
            problems += account.confirm(items, durable)
            pending = []
        }
        if Bool.random(using: &random) { perform { (writer) throws(JournalError) in try writer.mark() } }
        reuses += disk.fileNames.count { $0.hasSuffix(".seg") && disk.bytes(of: $0)[56] == 1 }
    }

    private func retire() {
        let below = UInt64.random(in: 1...account.next, using: &random)
        account.retired = max(account.retired, below)
        perform { (writer) throws(JournalError) in try writer.retire(below: below) }
    }

    /// Does something with the writer; again after want of space, in a new process after everything else.
    private func perform(_ action: (inout JournalWriter<MemoryDisk>) throws(JournalError) -> Void) {
        // As many times as there may be faults left over from before.
        for attempt in 0..<6 {
            guard writer != nil else { return }
            do throws(JournalError) {
                try action(&writer!)
                return
            } catch {
                if case .full = error, !disk.hasCrashed, attempt < 5 { continue }
                expectSilence(after: error)
                return reopen()
            }
        }
    }

    /// A writer that failed for good confirms nothing any more.
    private func expectSilence(after error: JournalError) {
        guard case .poisoned = error else {
            // A process may end while it tidies up after want of space.
            if !disk.hasCrashed { problems.append("a writer failed with \(error.message)") }
            return
        }
        do throws(JournalError) {
            _ = try writer!.flush()
            problems.append("a poisoned writer confirms")
        } catch {
            guard let poison = writer?.poison, error == .poisoned(poison) else {
                problems.append("poisoned, then \(error.message)")
                return
            }
        }
    }

    // MARK: Reading

    /// Reads everything that is durable back, and again from the middle.
    func readBack() {
        guard let first = writer?.first, let next = writer?.next else { return }
        do throws(JournalError) {
            let all = try read(try JournalReader.open(disk, from: first), below: next)
            problems += account.check(all)
            guard let middle = all.randomElement(using: &random)?.sequence else { return }
            let rest = try read(try JournalReader.open(disk, from: middle), below: next)
            if rest != all.filter({ $0.sequence >= middle }) { problems.append("reading from \(middle) differs") }
        } catch {
            if case .disk = error { return disk.hasCrashed ? reopen() : () }
            problems.append("reading: \(error.message)")
        }
    }

    private func read(_ reader: consuming JournalReader<MemoryDisk>, below end: UInt64) throws(JournalError) -> [Item] {
        var found: [Item] = []
        while let entry = try reader.advance(below: end) {
            found.append(
                Item(
                    sequence: entry.sequence, kind: entry.kind,
                    payload: reader.withPayload { $0.withUnsafeBytes { Array($0) } }))
        }
        return found
    }

    /// Ends the process and the power at last, and looks once more.
    func finish(_ crash: MemoryDisk.Crash) {
        flush()
        writer = nil
        disk.restart(crash)
        open()
        readBack()
        writer = nil
        if disk.openFiles != 0 { problems.append("\(disk.openFiles) files are still open at the end") }
    }
}

/// The proof that entries are durable. Only a flush that succeeded makes one, so whatever is confirmed or made visible on the
/// ground of entries can ask for it.
public struct Durable: Equatable, Sendable {
    /// The entries that this flush made durable; all before them have been.
    public let sequences: Range<UInt64>
    /// Where the first of them begins.
    public let start: JournalPosition

    fileprivate init(_ sequences: Range<UInt64>, at start: JournalPosition) {
        self.sequences = sequences
        self.start = start
    }
}

/// Appends to the one journal of a directory. It belongs to one thread, and blocks it.
///
/// Invariants:
/// - What lies below `next` is durable; no entry that is needed is written over.
/// - Everything behind the last entry of the active segment is zero, but for a mark, or was left by a failed write and is cleared
///   before the next one (`scrap`). In a segment that was another one before, so much is zero that it is seen where entries end.
/// - A segment gets its name when its header is durable, and its first entries when its name is.
public struct JournalWriter<D: Disk>: ~Copyable {
    /// A writer that is poisoned has no file to write to.
    enum State {
        case open(Active)
        case poisoned(DiskError)
    }

    /// The segment that is appended to.
    struct Active {
        let file: DiskFile
        let header: SegmentHeader
        /// Where the next entry goes.
        var end: Int
        /// Behind the last byte that a failed write may have left beyond `end`.
        var scrap: Int
    }

    /// A segment that is kept.
    struct Kept: Equatable {
        let first: UInt64
        let bytes: Int
    }

    /// A segment that has no place yet.
    struct Spare {
        let file: DiskFile
        let bytes: Int
        /// Bytes from the beginning that were written with zeros.
        var zeroed = 0
    }

    let disk: D
    let options: JournalOptions
    let lock: DiskFile
    var state: State
    /// All segments in order, the active one last.
    var kept: [Kept]
    /// The segment prepared ahead.
    var spare: Spare?
    /// Segments that nobody needs, under the names of `JournalFormat.reusableName`: what they have is written over by later ones.
    var reusable: [Kept] = []
    var chain: UInt32
    /// The sequence of the next entry.
    public internal(set) var next: UInt64
    /// What was found when the journal was opened.
    public let found: ScanReport
    private var group = EntryGroup()

    /// Takes over what `open` has prepared.
    init(
        disk: D, options: JournalOptions, lock: DiskFile, active: Active, kept: [Kept], reusable: [Kept], chain: UInt32,
        next: UInt64, found: ScanReport
    ) {
        self.disk = disk
        self.options = options
        self.lock = lock
        self.kept = kept
        self.reusable = reusable
        self.chain = chain
        self.next = next
        self.found = found
        state = .open(active)
    }

    deinit {
        if case .open(let active) = state { disk.close(active.file) }
        if let spare { disk.close(spare.file) }
        disk.close(lock)
    }

    /// The first entry that is kept, or would be.
    public var first: UInt64 { kept.first?.first ?? next }

    /// Bytes of all segments, the one prepared ahead and those that will be used again included.
    public var byteCount: Int { kept.reduce((spare?.bytes ?? 0) + reusableBytes) { $0 + $1.bytes } }

    /// Bytes of segments that nobody needs and that will be used again.
    public var reusableBytes: Int { reusable.reduce(0) { $0 + $1.bytes } }

    /// The segments that are kept, in order, with their sizes.
    public var segments: [(first: UInt64, bytes: Int)] { kept.map { ($0.first, $0.bytes) } }

    /// The size of the active segment.
    public var activeBytes: Int { kept.last?.bytes ?? 0 }

    /// Whether the active segment is half full, so that the next one may be wanted soon.
    public var isHalfFull: Bool {
        switch state {
        case .open(let active): active.end > active.header.capacity / 2
        case .poisoned: false
        }
    }

    public var segmentCount: Int { kept.count + (spare == nil ? 0 : 1) }

    /// The error after which this writer does nothing more.
    public var poison: DiskError? {
        switch state {
        case .open: nil
        case .poisoned(let error): error
        }
    }

    // MARK: Appending

    /// Adds an entry to the writer's own group; nothing is written before `flush`.
    public mutating func append(kind: UInt8, _ payload: RawSpan) { group.append(kind: kind, payload) }

    /// Makes everything appended so far durable. After `.full` it is still there, and may be flushed again.
    public mutating func flush() throws(JournalError) -> Durable {
        var group = EntryGroup()
        swap(&group, &self.group)
        defer { swap(&group, &self.group) }
        return try flush(&group)
    }

    /// Writes all entries of a group in one piece and syncs once. The group is empty afterwards; after an error it is as
    /// it was.
    ///
    /// Errors: `.full`, after which the same group may be tried again, and `.poisoned`, which is final.
    /// - Parameter visit: sees the entries, as a scan would, once they are durable.
    public mutating func flush(
        _ group: inout EntryGroup, visit: EntryVisitor = { _, _, _ in }
    ) throws(JournalError) -> Durable {
        try clearScrap()
        if group.byteCount > room { try rotate(for: group.byteCount) }
        var active = try active()
        let start = JournalPosition(segment: active.header.first, offset: active.end, sequence: next)
        if group.isEmpty { return Durable(next..<next, at: start) }
        let last = group.seal(from: next, after: chain, seed: active.header.seed)
        let zeros = active.header.isReused ? min(JournalFormat.mark, room - group.byteCount) : 0
        do throws(DiskError) {
            try group.withBytes(andZeros: zeros) { (bytes) throws(DiskError) in
                try disk.writeAll(active.file, bytes, at: active.end)
            }
        } catch {
            // Without room nothing is lost: what was written of it is cleared before the next attempt.
            active.scrap = active.end + group.byteCount + zeros
            state = .open(active)
            throw unlessFull(error)
        }
        do { try disk.sync(active.file) } catch { throw poisoned(error) }
        let sequences = next..<next + UInt64(group.count)
        active.end += group.byteCount
        active.scrap = active.end
        state = .open(active)
        chain = last
        next = sequences.upperBound
        group.forEach(from: start, visit)
        group.removeAll()
        return Durable(sequences, at: start)
    }

    /// Writes down behind the last entry that it is durable, until the next one takes the place. Without that, damage to the last
    /// flush may look like a write that was cut short. It costs a write of 32 bytes into memory of the system, and no sync.
    ///
    /// Errors: `.poisoned`. Without room nothing is written.
    public mutating func mark() throws(JournalError) {
        var active = try active()
        let end = active.end
        // Within one sector, or a crash could leave half of it; and where an entry could be, or half of it would not be known for that.
        guard active.scrap <= end, end + JournalFormat.entryBytes(payload: 0) <= active.header.capacity,
            end % JournalFormat.sector + JournalFormat.mark <= JournalFormat.sector
        else { return }
        let mark = EntryHeader.mark(next, after: chain, seed: active.header.seed)
        do { try disk.writeAll(active.file, mark.span.bytes, at: end) } catch {
            active.scrap = end + mark.count
            state = .open(active)
            if case .poisoned(let error) = unlessFull(error) { throw .poisoned(error) }
        }
    }

    // MARK: Failing

    /// The segment to write to, unless this writer is poisoned.
    func active() throws(JournalError) -> Active {
        switch state {
        case .open(let active): return active
        case .poisoned(let error): throw .poisoned(error)
        }
    }

    /// Ends this writer.
    mutating func poisoned(_ error: DiskError) -> JournalError {
        if case .open(let active) = state { disk.close(active.file) }
        state = .poisoned(error)
        return .poisoned(error)
    }

    /// Want of space is for the caller to wait out. Any other error of a write leaves bytes in a state nobody knows.
    mutating func unlessFull(_ error: DiskError) -> JournalError {
        error.cause == .noSpace ? .full(.disk(error)) : poisoned(error)
    }

    /// Bytes that the active segment has left.
    private var room: Int {
        switch state {
        case .open(let active): active.header.capacity - active.end
        case .poisoned: .max
        }
    }

    /// Clears what a failed write has left, so that an old attempt is never seen beside a new one.
    private mutating func clearScrap() throws(JournalError) {
        var active = try active()
        guard active.scrap > active.end else { return }
        do {
            try disk.clear(active.file, active.end..<active.scrap)
        } catch { throw unlessFull(error) }
        do { try disk.sync(active.file) } catch { throw poisoned(error) }
        active.scrap = active.end
        state = .open(active)
    }
}

// A writer may be made on one thread and used by another.
extension JournalWriter: Sendable where D: Sendable {}

extension Disk {
    /// Writes everything, in as many calls as it takes.
    func writeAll(_ file: DiskFile, _ bytes: RawSpan, at offset: Int) throws(DiskError) {
        var done = 0
        while done < bytes.byteCount {
            done += try write(file, bytes.extracting(done..<bytes.byteCount), at: offset + done)
        }
    }

    /// Writes zeros.
    func clear(_ file: DiskFile, _ range: Range<Int>) throws(DiskError) {
        let zeros = [UInt8](repeating: 0, count: min(range.count, 256 * 1024))
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = min(zeros.count, range.upperBound - offset)
            try writeAll(file, zeros.span.bytes.extracting(0..<count), at: offset)
            offset += count
        }
    }
}

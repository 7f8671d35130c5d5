/// The coming and going of segments.
extension JournalWriter {
    // MARK: Coming

    /// Does a piece of the preparation of the next segment. Call it when there is nothing to flush, until `wantsPreparation` is
    /// false; a rotation does by itself what has not been done.
    ///
    /// The first piece takes space on the disk. The others write zeros: a file system marks blocks that are only reserved as
    /// unwritten, and each sync of a first write to one has to write its records of that, too. Zeros cost each byte a second time, so
    /// they are for quiet times.
    ///
    /// Errors: `.full`, which may be ignored: the rotation will try again. `.poisoned`.
    /// - Parameter bytes: the size of a piece, which is how long a flush that comes meanwhile may have to wait.
    public mutating func prepareAhead(zeros bytes: Int = 1024 * 1024) throws(JournalError) {
        precondition(bytes > 0, "a piece of the preparation is something")
        _ = try active()
        guard var spare else {
            if limitReached(by: usualBytes) == nil { try makeSpare(usualBytes) }
            return
        }
        guard spare.zeroed < spare.bytes else { return }
        let end = min(spare.zeroed + bytes, spare.bytes)
        do { try disk.clear(spare.file, spare.zeroed..<end) } catch { throw unlessFull(error) }
        spare.zeroed = end
        self.spare = spare
        guard end == spare.bytes else { return }
        do { try disk.sync(spare.file) } catch { throw poisoned(error) }
    }

    /// Whether `prepareAhead` would do something. Where a segment is used again there is nothing to prepare.
    public var wantsPreparation: Bool {
        guard poison == nil, reusable.isEmpty else { return false }
        return spare.map { $0.zeroed < $0.bytes } ?? (limitReached(by: usualBytes) == nil)
    }

    /// Ends the active segment and begins the next one with room for `bytes`.
    mutating func rotate(for bytes: Int) throws(JournalError) {
        let old = try active()
        let needed = max(usualBytes, JournalFormat.segmentHeader + bytes)
        let reused = try reuse(for: needed)
        let (header, file) = if let reused { reused } else { try beginSegment(for: needed) }
        disk.close(old.file)
        state = .open(Active(file: file, header: header, end: JournalFormat.segmentHeader, scrap: 0))
        // A segment without entries has the name of its successor, which has taken its place.
        if old.header.first == header.first { kept.removeLast() }
        precondition(kept.last.map { $0.first < header.first } ?? true, "segments follow each other")
        kept.append(Kept(first: header.first, bytes: header.capacity))
    }

    /// The size of the next segment, unless a group needs more.
    private var usualBytes: Int {
        let last = kept.last?.bytes ?? 0
        return min(options.segmentBytes, max(options.firstSegmentBytes, last < options.segmentBytes ? 2 * last : last))
    }

    private func limitReached(by bytes: Int) -> JournalError.Fullness? {
        if segmentCount >= options.segmentLimit { return .segments(limit: options.segmentLimit) }
        if bytes > options.byteLimit - byteCount { return .bytes(limit: options.byteLimit) }
        return nil
    }

    private func header(capacity: Int, isReused: Bool = false) -> SegmentHeader {
        SegmentHeader(
            previous: chain, identity: options.identity, first: next, capacity: capacity,
            nonce: options.nonce(of: next), isReused: isReused)
    }

    // MARK: Out of a spare

    /// The next segment with new blocks: a spare of the right size. Without space for a name the spare stays one.
    private mutating func beginSegment(for needed: Int) throws(JournalError) -> (SegmentHeader, DiskFile) {
        if let spare, spare.bytes < needed { try dropSpare() }
        if spare == nil {
            try makeRoom(for: needed)
            try makeSpare(needed)
        }
        guard let spare else { preconditionFailure("a segment is made of a spare") }
        let header = header(capacity: spare.bytes)
        try begin(header, in: spare.file, called: JournalFormat.spareName)
        self.spare = nil
        return (header, spare.file)
    }

    /// Gives up segments that would be used again before it says that there is no room.
    private mutating func makeRoom(for bytes: Int) throws(JournalError) {
        while !reusable.isEmpty, case .bytes? = limitReached(by: bytes) { try dropReusable() }
        if let limit = limitReached(by: bytes) { throw .full(limit) }
    }

    private mutating func makeSpare(_ bytes: Int) throws(JournalError) {
        do { spare = Spare(file: try disk.makeSpare(bytes), bytes: bytes) } catch { throw unlessFull(error) }
    }

    private mutating func dropSpare() throws(JournalError) {
        do { try disk.remove(JournalFormat.spareName) } catch { throw poisoned(error) }
        if let spare { disk.close(spare.file) }
        spare = nil
    }

    /// Makes a file the segment of `header`.
    private mutating func begin(_ header: SegmentHeader, in file: DiskFile, called name: String) throws(JournalError) {
        do { try disk.writeHeader(header, to: file) } catch {
            throw error.operation == .write ? unlessFull(error) : poisoned(error)
        }
        do { try disk.rename(name, to: JournalFormat.segmentName(header.first)) } catch { throw unlessFull(error) }
        do { try disk.syncDirectory() } catch { throw poisoned(error) }
    }

    // MARK: Out of an old one

    /// The next segment in the place of one that nobody needs: its blocks are there already, and a sync has nothing to write but
    /// what was written. Nil if there is none of that size.
    private mutating func reuse(for needed: Int) throws(JournalError) -> (SegmentHeader, DiskFile)? {
        guard let old = reusable.first, old.bytes >= needed, segmentCount < options.segmentLimit else { return nil }
        let name = JournalFormat.reusableName(old.first)
        let file: DiskFile
        do { file = try disk.open(name, .write) } catch {
            // Somebody has removed it.
            reusable.removeFirst()
            return nil
        }
        let header = header(capacity: old.bytes, isReused: true)
        do { try begin(header, in: file, called: name) } catch {
            disk.close(file)
            throw error
        }
        reusable.removeFirst()
        return (header, file)
    }

    /// Removes the oldest of the segments that would be used again.
    private mutating func dropReusable() throws(JournalError) {
        do { try disk.remove(JournalFormat.reusableName(reusable[0].first)) } catch {
            guard error.cause == .missing else { throw poisoned(error) }
        }
        reusable.removeFirst()
    }

    /// Gives the place of all segments that would be used again back to the disk.
    ///
    /// Errors: `.poisoned`
    public mutating func dropAllReusable() throws(JournalError) {
        _ = try active()
        while !reusable.isEmpty { try dropReusable() }
    }

    // MARK: Going

    /// Removes the segments that have only entries below `sequence`, the oldest first, never the active one.
    ///
    /// Each removal is durable before the next begins: a crash never leaves a gap that would look like damage.
    /// - Returns: how many were removed.
    @discardableResult
    public mutating func retire(below sequence: UInt64) throws(JournalError) -> Int {
        _ = try active()
        let retired = retirable(below: sequence)
        for first in retired {
            let retirement = retirement(of: first)
            try retire(retirement, done: retirement.carryOut(on: disk))
        }
        return retired.count
    }

    // Removing a large file takes as long as many flushes. So it may be done beside them, in three steps: which ones and how, the
    // file, and what the writer has to know.

    /// The first sequences of the segments that `retire` would remove, the oldest first.
    public func retirable(below sequence: UInt64) -> [UInt64] {
        zip(kept, kept.dropFirst()).prefix { $1.first <= sequence }.map(\.0.first)
    }

    /// What is to become of a segment that nobody needs.
    /// - Parameter reusing: it may be used again, if it has the usual size and there are not too many already.
    public func retirement(of first: UInt64, reusing: Bool = true) -> Retirement {
        let bytes = kept.first { $0.first == first }?.bytes
        return Retirement(
            first: first,
            isReusable: reusing && bytes == options.segmentBytes
                && reusableBytes + options.segmentBytes <= options.reusableBytes)
    }

    /// Makes the removal of the oldest segment durable; until then it counts. Those that were named are removed in their order.
    ///
    /// Errors: `.poisoned`, also if the removal has failed.
    public mutating func retire(_ retirement: Retirement, done: Result<Void, DiskError>) throws(JournalError) {
        _ = try active()
        precondition(
            kept.count > 1 && kept[0].first == retirement.first,
            "the oldest segment goes first, and never the active one")
        do { try done.get() } catch { throw poisoned(error) }
        let segment = kept.removeFirst()
        do { try disk.syncDirectory() } catch { throw poisoned(error) }
        // Only now: nothing is written over that would come back under its name.
        if retirement.isReusable { reusable.append(segment) }
    }

    /// What has to be kept so that at most `bytes` are: the sequence to give to `retire`. For retention by size.
    public func sequence(keeping bytes: Int) -> UInt64 {
        var sum = spare?.bytes ?? 0
        for segment in kept.reversed() {
            sum += segment.bytes
            if sum > bytes { return kept.first { $0.first > segment.first }?.first ?? segment.first }
        }
        return first
    }
}

/// How a segment goes that nobody needs.
public struct Retirement: Equatable, Sendable {
    public let first: UInt64
    /// It gets another name, and its place is used again; otherwise it is removed.
    public let isReusable: Bool

    /// Does it to the file. Needs no writer.
    public func carryOut<D: Disk>(on disk: D) -> Result<Void, DiskError> {
        let name = JournalFormat.segmentName(first)
        return Result { () throws(DiskError) in
            if isReusable {
                try disk.rename(name, to: JournalFormat.reusableName(first))
            } else {
                try disk.remove(name)
            }
        }
    }
}

extension Disk {
    /// Makes the file of a segment to come; none is left if there is no room for it.
    func makeSpare(_ bytes: Int) throws(DiskError) -> DiskFile {
        let file: DiskFile
        do { file = try open(JournalFormat.spareName, .create) } catch {
            guard error.cause == .exists else { throw error }
            // Left by an attempt that could not clean up behind itself.
            try remove(JournalFormat.spareName)
            file = try open(JournalFormat.spareName, .create)
        }
        do { try preallocate(file, bytes: bytes) } catch {
            close(file)
            // The first error is the one to tell; a spare that stays is found by the next attempt.
            try? remove(JournalFormat.spareName)
            throw error
        }
        return file
    }

    /// Writes the header of a segment that has no name yet, and makes it durable together with the file's size. In one that was
    /// another before, zeros follow where that had its first entry.
    func writeHeader(_ header: SegmentHeader, to file: DiskFile) throws(DiskError) {
        let zeros = header.isReused ? min(JournalFormat.mark, header.capacity - JournalFormat.segmentHeader) : 0
        try writeAll(file, (header.encoded() + [UInt8](repeating: 0, count: zeros)).span.bytes, at: 0)
        try sync(file)
    }
}

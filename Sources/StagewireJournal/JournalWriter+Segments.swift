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

    /// Whether `prepareAhead` would do something.
    public var wantsPreparation: Bool {
        guard poison == nil else { return false }
        return spare.map { $0.zeroed < $0.bytes } ?? (limitReached(by: usualBytes) == nil)
    }

    /// Ends the active segment and begins the next one with room for `bytes`.
    mutating func rotate(for bytes: Int) throws(JournalError) {
        let old = try active()
        let header = try nextHeader(for: bytes)
        let file = try beginSegment(header)
        disk.close(old.file)
        state = .open(Active(file: file, header: header, end: JournalFormat.segmentHeader, scrap: 0))
        // A segment without entries has the name of its successor, which has taken its place.
        if old.header.first == header.first { kept.removeLast() }
        precondition(kept.last.map { $0.first < header.first } ?? true, "segments follow each other")
        kept.append(Kept(first: header.first, bytes: header.capacity))
    }

    /// Decides the size, and sees to it that there is a spare of that size.
    private mutating func nextHeader(for bytes: Int) throws(JournalError) -> SegmentHeader {
        let needed = max(usualBytes, JournalFormat.segmentHeader + bytes)
        if let spare, spare.bytes < needed { try dropSpare() }
        if spare == nil {
            if let limit = limitReached(by: needed) { throw .full(limit) }
            try makeSpare(needed)
        }
        return SegmentHeader(
            previous: chain, identity: options.identity, first: next, capacity: spare?.bytes ?? needed,
            nonce: options.nonce(of: next))
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

    private mutating func makeSpare(_ bytes: Int) throws(JournalError) {
        do { spare = Spare(file: try disk.makeSpare(bytes), bytes: bytes) } catch { throw unlessFull(error) }
    }

    private mutating func dropSpare() throws(JournalError) {
        do { try disk.remove(JournalFormat.spareName) } catch { throw poisoned(error) }
        if let spare { disk.close(spare.file) }
        spare = nil
    }

    /// Makes the spare the segment of `header`. Without space for a name the spare stays one.
    private mutating func beginSegment(_ header: SegmentHeader) throws(JournalError) -> DiskFile {
        guard let file = spare?.file else { preconditionFailure("a segment is made of a spare") }
        do { try disk.writeHeader(header, to: file) } catch {
            throw error.operation == .write ? unlessFull(error) : poisoned(error)
        }
        do { try disk.rename(JournalFormat.spareName, to: JournalFormat.segmentName(header.first)) } catch {
            throw unlessFull(error)
        }
        do { try disk.syncDirectory() } catch { throw poisoned(error) }
        spare = nil
        return file
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
        for first in retired { try retire(first, removed: Self.remove(first, on: disk)) }
        return retired.count
    }

    // Removing a large file takes as long as many flushes. So it may be done beside them, in three steps: which ones, the
    // file, and what the writer has to know.

    /// The first sequences of the segments that `retire` would remove, the oldest first.
    public func retirable(below sequence: UInt64) -> [UInt64] {
        zip(kept, kept.dropFirst()).prefix { $1.first <= sequence }.map(\.0.first)
    }

    /// Removes the file of a segment. Needs no writer.
    public static func remove(_ first: UInt64, on disk: D) -> Result<Void, DiskError> {
        Result { () throws(DiskError) in try disk.remove(JournalFormat.segmentName(first)) }
    }

    /// Makes the removal of the oldest segment durable; until then it counts. Those that were named are removed in their order.
    ///
    /// Errors: `.poisoned`, also if the removal has failed.
    public mutating func retire(_ first: UInt64, removed: Result<Void, DiskError>) throws(JournalError) {
        _ = try active()
        precondition(
            kept.count > 1 && kept[0].first == first, "the oldest segment goes first, and never the active one")
        do { try removed.get() } catch { throw poisoned(error) }
        kept.removeFirst()
        do { try disk.syncDirectory() } catch { throw poisoned(error) }
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

    /// Writes the header of a segment that has no name yet, and makes it durable together with the file's size.
    func writeHeader(_ header: SegmentHeader, to file: DiskFile) throws(DiskError) {
        try writeAll(file, header.encoded().span.bytes, at: 0)
        try sync(file)
    }
}

/// The coming and going of segments.
extension JournalWriter {
    // MARK: Coming

    /// Prepares the next segment ahead, so that rotation need not: its place on the disk is the expensive part. Call it when
    /// there is time, after a flush; it does nothing if it is prepared, or if the limits do not allow it yet.
    ///
    /// Errors: `.full(.disk)`, which may be ignored: the rotation will try again. `.poisoned`.
    public mutating func prepareAhead() throws(JournalError) {
        _ = try active()
        guard spareBytes == nil, limitReached(by: options.segmentBytes) == nil else { return }
        try makeSpare(options.segmentBytes)
    }

    /// Whether `prepareAhead` would do something.
    public var wantsSpare: Bool { poison == nil && spareBytes == nil && limitReached(by: options.segmentBytes) == nil }

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
        let needed = max(options.segmentBytes, JournalFormat.segmentHeader + bytes)
        if let spare = spareBytes, spare < needed { try dropSpare() }
        if spareBytes == nil {
            if let limit = limitReached(by: needed) { throw .full(limit) }
            try makeSpare(needed)
        }
        return SegmentHeader(
            previous: chain, identity: options.identity, first: next, capacity: spareBytes ?? needed,
            nonce: options.nonce(of: next))
    }

    private func limitReached(by bytes: Int) -> JournalError.Fullness? {
        if segmentCount >= options.segmentLimit { return .segments(limit: options.segmentLimit) }
        if bytes > options.byteLimit - byteCount { return .bytes(limit: options.byteLimit) }
        return nil
    }

    private mutating func makeSpare(_ bytes: Int) throws(JournalError) {
        do { try disk.makeSpare(bytes) } catch { throw unlessFull(error) }
        spareBytes = bytes
    }

    private mutating func dropSpare() throws(JournalError) {
        do { try disk.remove(JournalFormat.spareName) } catch { throw poisoned(error) }
        spareBytes = nil
    }

    /// Makes the spare the segment of `header`. Without space for a name the spare stays one.
    private mutating func beginSegment(_ header: SegmentHeader) throws(JournalError) -> DiskFile {
        let file: DiskFile
        do { file = try disk.open(JournalFormat.spareName, .write) } catch { throw poisoned(error) }
        do { try disk.writeHeader(header, to: file) } catch {
            disk.close(file)
            throw error.operation == .write ? unlessFull(error) : poisoned(error)
        }
        do { try disk.rename(JournalFormat.spareName, to: JournalFormat.segmentName(header.first)) } catch {
            disk.close(file)
            throw unlessFull(error)
        }
        spareBytes = nil
        do { try disk.syncDirectory() } catch {
            disk.close(file)
            throw poisoned(error)
        }
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
        var count = 0
        while kept.count > 1, kept[1].first <= sequence {
            do { try disk.remove(JournalFormat.segmentName(kept[0].first)) } catch { throw poisoned(error) }
            kept.removeFirst()
            do { try disk.syncDirectory() } catch { throw poisoned(error) }
            count += 1
        }
        return count
    }

    /// What has to be kept so that at most `bytes` are: the sequence to give to `retire`. For retention by size.
    public func sequence(keeping bytes: Int) -> UInt64 {
        var sum = spareBytes ?? 0
        for segment in kept.reversed() {
            sum += segment.bytes
            if sum > bytes { return kept.first { $0.first > segment.first }?.first ?? segment.first }
        }
        return first
    }
}

extension Disk {
    /// Makes the file of a segment to come; none is left if there is no room for it.
    func makeSpare(_ bytes: Int) throws(DiskError) {
        let file: DiskFile
        do { file = try open(JournalFormat.spareName, .create) } catch {
            guard error.cause == .exists else { throw error }
            // Left by an attempt that could not clean up behind itself.
            try remove(JournalFormat.spareName)
            file = try open(JournalFormat.spareName, .create)
        }
        defer { close(file) }
        do { try preallocate(file, bytes: bytes) } catch {
            // The first error is the one to tell; a spare that stays is found by the next attempt.
            try? remove(JournalFormat.spareName)
            throw error
        }
    }

    /// Writes the header of a segment that has no name yet, and makes it durable together with the file's size.
    func writeHeader(_ header: SegmentHeader, to file: DiskFile) throws(DiskError) {
        try writeAll(file, header.encoded().span.bytes, at: 0)
        try sync(file)
    }
}

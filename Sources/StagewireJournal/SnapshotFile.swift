/// The file beside the segments that bounds what a start has to read. Its content is the caller's affair, as that of
/// entries is. It is replaced as a whole: written under another name, synced, renamed, and the directory synced.
public enum SnapshotFile {
    static let name = "snapshot"
    /// One that was being written: of no meaning.
    static let newName = "snapshot.new"
    /// "stgwsnap"
    private static let magic: UInt64 = 0x7061_6e73_7767_7473
    private static let header = 48

    /// Replaces the snapshot. Everything is durable when this returns.
    ///
    /// - Throws: `.disk` while nothing has changed yet: the one before is still in place. `.poisoned` once the new one may have
    ///   its name: then nobody knows which of the two a reader finds, so it is final, as for a journal whose sync failed.
    public static func write<D: Disk>(_ content: [UInt8], of identity: JournalIdentity, on disk: D) throws(JournalError)
    {
        do { try prepare(content, of: identity, on: disk) } catch { throw .disk(error) }
        do { try disk.rename(newName, to: name) } catch {
            throw error.cause == .noSpace ? .disk(error) : .poisoned(error)
        }
        do { try disk.syncDirectory() } catch { throw .poisoned(error) }
    }

    private static func prepare<D: Disk>(_ content: [UInt8], of identity: JournalIdentity, on disk: D) throws(DiskError)
    {
        var bytes = [UInt8](repeating: 0, count: header)
        bytes.store(magic, at: 0)
        bytes.store(JournalFormat.version, at: 8)
        bytes.store(CRC32C.of(content.span.bytes), at: 12)
        bytes.store(identity.high, at: 16)
        bytes.store(identity.low, at: 24)
        bytes.store(UInt64(content.count), at: 32)
        bytes.store(CRC32C.of(bytes.span.bytes.extracting(0..<40)), at: 40)
        do { try disk.remove(newName) } catch {
            guard error.cause == .missing else { throw error }
        }
        let file = try disk.open(newName, .create)
        do throws(DiskError) {
            try disk.writeAll(file, bytes.span.bytes, at: 0)
            try disk.writeAll(file, content.span.bytes, at: header)
            try disk.sync(file)
        } catch {
            disk.close(file)
            // It would only take space; the error that is told is the first one.
            try? disk.remove(newName)
            throw error
        }
        disk.close(file)
    }

    /// The content of the snapshot; nil if there is none.
    ///
    /// - Throws: `.foreignPipeline`, `.newerFormat`, `.damaged`, `.disk`
    public static func read<D: Disk>(of identity: JournalIdentity?, on disk: D) throws(JournalError) -> [UInt8]? {
        var bytes: [UInt8]
        do {
            bytes = try readAll(disk)
        } catch {
            if error.cause == .missing { return nil }
            throw .disk(error)
        }
        try check(bytes.span.bytes, of: identity)
        // In place: it may be large.
        bytes.removeFirst(header)
        return bytes
    }

    private static func check(_ span: RawSpan, of identity: JournalIdentity?) throws(JournalError) {
        guard span.byteCount >= header, span.load64(0) == magic, span.load32(40) == CRC32C.of(span.extracting(0..<40))
        else {
            throw .damaged([Finding(.header, name, 0..<min(header, span.byteCount), from: 0)])
        }
        guard span.load32(8) == JournalFormat.version else {
            throw .newerFormat(segment: name, version: span.load32(8))
        }
        let found = JournalIdentity(high: span.load64(16), low: span.load64(24))
        if let identity, found != identity { throw .foreignPipeline(segment: name, found: found, expected: identity) }
        let content = span.extracting(header..<span.byteCount)
        guard span.load64(32) == UInt64(content.byteCount), span.load32(12) == CRC32C.of(content) else {
            throw .damaged([Finding(.entries, name, header..<span.byteCount, from: 0)])
        }
    }

    private static func readAll<D: Disk>(_ disk: D) throws(DiskError) -> [UInt8] {
        let file = try disk.open(name, .read)
        defer { disk.close(file) }
        var bytes = [UInt8](repeating: 0, count: try disk.size(of: file))
        var done = 0
        while done < bytes.count {
            let count = try disk.read(file, at: done, into: &bytes, done..<bytes.count)
            guard count > 0 else { break }
            done += count
        }
        bytes.removeLast(bytes.count - done)
        return bytes
    }
}

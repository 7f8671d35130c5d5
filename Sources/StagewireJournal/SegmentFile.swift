/// A file that is read through a window of memory, mostly forward.
struct SegmentFile<D: Disk>: ~Copyable {
    /// What is read at once; more only for an entry that is larger.
    static var window: Int { 256 * 1024 }

    let disk: D
    let file: DiskFile
    let name: String
    let size: Int
    private var buffer: [UInt8] = []
    /// The offset in the file of the buffer's first byte, and how many bytes are in it.
    private var start = 0
    private var filled = 0

    init(_ name: String, on disk: D) throws(DiskError) {
        let file = try disk.open(name, .read)
        do { size = try disk.size(of: file) } catch {
            disk.close(file)
            throw error
        }
        self.disk = disk
        self.file = file
        self.name = name
    }

    deinit { disk.close(file) }

    /// Has `count` bytes from `offset` on in memory, or as many as the file has. Returns how many.
    mutating func load(_ offset: Int, _ count: Int) throws(DiskError) -> Int {
        precondition(offset >= 0 && count >= 0, "a range of the file")
        if offset >= start && offset + count <= start + filled { return count }
        let wanted = min(max(count, Self.window), max(0, size - offset))
        if buffer.count < wanted { buffer = [UInt8](repeating: 0, count: wanted) }
        start = offset
        filled = 0
        while filled < wanted {
            let got = try disk.read(file, at: offset + filled, into: &buffer, filled..<wanted)
            // Shorter than it was when it was opened: somebody cuts it while we read.
            if got == 0 { break }
            filled += got
        }
        return min(count, filled)
    }

    /// How many bytes from `offset` on are in memory.
    func loaded(from offset: Int) -> Int { max(0, start + filled - offset) }

    /// Forgets what is in memory: somebody may have appended since.
    mutating func forget() { filled = 0 }

    /// Lends bytes that were loaded.
    func withBytes<Result>(_ offset: Int, _ count: Int, _ body: (RawSpan) -> Result) -> Result {
        precondition(offset >= start && offset + count <= start + filled, "bytes that were loaded")
        return body(buffer.span.bytes.extracting((offset - start)..<(offset - start + count)))
    }

    /// The last byte from `offset` up to `end` that is not zero.
    mutating func lastNonzero(from offset: Int, to end: Int) throws(DiskError) -> Int? {
        var last: Int?
        var place = offset
        while place < end {
            let count = try load(place, min(Self.window, end - place))
            if count == 0 { break }
            let found = withBytes(place, count) { $0.lastNonzero(0..<count) }
            if let found { last = place + found }
            place += count
        }
        return last
    }
}

extension SegmentFile: Sendable where D: Sendable {}

/// The memory of one log. Records are appended to the open chunk; a record that is large enough to waste much of
/// a chunk gets memory of about its size. Chunks are released in the order of their last record.
final class ChunkStore {
    private struct Chunk {
        var slab: Slab
        var used: Int
        /// Sequence of the last record in it.
        var last: UInt64
    }

    /// Bytes of a chunk: large enough that a delivery seldom spans two, small enough to stay in a second-level cache.
    static let chunkBytes = 256 * 1024
    /// Larger records get memory of their own, so a chunk's unused end is at most an eighth.
    static let largestShared = chunkBytes / 8
    /// Free chunks that are kept: 1 MiB, so that a stream which breathes does not go to the allocator each time. The memory
    /// of large records is kept within the same limit.
    static let spareLimit = 4
    static let spareBytesLimit = spareLimit * chunkBytes
    /// Large records get whole multiples of so many bytes, so that one's memory fits the next.
    static let grain = 64

    private var open: Chunk?
    private var full = Fifo<Chunk>()
    private var large = Fifo<Chunk>()
    private var spare: [Slab] = []
    private var spareLarge: [Slab] = []
    private var spareBytes = 0
    private(set) var reservedBytes = 0

    deinit {
        open?.slab.free()
        while let chunk = full.popFirst() { chunk.slab.free() }
        while let chunk = large.popFirst() { chunk.slab.free() }
        for slab in spare { slab.free() }
        for slab in spareLarge { slab.free() }
    }

    /// Lets `fill` write the `length` bytes of the record with sequence `last`, and returns their address.
    @inline(__always)
    func write(_ length: Int, last: UInt64, _ fill: (inout SlabWriter) -> Void) -> UnsafeRawPointer {
        let slab: Slab
        let offset: Int
        if length > Self.largestShared {
            slab = large(length)
            offset = 0
            large.append(Chunk(slab: slab, used: length, last: last))
        } else {
            (slab, offset) = reserve(length, last: last)
        }
        var writer = SlabWriter(slab, at: offset)
        fill(&writer)
        precondition(writer.offset == offset + length, "a record has the length that was reserved for it")
        return slab.address(offset, count: length)
    }

    /// A part of the open chunk.
    @inline(__always)
    private func reserve(_ length: Int, last: UInt64) -> (Slab, Int) {
        var chunk = open
        if chunk == nil || length > chunk!.slab.capacity - chunk!.used { chunk = nextChunk() }
        let offset = chunk!.used
        chunk!.used = offset + length
        chunk!.last = last
        open = chunk
        return (chunk!.slab, offset)
    }

    /// Takes back the memory of every record before `tail`.
    func release(before tail: UInt64) {
        while let chunk = full.first, chunk.last < tail {
            _ = full.popFirst()
            keep(chunk.slab, in: &spare)
        }
        while let chunk = large.first, chunk.last < tail {
            _ = large.popFirst()
            keep(chunk.slab, in: &spareLarge)
        }
        // The open chunk starts anew in place: a stream that keeps up stays within the same few cache lines.
        if let chunk = open, chunk.used > 0, chunk.last < tail { open!.used = 0 }
    }

    @inline(never)
    private func nextChunk() -> Chunk {
        if let chunk = open { full.append(chunk) }
        return Chunk(slab: spare.popLast().map(reused) ?? allocate(Self.chunkBytes), used: 0, last: 0)
    }

    /// Memory for a large record: what the last one left, if it is neither too small nor twice as large as needed.
    @inline(never)
    private func large(_ length: Int) -> Slab {
        if let last = spareLarge.last, last.capacity >= length, last.capacity / 2 <= length {
            spareLarge.removeLast()
            return reused(last)
        }
        return allocate((length + Self.grain - 1) / Self.grain * Self.grain)
    }

    private func reused(_ slab: Slab) -> Slab {
        spareBytes -= slab.capacity
        return slab
    }

    private func keep(_ slab: Slab, in list: inout [Slab]) {
        guard spareBytes + slab.capacity <= Self.spareBytesLimit else { return free(slab) }
        spareBytes += slab.capacity
        list.append(slab)
    }

    private func allocate(_ count: Int) -> Slab {
        reservedBytes += count
        return .allocate(count)
    }

    private func free(_ slab: Slab) {
        reservedBytes -= slab.capacity
        slab.free()
    }
}

/// First in, first out. An array with a moving beginning, which is cut off when it is half of it.
struct Fifo<Element> {
    private var elements: [Element] = []
    private var head = 0

    var first: Element? { head < elements.count ? elements[head] : nil }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func popFirst() -> Element? {
        guard head < elements.count else { return nil }
        let element = elements[head]
        head += 1
        if head == elements.count {
            elements.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 32, head * 2 >= elements.count {
            elements.removeFirst(head)
            head = 0
        }
        return element
    }
}

/// Where a record of a log lies.
@usableFromInline
struct LogEntry {
    @usableFromInline let start: UnsafeRawPointer
    @usableFromInline let keyHash: UInt64
    @usableFromInline let wireLength: UInt32

    @inline(__always)
    init(start: UnsafeRawPointer, keyHash: UInt64, wireLength: UInt32) {
        self.start = start
        self.keyHash = keyHash
        self.wireLength = wireLength
    }

    @inlinable @inline(__always)
    var ref: RecordRef { RecordRef(start: start, wireLength: Int(wireLength), keyHash: keyHash) }
}

/// A ring of entries by sequence: position = sequence mod capacity, which is a power of two. The memory belongs to the
/// ring's owner object; copies of the ring share it. Every position lies within it whatever the sequence is, and holds an
/// entry from the beginning on.
@usableFromInline
struct EntryRing {
    private final class Owner {
        let base: UnsafeMutablePointer<LogEntry>

        init(_ capacity: Int) {
            base = .allocate(capacity: capacity)
            let nothing = LogEntry(start: UnsafeRawPointer(bitPattern: 1)!, keyHash: 0, wireLength: 0)
            base.initialize(repeating: nothing, count: capacity)
        }

        deinit { base.deallocate() }
    }

    private let owner: Owner
    @usableFromInline let base: UnsafeMutablePointer<LogEntry>
    @usableFromInline let mask: UInt64
    /// Entries that it has room for; 0 for a ring that was never written to.
    let capacity: Int

    init() { self.init(memory: 1, capacity: 0) }

    private init(memory: Int, capacity: Int) {
        precondition(memory.nonzeroBitCount == 1, "a ring's size is a power of two")
        owner = Owner(memory)
        base = owner.base
        mask = UInt64(memory - 1)
        self.capacity = capacity
    }

    var reservedBytes: Int { capacity * MemoryLayout<LogEntry>.stride }

    @inlinable
    subscript(sequence: UInt64) -> LogEntry {
        @inline(__always) get { base[Int(truncatingIfNeeded: sequence & mask)] }
    }

    @inline(__always)
    func set(_ sequence: UInt64, _ entry: LogEntry) { base[Int(truncatingIfNeeded: sequence & mask)] = entry }

    /// A ring of another size with the entries of these sequences.
    func resized(_ capacity: Int, _ sequences: Range<UInt64>) -> EntryRing {
        let other = EntryRing(memory: capacity, capacity: capacity)
        for sequence in sequences { other.set(sequence, self[sequence]) }
        return other
    }
}

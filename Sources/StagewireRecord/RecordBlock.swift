/// An owned copy of one record, for those that outlive their stream: parked behind a key, waiting for a retry,
/// dead letters. Freed with its last reference.
public final class RecordBlock {
    private let slab: Slab
    private let keyHash: UInt64

    public init(copying record: RecordRef) {
        slab = .allocate(record.wireLength)
        keyHash = record.keyHash
        var writer = SlabWriter(slab, at: 0)
        record.withWire { bytes in writer.put(bytes) }
    }

    /// A record that was written down: its wire-ready bytes, as this broker or an earlier one made them.
    public init(wire bytes: RawSpan) {
        slab = .allocate(bytes.byteCount)
        var writer = SlabWriter(slab, at: 0)
        writer.put(bytes)
        keyHash = RecordRef.keyHash(wire: bytes)
    }

    deinit { slab.free() }

    /// The copy; valid as long as the block is, so hold the block in a variable or a collection while using it.
    public var ref: RecordRef {
        RecordRef(
            start: slab.address(0, count: slab.capacity), wireLength: slab.capacity, keyHash: keyHash)
    }
}

import StagewireTestSupport

/// What becomes of bytes that were not synced.
extension MemoryDisk {
    func persist(_ sector: Int, of inode: Inode) {
        let start = sector * Self.sector
        let end = min(start + Self.sector, inode.bytes.count)
        guard start < end else { return }
        if inode.durable.count < end { inode.durable += [UInt8](repeating: 0, count: end - inode.durable.count) }
        inode.durable.replaceSubrange(start..<end, with: inode.bytes[start..<end])
    }

    func persistSize(of inode: Inode) {
        let missing = inode.bytes.count - inode.durable.count
        if missing > 0 { inode.durable += [UInt8](repeating: 0, count: missing) }
        inode.isSizeDirty = false
    }

    /// The system writes a sector now and then without being asked.
    func writeBack() {
        guard Int.random(in: 0..<4, using: &random) == 0 else { return }
        for name in names.keys.sorted() {
            guard let inode = names[name], let sector = inode.dirty.min() else { continue }
            // What lies beyond the durable size cannot be written before the size is.
            guard (sector + 1) * Self.sector <= inode.durable.count else { continue }
            persist(sector, of: inode)
            inode.dirty.remove(sector)
        }
    }

    /// A sync has failed: some of it is on the disk, and of the rest the system believes that it is.
    func loseTrack(of inode: Inode) {
        for sector in inode.dirty.sorted() where Bool.random(using: &random) { persist(sector, of: inode) }
        inode.dirty = []
    }

    func losePower(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var survivors = durableNames
        for change in changes where Bool.random(using: &random) {
            switch change {
            case .create(let name, let inode): survivors[name] = inode
            // A name stands for a file, not for whatever had it before.
            case .rename(let old, let new, let inode):
                survivors[new] = inode
                if survivors[old] === inode { survivors[old] = nil }
            case .remove(let name, let inode): if survivors[name] === inode { survivors[name] = nil }
            }
        }
        names = survivors
        durableNames = survivors
        changes = []
        for name in names.keys.sorted() { names[name].map { lose($0, &random) } }
    }

    private func lose(_ inode: Inode, _ random: inout SplitMix64) {
        let size = inode.isSizeDirty && Bool.random(using: &random) ? inode.bytes.count : inode.durable.count
        for sector in inode.dirty.sorted() where Bool.random(using: &random) { persist(sector, of: inode) }
        var bytes = inode.durable
        if bytes.count < size { bytes += [UInt8](repeating: 0, count: size - bytes.count) }
        inode.bytes = Array(bytes.prefix(max(size, 0)))
        inode.durable = inode.bytes
        inode.dirty = []
        inode.isSizeDirty = false
    }
}

/// Looking at and into files, as somebody who damages them does.
extension MemoryDisk {
    public var fileNames: [String] { names.keys.sorted() }

    public func bytes(of name: String) -> [UInt8] { names[name]?.bytes ?? [] }

    public func replace(_ name: String, _ bytes: [UInt8]) {
        let inode = names[name] ?? Inode()
        inode.bytes = bytes
        inode.durable = bytes
        inode.dirty = []
        names[name] = inode
        durableNames[name] = inode
    }

    public func delete(_ name: String) {
        names[name] = nil
        durableNames[name] = nil
    }

    /// A disk of its own with the same files.
    public func copy() -> MemoryDisk {
        let other = MemoryDisk(random: SplitMix64(seed: 1))
        for name in fileNames { other.replace(name, bytes(of: name)) }
        return other
    }
}

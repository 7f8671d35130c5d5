import StagewireJournal

/// A directory in memory that behaves like a real one at its worst.
///
/// What was written is visible at once and durable only when it was synced. At a power loss each sector that was written
/// since is either the old or the new one, each file that has grown has its old or its new size, and each change of a name
/// has happened or not, independently of each other, as the seed decides. Meanwhile the system writes some of it by
/// itself. After a failed sync it takes for written what it has not written.
///
/// `faults` says which calls fail and how; calls are numbered from 0. After a crash every call fails until `restart`.
public final class MemoryDisk: Disk {
    public enum Fault: Hashable, Sendable, CaseIterable {
        /// An input/output error, without effect.
        case fails
        /// There is no space.
        case full
        /// A read or write of fewer bytes than asked for.
        case short
        case crashBefore
        case crashAfter
        /// The process ends in the middle of a write.
        case crashHalfway
    }

    /// What of it survives a crash.
    public enum Crash: Hashable, Sendable {
        /// The process ends; the system goes on.
        case process
        case power(seed: UInt64)
    }

    static let sector = 512

    final class Inode {
        /// What the process sees.
        var bytes: [UInt8] = []
        /// What the disk has.
        var durable: [UInt8] = []
        /// Sectors in which they may differ and that the system has still to write.
        var dirty: Set<Int> = []
        var isSizeDirty = false
    }

    enum NameChange {
        case create(String, Inode)
        case rename(String, String, Inode)
        case remove(String, Inode)
    }

    public var faults: [Int: Fault] = [:]
    /// For one call of a kind, after `skip` others of it.
    public var nextFault: (call: DiskOperation, skip: Int, fault: Fault)?
    /// Calls so far, and what they were.
    public private(set) var calls: [DiskOperation] = []
    /// Bytes that all files together may have.
    public var capacity = Int.max
    public private(set) var hasCrashed = false
    /// Whether a call has failed since the last restart, for whatever reason.
    public private(set) var hasFailed = false

    var names: [String: Inode] = [:]
    var durableNames: [String: Inode] = [:]
    var changes: [NameChange] = []
    private var open: [Int32: (inode: Inode, name: String)] = [:]
    private var lockHolder: Int32?
    private var lastNumber: Int32 = 0
    var random: any RandomNumberGenerator

    public init(random: any RandomNumberGenerator) { self.random = random }

    // MARK: Faults

    private func begin(_ operation: DiskOperation, _ name: String) throws(DiskError) -> Fault? {
        guard !hasCrashed else { throw gone(operation, name) }
        var fault = faults[calls.count]
        if let next = nextFault, next.call == operation {
            if next.skip == 0 { fault = next.fault }
            nextFault = next.skip == 0 ? nil : (operation, next.skip - 1, next.fault)
        }
        calls.append(operation)
        switch fault {
        case .fails:
            hasFailed = true
            throw DiskError(operation, name, .other(code: 5, text: "Input/output error"))
        case .full:
            hasFailed = true
            throw DiskError(operation, name, .noSpace)
        case .crashBefore:
            hasCrashed = true
            throw gone(operation, name)
        case .short, .crashAfter, .crashHalfway, nil: return fault
        }
    }

    private func end(_ fault: Fault?, _ operation: DiskOperation, _ name: String) throws(DiskError) {
        guard fault == .crashAfter || fault == .crashHalfway else { return }
        hasCrashed = true
        throw gone(operation, name)
    }

    private func gone(_ operation: DiskOperation, _ name: String) -> DiskError {
        DiskError(operation, name, .other(code: 0, text: "the process has ended"))
    }

    private func file(_ file: DiskFile) -> (inode: Inode, name: String) {
        guard let found = open[file.number] else { preconditionFailure("a file that is open") }
        let name = names.first { $0.value === found.inode }?.key ?? found.name
        return (found.inode, name)
    }

    private func opened(_ inode: Inode, _ name: String) -> DiskFile {
        lastNumber += 1
        open[lastNumber] = (inode, name)
        return DiskFile(number: lastNumber)
    }

    /// Files that somebody has open.
    public var openFiles: Int { open.count }

    // MARK: Disk

    public func list() throws(DiskError) -> [String] {
        let fault = try begin(.list, "directory")
        let found = names.keys.sorted().shuffled(using: &random)
        try end(fault, .list, "directory")
        return found
    }

    public func open(_ name: String, _ mode: DiskOpenMode) throws(DiskError) -> DiskFile {
        let operation: DiskOperation = mode == .create ? .create : .open
        let fault = try begin(operation, name)
        let inode: Inode
        if mode == .create {
            guard names[name] == nil else { throw DiskError(.create, name, .exists) }
            inode = Inode()
            names[name] = inode
            changes.append(.create(name, inode))
        } else {
            guard let found = names[name] else { throw DiskError(.open, name, .missing) }
            inode = found
        }
        try end(fault, operation, name)
        return opened(inode, name)
    }

    public func close(_ file: DiskFile) {
        if hasCrashed { return }
        precondition(open.removeValue(forKey: file.number) != nil, "a file is closed once")
        if lockHolder == file.number { lockHolder = nil }
    }

    public func size(of file: DiskFile) throws(DiskError) -> Int {
        let (inode, name) = self.file(file)
        let fault = try begin(.size, name)
        try end(fault, .size, name)
        return inode.bytes.count
    }

    public func read(_ file: DiskFile, at offset: Int, into buffer: inout [UInt8], _ range: Range<Int>)
        throws(DiskError) -> Int
    {
        let (inode, name) = self.file(file)
        let fault = try begin(.read, name)
        var count = max(0, min(range.count, inode.bytes.count - offset))
        if fault == .short, count > 1 { count = Int.random(in: 1..<count, using: &random) }
        if count > 0 {
            buffer.replaceSubrange(
                range.lowerBound..<range.lowerBound + count, with: inode.bytes[offset..<offset + count])
        }
        try end(fault, .read, name)
        return count
    }

    public func write(_ file: DiskFile, _ bytes: RawSpan, at offset: Int) throws(DiskError) -> Int {
        let (inode, name) = self.file(file)
        let fault = try begin(.write, name)
        var count = bytes.byteCount
        if fault == .short || fault == .crashHalfway, count > 1 { count = Int.random(in: 1..<count, using: &random) }
        let content = bytes.withUnsafeBytes { Array($0.prefix(count)) }
        if offset + count > inode.bytes.count {
            try reserve(offset + count - inode.bytes.count, .write, name)
            inode.bytes += [UInt8](repeating: 0, count: offset + count - inode.bytes.count)
            inode.isSizeDirty = true
        }
        inode.bytes.replaceSubrange(offset..<offset + count, with: content)
        inode.dirty.formUnion(offset / Self.sector...(offset + count - 1) / Self.sector)
        writeBack()
        try end(fault, .write, name)
        return count
    }

    public func preallocate(_ file: DiskFile, bytes: Int) throws(DiskError) {
        let (inode, name) = self.file(file)
        let fault = try begin(.preallocate, name)
        if bytes > inode.bytes.count {
            try reserve(bytes - inode.bytes.count, .preallocate, name)
            inode.bytes += [UInt8](repeating: 0, count: bytes - inode.bytes.count)
            inode.isSizeDirty = true
        }
        try end(fault, .preallocate, name)
    }

    public func sync(_ file: DiskFile) throws(DiskError) {
        let (inode, name) = self.file(file)
        let fault: Fault?
        do { fault = try begin(.sync, name) } catch {
            if !hasCrashed { loseTrack(of: inode) }
            throw error
        }
        for sector in inode.dirty { persist(sector, of: inode) }
        inode.dirty = []
        if inode.isSizeDirty { persistSize(of: inode) }
        try end(fault, .sync, name)
    }

    public func rename(_ name: String, to new: String) throws(DiskError) {
        let fault = try begin(.rename, name)
        guard let inode = names.removeValue(forKey: name) else { throw DiskError(.rename, name, .missing) }
        names[new] = inode
        changes.append(.rename(name, new, inode))
        try end(fault, .rename, name)
    }

    public func remove(_ name: String) throws(DiskError) {
        let fault = try begin(.remove, name)
        guard let inode = names.removeValue(forKey: name) else { throw DiskError(.remove, name, .missing) }
        changes.append(.remove(name, inode))
        try end(fault, .remove, name)
    }

    public func syncDirectory() throws(DiskError) {
        let fault = try begin(.syncDirectory, "directory")
        durableNames = names
        changes = []
        try end(fault, .syncDirectory, "directory")
    }

    public func freeBytes() throws(DiskError) -> Int {
        let fault = try begin(.freeBytes, "directory")
        try end(fault, .freeBytes, "directory")
        return capacity - used
    }

    public func lock(_ name: String) throws(DiskError) -> DiskFile {
        let fault = try begin(.lock, name)
        guard lockHolder == nil else { throw DiskError(.lock, name, .inUse) }
        if names[name] == nil {
            let inode = Inode()
            names[name] = inode
            changes.append(.create(name, inode))
        }
        try end(fault, .lock, name)
        let file = opened(names[name] ?? Inode(), name)
        lockHolder = file.number
        return file
    }

    /// Bytes that all files together have.
    public var used: Int { names.values.reduce(0) { $0 + $1.bytes.count } }

    private func reserve(_ bytes: Int, _ operation: DiskOperation, _ name: String) throws(DiskError) {
        guard bytes > capacity - used else { return }
        hasFailed = true
        throw DiskError(operation, name, .noSpace)
    }

    /// Everything is as if the process had ended and another one had begun.
    public func restart(_ crash: Crash) {
        if case .power(let seed) = crash { losePower(seed) }
        open = [:]
        lockHolder = nil
        hasCrashed = false
        hasFailed = false
        faults = [:]
        nextFault = nil
        calls = []
    }
}

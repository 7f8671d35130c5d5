/// What the journal needs of a file system: one directory and the files in it. Calls are synchronous; whoever must
/// not block calls from a thread of its own. Nothing is durable before it is synced: bytes and size of a file by
/// `sync`, names (created, renamed, removed) by `syncDirectory`.
public protocol Disk: AnyObject {
    /// The names in the directory, in any order.
    func list() throws(DiskError) -> [String]
    /// Opens a file.
    func open(_ name: String, _ mode: DiskOpenMode) throws(DiskError) -> DiskFile
    /// Closes a file. What was not synced may be lost, so there is nothing to fail for.
    func close(_ file: DiskFile)
    /// The size of a file in bytes.
    func size(of file: DiskFile) throws(DiskError) -> Int
    /// Reads into `buffer[range]` from `offset` on. Returns how many bytes were read, at least one unless the file
    /// ends at `offset`.
    func read(_ file: DiskFile, at offset: Int, into buffer: inout [UInt8], _ range: Range<Int>) throws(DiskError)
        -> Int
    /// Writes at `offset`. Returns how many bytes were written, at least one and possibly fewer than given.
    func write(_ file: DiskFile, _ bytes: RawSpan, at offset: Int) throws(DiskError) -> Int
    /// Makes an empty file one of `bytes` zeros that has its place on the disk, as cheaply as that can be had.
    func preallocate(_ file: DiskFile, bytes: Int) throws(DiskError)
    /// Returns when content and size of the file are durable. After an error nobody knows what is.
    func sync(_ file: DiskFile) throws(DiskError)
    /// Gives a file another name and replaces the one that had it, in one.
    func rename(_ name: String, to new: String) throws(DiskError)
    /// Removes a name; the file goes when nobody has it open.
    func remove(_ name: String) throws(DiskError)
    /// Returns when the names are durable.
    func syncDirectory() throws(DiskError)
    /// Bytes that may still be allocated.
    func freeBytes() throws(DiskError) -> Int
    /// Takes the directory for this process alone, until the file is closed or the process ends. Fails with
    /// `.inUse` when somebody has it.
    func lock(_ name: String) throws(DiskError) -> DiskFile
}

/// An open file of a `Disk`.
public struct DiskFile: Hashable, Sendable {
    public let number: Int32

    public init(number: Int32) { self.number = number }
}

public enum DiskOpenMode: Sendable {
    case read
    case write
    /// Creates it; fails with `.exists` when the name is taken.
    case create
}

public enum DiskOperation: String, Sendable, CaseIterable {
    case list, open, create, size, read, write, preallocate, sync, rename, remove, syncDirectory, freeBytes, lock
}

/// A call to a `Disk` that failed.
public struct DiskError: Error, Hashable, Sendable {
    public enum Cause: Hashable, Sendable {
        case missing
        case exists
        /// No space, over a quota, or over a limit on the size of files: goes away when there is room.
        case noSpace
        case denied
        case readOnly
        case inUse
        /// Anything else: the system's number and its words.
        case other(code: Int32, text: String)
    }

    public let operation: DiskOperation
    /// The file's name, or that of the directory.
    public let name: String
    public let cause: Cause

    public init(_ operation: DiskOperation, _ name: String, _ cause: Cause) {
        self.operation = operation
        self.name = name
        self.cause = cause
    }

    /// For people: "cannot sync 0000000000000001.seg: Input/output error".
    public var message: String { "cannot \(operation.words) \(name): \(cause.words)" }
}

extension DiskOperation {
    fileprivate var words: String {
        switch self {
        case .list: "list"
        case .open: "open"
        case .create: "create"
        case .size: "get the size of"
        case .read: "read"
        case .write: "write"
        case .preallocate: "reserve space for"
        case .sync: "sync"
        case .rename: "rename"
        case .remove: "remove"
        case .syncDirectory: "sync the directory"
        case .freeBytes: "get the free space of"
        case .lock: "lock"
        }
    }
}

extension DiskError.Cause {
    fileprivate var words: String {
        switch self {
        case .missing: "it is not there"
        case .exists: "it is there already"
        case .noSpace: "the disk is full, or a quota or limit is reached"
        case .denied: "permission denied"
        case .readOnly: "the file system is read-only"
        case .inUse: "another process has it"
        case .other(let code, let text): text.isEmpty ? "error \(code)" : text
        }
    }
}

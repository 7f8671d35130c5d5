// The one file of this module that knows an operating system.
import Glibc

/// A directory of the real file system.
public final class FileDisk: Disk, Sendable {
    public let path: String
    private let directory: Int32

    /// Opens a directory, which must exist.
    public init(path: String) throws(DiskError) {
        self.path = path
        directory = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if directory < 0 { throw DiskError(.open, path, .system(errno)) }
    }

    deinit { _ = Glibc.close(directory) }

    /// Makes the directory if it is not there, for its owner alone, and opens it. Its name is durable when this returns; the
    /// directory above must exist.
    public static func make(path: String) throws(DiskError) -> FileDisk {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw DiskError(.create, path, .system(errno)) }
        let disk = try FileDisk(path: path)
        let above = openat(disk.directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard above >= 0 else { throw DiskError(.open, path + "/..", .system(errno)) }
        defer { _ = Glibc.close(above) }
        guard again({ Int(fsync(above)) }) == 0 else { throw DiskError(.syncDirectory, path + "/..", .system(errno)) }
        return disk
    }

    public func list() throws(DiskError) -> [String] {
        // A descriptor of its own: the position in the directory belongs to it.
        let copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard copy >= 0 else { throw failure(.list, path) }
        guard let stream = fdopendir(copy) else {
            let problem = failure(.list, path)
            _ = Glibc.close(copy)
            throw problem
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        if errno != 0 { throw failure(.list, path) }
        return names
    }

    public func open(_ name: String, _ mode: DiskOpenMode) throws(DiskError) -> DiskFile {
        let flags: Int32 =
            switch mode {
            case .read: O_RDONLY
            case .write: O_RDWR
            case .create: O_RDWR | O_CREAT | O_EXCL
            }
        let number = openat(directory, name, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard number >= 0 else { throw failure(mode == .create ? .create : .open, name) }
        return DiskFile(number: number)
    }

    public func close(_ file: DiskFile) {
        // A child that was forked and has not yet become another program still has the lock's file open: closing ours would
        // not give the lock back.
        _ = flock(file.number, LOCK_UN)
        _ = Glibc.close(file.number)
    }

    public func size(of file: DiskFile) throws(DiskError) -> Int {
        var status = stat()
        guard fstat(file.number, &status) == 0 else { throw failure(.size, name(of: file)) }
        return Int(status.st_size)
    }

    public func read(_ file: DiskFile, at offset: Int, into buffer: inout [UInt8], _ range: Range<Int>)
        throws(DiskError) -> Int
    {
        precondition(range.lowerBound >= 0 && range.upperBound <= buffer.count, "a range of the buffer")
        let count = buffer.withUnsafeMutableBytes { bytes in
            again { pread(file.number, bytes.baseAddress.map { $0 + range.lowerBound }, range.count, off_t(offset)) }
        }
        guard count >= 0 else { throw failure(.read, name(of: file)) }
        return count
    }

    public func write(_ file: DiskFile, _ bytes: RawSpan, at offset: Int) throws(DiskError) -> Int {
        precondition(!bytes.isEmpty, "something to write")
        let count = bytes.withUnsafeBytes { bytes in
            again { pwrite(file.number, bytes.baseAddress, bytes.count, off_t(offset)) }
        }
        // Zero is allowed by POSIX and never seen for files; treated as an error, it cannot become an endless loop.
        if count == 0 { throw DiskError(.write, name(of: file), .system(EIO)) }
        guard count > 0 else { throw failure(.write, name(of: file)) }
        return count
    }

    public func preallocate(_ file: DiskFile, bytes: Int) throws(DiskError) {
        // Unlike its neighbours, this call returns its error.
        var code = posix_fallocate(file.number, 0, off_t(bytes))
        while code == EINTR { code = posix_fallocate(file.number, 0, off_t(bytes)) }
        guard code == 0 else { throw DiskError(.preallocate, name(of: file), .system(code)) }
    }

    public func sync(_ file: DiskFile) throws(DiskError) {
        guard again({ Int(fdatasync(file.number)) }) == 0 else { throw failure(.sync, name(of: file)) }
    }

    public func rename(_ name: String, to new: String) throws(DiskError) {
        guard renameat(directory, name, directory, new) == 0 else { throw failure(.rename, name) }
    }

    public func remove(_ name: String) throws(DiskError) {
        guard unlinkat(directory, name, 0) == 0 else { throw failure(.remove, name) }
    }

    public func syncDirectory() throws(DiskError) {
        guard again({ Int(fsync(directory)) }) == 0 else { throw failure(.syncDirectory, path) }
    }

    public func freeBytes() throws(DiskError) -> Int {
        var status = statvfs()
        guard fstatvfs(directory, &status) == 0 else { throw failure(.freeBytes, path) }
        return Int(clamping: UInt64(status.f_bavail) * UInt64(status.f_frsize))
    }

    public func lock(_ name: String) throws(DiskError) -> DiskFile {
        let number = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard number >= 0 else { throw failure(.lock, name) }
        // Of the open file, not of the process: a second writer in the same process is refused as well.
        guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
            let cause: DiskError.Cause = errno == EWOULDBLOCK ? .inUse : .system(errno)
            _ = Glibc.close(number)
            throw DiskError(.lock, path + "/" + name, cause)
        }
        return DiskFile(number: number)
    }

    /// Whether somebody holds a lock that `lock` takes. Makes no file, and asks by a shared lock that it gives back at once:
    /// who takes the lock in that very moment is refused.
    public func isLocked(_ name: String) throws(DiskError) -> Bool {
        let number = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard number >= 0 else {
            if errno == ENOENT { return false }
            throw failure(.open, path + "/" + name)
        }
        defer { close(DiskFile(number: number)) }
        if flock(number, LOCK_SH | LOCK_NB) == 0 { return false }
        if errno == EWOULDBLOCK { return true }
        throw failure(.lock, name)
    }

    /// Whether somebody has the same file under another name, too: an archive, or a copy that was made by linking.
    public func isShared(_ name: String) -> Bool {
        var status = stat()
        return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_nlink > 1
    }

    /// `name(of:)` keeps errno, and is evaluated before it is read here.
    private func failure(_ operation: DiskOperation, _ name: String) -> DiskError {
        DiskError(operation, name, .system(errno))
    }

    /// The name that a file has now; asked for only when something failed, with errno kept.
    private func name(of file: DiskFile) -> String {
        let kept = errno
        defer { errno = kept }
        var target = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/fd/\(file.number)", &target, target.count)
        guard count > 0 else { return "a file in \(path)" }
        return String(
            decoding: target[..<count].split(separator: 0x2f).last.map { $0.map(UInt8.init(bitPattern:)) } ?? [],
            as: UTF8.self)
    }
}

/// Repeats a call that a signal interrupted.
private func again(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}

extension DiskError.Cause {
    fileprivate static func system(_ code: Int32) -> Self {
        switch code {
        case ENOENT: .missing
        case EEXIST: .exists
        case ENOSPC, EDQUOT, EFBIG: .noSpace
        case EACCES, EPERM: .denied
        case EROFS: .readOnly
        default: .other(code: code, text: strerror(code).map { String(cString: $0) } ?? "")
        }
    }
}

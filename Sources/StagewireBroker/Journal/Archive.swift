import Glibc
import StagewireJournal

/// Where segments go that nobody needs and nothing retains: a directory with the same files under the same names, so that
/// `stagewire journal inspect` reads it.
struct Archive: Sendable {
    let directory: String
    /// The state directory.
    let source: String

    /// Makes the directory, if it is not there.
    init(directory: String, source: String) throws(EnvironmentError) {
        self.directory = directory
        self.source = source
        guard mkdir(directory, 0o700) != 0, errno != EEXIST else { return }
        throw EnvironmentError("cannot make the directory for archived segments, \(directory)", errno: errno)
    }

    /// Keeps segments; the caller removes them then. A crash in between does no harm: the file is the same one.
    /// - Parameter segments: their first sequences
    func keep(_ segments: [UInt64]) throws(JournalError) {
        for segment in segments { try keep(JournalFormat.segmentName(segment)) }
        if !segments.isEmpty { try synced(directory) }
    }

    private func keep(_ name: String) throws(JournalError) {
        let (from, to) = ("\(source)/\(name)", "\(directory)/\(name)")
        guard link(from, to) != 0 else { return }
        switch errno {
        case EEXIST:
            guard Self.isSame(from, to) else { throw taken(name) }
        case EXDEV, EPERM, EMLINK: try copy(from, to, name)
        case let code: throw problem(name, code)
        }
    }

    /// To another file system: complete under another name first.
    private func copy(_ from: String, _ to: String, _ name: String) throws(JournalError) {
        // What an attempt before this one has copied may be copied again.
        guard access(to, F_OK) != 0 || Self.head(from) == Self.head(to) else { throw taken(name) }
        let part = to + ".part"
        let input = open(from, O_RDONLY | O_CLOEXEC)
        guard input >= 0 else { throw problem(name, errno) }
        defer { close(input) }
        let output = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard output >= 0 else { throw problem(name, errno) }
        defer { close(output) }
        var moved = 0
        repeat {
            moved = sendfile(output, input, nil, 1 << 20)
            guard moved >= 0 || errno == EINTR else { throw problem(name, errno) }
        } while moved != 0
        guard fsync(output) == 0, rename(part, to) == 0 else { throw problem(name, errno) }
    }

    private static func isSame(_ one: String, _ other: String) -> Bool {
        var (first, second) = (stat(), stat())
        guard stat(one, &first) == 0, stat(other, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }

    /// A segment's header, which names the journal and this opening of it.
    private static func head(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 64)
        return read(descriptor, &bytes, bytes.count) == bytes.count ? bytes : nil
    }

    private func synced(_ path: String) throws(JournalError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw problem(path, errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw problem(path, errno) }
    }

    private func taken(_ name: String) -> JournalError {
        .disk(
            DiskError(
                .rename, "\(name) into \(directory)",
                .other(code: EEXIST, text: "a segment of another journal is there; give an archive of its own")))
    }

    private func problem(_ name: String, _ code: Int32) -> JournalError {
        .disk(
            DiskError(.rename, "\(name) into \(directory)", .other(code: code, text: String(cString: strerror(code)))))
    }
}

import Foundation
import Glibc
import StagewireStage

/// Appends to a file so that a step is there as a whole or not at all, as far as one process can see to that: what a
/// failed write has left is cut off again.
final class FileAppender {
    struct Failure: Error, CustomStringConvertible { var description: String }

    private let configuration: FileSinkConfiguration
    private var descriptor: Int32 = -1
    private var size: UInt64 = 0
    private var openedAt = Date()

    init(_ configuration: FileSinkConfiguration) throws {
        self.configuration = configuration
        try open()
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private func open() throws {
        descriptor = Glibc.open(configuration.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw failure("open") }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("look at") }
        size = UInt64(status.st_size)
        openedAt = Date()
    }

    private func failure(_ verb: String) -> Failure {
        Failure(description: "cannot \(verb) \(configuration.path): \(String(cString: strerror(errno)))")
    }

    /// Returns when the bytes are on disk.
    func append(_ bytes: [UInt8]) throws {
        try rotateIfDue()
        guard Self.write(bytes, to: descriptor), fdatasync(descriptor) == 0 else {
            let failure = failure("write to")
            _ = ftruncate(descriptor, off_t(size))
            throw failure
        }
        size += UInt64(bytes.count)
    }

    /// The finished file gets the time of its end as a suffix; `rename` is atomic.
    private func rotateIfDue() throws {
        guard size > 0, let rotate = configuration.rotate else { return }
        let isLarge = rotate.bytes.map { size >= UInt64($0) } ?? false
        let isOld = rotate.seconds.map { Date().timeIntervalSince(openedAt) >= $0 } ?? false
        guard isLarge || isOld else { return }
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        var name = "\(configuration.path).\(formatter.string(from: Date()))"
        // Two rotations in one millisecond.
        var number = 1
        while access(name, F_OK) == 0 {
            number += 1
            name = "\(configuration.path).\(formatter.string(from: Date())).\(number)"
        }
        guard rename(configuration.path, name) == 0 else { throw failure("rename") }
        close(descriptor)
        try open()
    }

    static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var written = 0
            while written < buffer.count {
                let count = Glibc.write(descriptor, buffer.baseAddress! + written, buffer.count - written)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                written += count
            }
            return true
        }
    }
}

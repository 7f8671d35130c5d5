import Foundation
import StagewireJournalBench
import StagewireTestSupport
import Synchronization
import Testing

@testable import StagewireJournal

/// A directory that is gone with the test.
final class Scratch {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("journal-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// The journal on the real file system.
struct FileDiskTests {
    private let scratch = try! Scratch()

    @Test func aJournal() throws {
        let options = Sample.options(segmentBytes: 4096)
        var written: [[UInt8]] = []
        for round in 0..<3 {
            let disk = try FileDisk(path: scratch.path)
            var found: [[UInt8]] = []
            var writer = try JournalWriter.open(disk, options) { _, _, payload in
                found.append(payload.withUnsafeBytes { Array($0) })
            }
            #expect(found == written && writer.found.findings == [])
            for number in 0..<100 {
                let payload = Sample.item(number, bytes: number * 3 + round).payload
                writer.append(kind: 1, payload.span.bytes)
                written.append(payload)
                if number % 7 == 0 { _ = try writer.flush() }
                if number % 10 == 0 { try writer.prepareAhead() }
            }
            _ = try writer.flush()
            #expect(throws: JournalError.inUse(lock: scratch.path + "/lock")) {
                _ = try JournalWriter.open(try FileDisk(path: scratch.path), options)
            }
        }
        let disk = try FileDisk(path: scratch.path)
        let report = try Verification.verify(disk)
        #expect(report.findings == [] && report.segments.count > 10)
        #expect(report.segments.allSatisfy { $0.size == $0.capacity && $0.size >= 4096 })
        #expect(try disk.freeBytes() > 0)
    }

    /// Every error of the system is one of ours, and says the file.
    @Test func errors() throws {
        #expect(throws: DiskError(.open, scratch.path + "/none", .missing)) {
            _ = try FileDisk(path: scratch.path + "/none")
        }
        let disk = try FileDisk(path: scratch.path)
        #expect(throws: DiskError(.open, "a", .missing)) { _ = try disk.open("a", .read) }
        let file = try disk.open("a", .create)
        #expect(throws: DiskError(.create, "a", .exists)) { _ = try disk.open("a", .create) }
        #expect(throws: DiskError(.remove, "b", .missing)) { try disk.remove("b") }
        #expect(throws: DiskError(.rename, "b", .missing)) { try disk.rename("b", to: "c") }
        let reading = try disk.open("a", .read)
        do {
            _ = try disk.write(reading, bytes(1).span.bytes, at: 0)
            Issue.record("written to a file that is open for reading")
        } catch { #expect(error.operation == .write && error.name == "a") }
        disk.close(reading)
        #expect(try disk.write(file, bytes(1, 2, 3).span.bytes, at: 0) == 3)
        var buffer = bytes(9, 9, 9, 9, 9)
        #expect(try disk.read(file, at: 1, into: &buffer, 1..<5) == 2 && buffer == bytes(9, 2, 3, 9, 9))
        #expect(try disk.read(file, at: 3, into: &buffer, 1..<5) == 0)
        #expect(!disk.isShared("a") && link(scratch.path + "/a", scratch.path + "/b") == 0)
        #expect(disk.isShared("a") && disk.isShared("b"))
        try disk.remove("b")
        #expect(!disk.isShared("a") && !disk.isShared("b"))
        try disk.rename("a", to: "z")
        #expect(try disk.size(of: file) == 3 && disk.list().sorted() == ["z"])
        disk.close(file)
    }

    @Test func aDirectory() throws {
        let path = scratch.path + "/state"
        for _ in 0..<2 { #expect(try FileDisk.make(path: path).list() == []) }
        #expect(throws: DiskError(.create, path + "/a/b", .missing)) { _ = try FileDisk.make(path: path + "/a/b") }
    }

    /// A broker fills a group on one thread and flushes it on another, which owns the writer, while a third reads.
    @Test func acrossThreads() async throws {
        let disk = try FileDisk(path: scratch.path)
        var group = EntryGroup()
        group.append(kind: 1, bytes(1, 2, 3).span.bytes)
        let mailbox = Mutex<EntryGroup?>(group)
        let writer = Mutex(try JournalWriter.open(disk, Sample.options()))
        let durable = try await Task.detached {
            guard var group = mailbox.withLock({ $0.take() }) else { throw CancellationError() }
            return try writer.withLock { try $0.flush(&group) }
        }.value
        var reader = try JournalReader.open(disk, at: durable.start)
        #expect(try reader.advance(below: durable.sequences.upperBound)?.sequence == 1)
    }

    /// Somebody else may have the lock's file open, as a forked child has; what counts is who closes it.
    @Test func theLockIsGivenBack() throws {
        let disk = try FileDisk(path: scratch.path)
        for _ in 0..<3 {
            let lock = try disk.lock("lock")
            #expect(throws: DiskError(.lock, scratch.path + "/lock", .inUse)) { _ = try disk.lock("lock") }
            let child = dup(lock.number)
            disk.close(lock)
            let again = try disk.lock("lock")
            disk.close(again)
            close(child)
        }
    }

    /// What a crash leaves behind, on the real file system: zeros where nothing was written.
    @Test func preallocatedIsZero() throws {
        let disk = try FileDisk(path: scratch.path)
        disk.close(try disk.makeSpare(10_000))
        var file = try SegmentFile("next.new", on: disk)
        #expect(file.size == 10_000)
        #expect(try file.lastNonzero(from: 0, to: file.size) == nil)
    }

    /// A process is killed in the middle of what it does, again and again; what it has confirmed is there each time.
    @Test func killed() throws {
        var confirmed: UInt64 = 1
        var random = SplitMix64(seed: 9)
        for round in 1...25 {
            let child = try Child(["append", scratch.path])
            // A few lines first, so that it is in the middle of it; then at any moment.
            for _ in 0..<Int.random(in: 1...60, using: &random) {
                guard let line = child.line(), let next = UInt64(line) else {
                    Issue.record("round \(round): the process ended: \(child.errors())")
                    return
                }
                confirmed = next
            }
            usleep(UInt32.random(in: 0..<2000, using: &random))
            child.kill()
            while let line = child.line(), let next = UInt64(line) { confirmed = next }
            let next = try check(round)
            #expect(next >= confirmed, "round \(round): \(confirmed) was confirmed")
            confirmed = next
        }
        #expect(confirmed > 100)
    }

    /// Reads what is there without the lock's help: the process is gone.
    private func check(_ round: Int) throws -> UInt64 {
        var next: UInt64 = 1
        let disk = try FileDisk(path: scratch.path)
        let writer = try JournalWriter.open(disk, Appender.options(nonce: UInt64(round))) { entry, _, payload in
            let expected = Appender.payload(next)
            #expect(entry.sequence == next && payload.withUnsafeBytes { Array($0) } == expected)
            next += 1
        }
        #expect(writer.next == next)
        return next
    }

    /// A limit on the size of files stands for a full disk. The write that reaches it ends in its middle, and with a limit lifted the
    /// journal goes on.
    @Test func noRoom() throws {
        let child = try Child(["append", scratch.path, "8192"])
        var lines: [String] = []
        while let line = child.line() { lines.append(line) }
        let last = try #require(lines.last)
        #expect(last.hasPrefix("full: The journal has no room: cannot write 0000000000000001.seg"), "\(lines)")
        let confirmed = UInt64(lines.dropLast().last ?? "") ?? 0
        let next = try check(1)
        #expect(confirmed > 1 && next >= confirmed)
        let second = try Child(["append", scratch.path])
        #expect(UInt64(second.line() ?? "") ?? 0 > next)
        second.kill()
        #expect(try check(2) > next)
    }

    /// No room for the first segment, and none is left behind.
    @Test func noRoomAtAll() throws {
        let disk = try FileDisk(path: scratch.path)
        var options = Sample.options()
        options.segmentBytes = 1 << 60
        options.firstSegmentBytes = 1 << 60
        do {
            _ = try JournalWriter.open(disk, options)
            Issue.record("there is room for an exabyte")
        } catch {
            #expect(error == .full(.disk(DiskError(.preallocate, "next.new", .noSpace))))
        }
        #expect(try disk.list() == ["lock"])
    }
}

/// The process of StagewireJournalBench.
private final class Child {
    private let process = Process()
    private let output = Pipe()
    private let problems = Pipe()
    private var buffer: [UInt8] = []

    init(_ arguments: [String]) throws {
        // Programs are built where the tests are.
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count)
        let test = String(decoding: path.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        process.executableURL = URL(fileURLWithPath: test).deletingLastPathComponent()
            .appendingPathComponent("StagewireJournalBench")
        process.arguments = arguments
        process.standardOutput = output
        process.standardError = problems
        try process.run()
    }

    /// The next line, nil when the process has ended; a line that was cut short is none.
    func line() -> String? {
        while true {
            if let end = buffer.firstIndex(of: 10) {
                let line = String(decoding: buffer[..<end], as: UTF8.self)
                buffer.removeSubrange(...end)
                return line
            }
            let more = output.fileHandleForReading.availableData
            if more.isEmpty { return nil }
            buffer += more
        }
    }

    deinit {
        if process.isRunning { kill() }
    }

    func errors() -> String { String(decoding: problems.fileHandleForReading.availableData, as: UTF8.self) }

    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}

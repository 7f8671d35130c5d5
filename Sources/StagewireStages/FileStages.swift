import Foundation
import Glibc
import StagewireStage

/// Of `file-sink`.
public struct FileSinkConfiguration: Codable, Equatable, Sendable {
    /// When the file is closed, renamed to `path.TIME`, and begun anew; the first to be reached counts.
    public struct Rotate: Codable, Equatable, Sendable {
        public var bytes: Int?
        public var seconds: Double?

        enum CodingKeys: String, CodingKey, CaseIterable { case bytes, seconds }

        public init(bytes: Int? = nil, seconds: Double? = nil) {
            self.bytes = bytes
            self.seconds = seconds
        }

        public init(from decoder: any Decoder) throws {
            try UnknownKeys.refuse(in: decoder, known: CodingKeys.self)
            let values = try decoder.container(keyedBy: CodingKeys.self)
            bytes = try values.decodeIfPresent(Int.self, forKey: .bytes)
            seconds = try values.decodeIfPresent(Double.self, forKey: .seconds)
            try values.require(bytes ?? 1 > 0, .bytes, "a number above zero")
            try values.require(seconds ?? 1 > 0, .seconds, "a number above zero")
        }
    }

    public var path: String
    public var format: LineFormat
    public var rotate: Rotate?

    enum CodingKeys: String, CodingKey, CaseIterable { case path, format, rotate }

    public init(path: String, format: LineFormat = .lines, rotate: Rotate? = nil) {
        self.path = path
        self.format = format
        self.rotate = rotate
    }

    public init(from decoder: any Decoder) throws {
        try UnknownKeys.refuse(in: decoder, known: CodingKeys.self)
        let values = try decoder.container(keyedBy: CodingKeys.self)
        path = try values.decode(String.self, forKey: .path)
        format = try values.decodeIfPresent(LineFormat.self, forKey: .format) ?? .lines
        rotate = try values.decodeIfPresent(Rotate.self, forKey: .rotate)
        try values.require(!path.isEmpty && !path.utf8.contains(0), .path, "a path")
    }
}

/// Of `file-source`.
public struct FileSourceConfiguration: Codable, Equatable, Sendable {
    /// A file, or a directory: each of its files is a partition, names that begin with a point left out.
    public var path: String
    public var format: LineFormat
    /// Waits at the end for what is appended, and for new files.
    public var follow: Bool

    enum CodingKeys: String, CodingKey, CaseIterable { case path, format, follow }

    public init(path: String, format: LineFormat = .lines, follow: Bool = false) {
        self.path = path
        self.format = format
        self.follow = follow
    }

    public init(from decoder: any Decoder) throws {
        try UnknownKeys.refuse(in: decoder, known: CodingKeys.self)
        let values = try decoder.container(keyedBy: CodingKeys.self)
        path = try values.decode(String.self, forKey: .path)
        format = try values.decodeIfPresent(LineFormat.self, forKey: .format) ?? .lines
        follow = try values.decodeIfPresent(Bool.self, forKey: .follow) ?? false
        try values.require(!path.isEmpty && !path.utf8.contains(0), .path, "a path")
    }
}

/// Appends lines to a file; a batch is settled when it is on disk. After a crash between the two the batch comes again.
enum FileSinkStage {
    static func make() -> Stage {
        Stage.sink(batch: 1000, configuration: FileSinkConfiguration.self) { configuration in
            let appender: FileAppender
            do { appender = try FileAppender(configuration) } catch { throw ConfigurationError("`path`: \(error)") }
            return { batch, out in
                let bytes = configuration.format.encode(batch.records, &out)
                if !bytes.isEmpty { try appender.append(bytes) }
            }
        }
    }
}

/// Reads a file, or the files of a directory, each a partition whose checkpoint is the byte offset.
enum FileSourceStage {
    /// How often a followed directory is looked at for new files.
    private static let pause = Duration.milliseconds(250)

    static func make() -> Stage {
        Stage.source(configuration: FileSourceConfiguration.self) { configuration, source in
            try await run(configuration, source)
        }
    }

    private static func run(_ configuration: FileSourceConfiguration, _ source: Source) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var known: Set<String> = []
            repeat {
                for file in try files(configuration.path) where known.insert(file).inserted {
                    // One after another, unless a followed file never ends.
                    guard configuration.follow else {
                        try await read(file, configuration, source)
                        continue
                    }
                    group.addTask { try await read(file, configuration, source) }
                }
                if configuration.follow { try await Task.sleep(for: pause) }
            } while configuration.follow
            try await group.waitForAll()
        }
    }

    /// Sorted, so that every run reads in the same order.
    private static func files(_ path: String) throws -> [String] {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw LineReader.Failure(description: "there is no \(path)")
        }
        guard isDirectory.boolValue else { return [path] }
        return try FileManager.default.contentsOfDirectory(atPath: path).sorted().compactMap { name in
            var status = stat()
            let file = "\(path)/\(name)"
            guard !name.hasPrefix("."), stat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
            return file
        }
    }

    private static func read(_ file: String, _ configuration: FileSourceConfiguration, _ source: Source) async throws {
        let descriptor = open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw LineReader.Failure(description: "cannot read \(file): \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        let partition = try await source.claim(partitionName(file))
        let start = try position(partition, descriptor, file)
        var reader = LineReader(descriptor, offset: start)
        let emitter = LineEmitter(partition: partition, format: configuration.format, name: file)
        while true {
            let lines = try await reader.next(takesRest: !configuration.follow)
            try await emitter.emit(lines)
            if lines.isAtEnd {
                guard configuration.follow else { break }
                try await Task.sleep(for: pause)
            }
            try Task.checkCancellation()
        }
        try await partition.finish()
    }

    /// A file that is shorter than it was is another one.
    private static func position(_ partition: Partition, _ descriptor: Int32, _ file: String) throws -> UInt64 {
        let start = UInt64(partition.checkpointText) ?? 0
        var status = stat()
        guard fstat(descriptor, &status) == 0, start <= UInt64(status.st_size) else {
            Worker.complain(
                "\(file) is shorter than what was read of it (\(start) bytes): it is read from its beginning")
            return 0
        }
        lseek(descriptor, off_t(start), SEEK_SET)
        return start
    }

    /// A partition's name has at most 255 bytes.
    private static func partitionName(_ file: String) -> String {
        let name = file.split(separator: "/").last.map(String.init) ?? file
        return name.utf8.count <= 255 ? name : String(decoding: name.utf8.prefix(255), as: UTF8.self)
    }
}

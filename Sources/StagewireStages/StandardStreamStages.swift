import Glibc
import StagewireStage

/// Of `stdin` and `stdout`.
public struct StreamConfiguration: Codable, Equatable, Sendable {
    public var format: LineFormat

    enum CodingKeys: String, CodingKey, CaseIterable { case format }

    public init(format: LineFormat = .lines) { self.format = format }

    public init(from decoder: any Decoder) throws {
        try UnknownKeys.refuse(in: decoder, known: CodingKeys.self)
        let values = try decoder.container(keyedBy: CodingKeys.self)
        format = try values.decodeIfPresent(LineFormat.self, forKey: .format) ?? .lines
    }
}

/// Reads standard input, a line for each record.
///
/// The checkpoint is the byte offset. Where standard input is a file, a restart goes on there. A pipe cannot be read
/// again: what an earlier process had read and the broker had not confirmed is lost with that process.
enum StandardInputStage {
    static func make() -> Stage {
        Stage.source(configuration: StreamConfiguration.self) { configuration, source in
            try await run(configuration, source, descriptor: 0)
        }
    }

    static func run(_ configuration: StreamConfiguration, _ source: Source, descriptor: Int32) async throws {
        let partition = try await source.claim("stdin")
        let start = UInt64(partition.checkpointText) ?? 0
        if start > 0, lseek(descriptor, off_t(start), SEEK_SET) < 0 {
            Worker.complain("standard input cannot be read again: it goes on with what comes, behind byte \(start)")
        }
        var reader = LineReader(descriptor, offset: start)
        let emitter = LineEmitter(partition: partition, format: configuration.format, name: "standard input")
        while true {
            let lines = try await reader.next(takesRest: true)
            try await emitter.emit(lines)
            if lines.isAtEnd { return }
            try Task.checkCancellation()
        }
    }
}

/// Writes to standard output, a line for each record. A record is settled when the system has taken its line.
enum StandardOutputStage {
    static func make() -> Stage {
        Stage.sink(batch: 1000, configuration: StreamConfiguration.self) { configuration in
            { batch, out in
                let bytes = configuration.format.encode(batch.records, &out)
                guard FileAppender.write(bytes, to: 1) else {
                    let reason = String(cString: strerror(errno))
                    throw Verdict.retry("cannot write to standard output: \(reason)", indefinite: true)
                }
            }
        }
    }
}

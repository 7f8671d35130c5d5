import ArgumentParser
import Glibc
import StagewireModel
import StagewireWire

/// `stagewire decode`. Text and JSON lines are written frame by frame, so that a stream is shown as it comes and an input
/// of any size needs the memory of one frame; only `--json` collects, for its one object ends with the verdict.
struct Decode: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show protocol frames, of either direction, as text or JSON.",
        discussion: """
            Reads what goes over a worker's socket: frames of a 4-byte big-endian length and one protobuf Envelope \
            (docs/PROTOCOL.md). Names are those of proto/; bytes are text when they are printable, else hexadecimal; \
            fields and kinds that this version does not know are shown by number.

            Exits 0 when every frame is well-formed, 1 when one is not or the last one is cut off, 2 when the file \
            cannot be read.

            EXAMPLES:
              stagewire decode worker.bin
              stagewire decode --limit 3 --json worker.bin
              stagewire decode --json-lines < broker.bin | grep problems

            A recording of both directions, for a worker that connects to tap.sock:
              socat -r worker.bin -R broker.bin \\
                UNIX-LISTEN:tap.sock UNIX-CONNECT:pipeline.sock
            """)

    @Argument(
        help: ArgumentHelp("The frames; standard input without it, or with -.", valueName: "file"),
        completion: .file())
    var file: String?

    @Flag(help: "Print one JSON object with the frames as a list, for at most 16 MiB of them.")
    var json = false

    @Flag(help: "Print one JSON object per frame, each on a line of its own.")
    var jsonLines = false

    @Option(help: ArgumentHelp("Stop after so many frames.", valueName: "count"))
    var limit: Int?

    /// Bytes of frames that `--json` collects.
    private static let largestCollection = 16 * 1024 * 1024

    func validate() throws {
        if json, jsonLines { throw ValidationError("--json and --json-lines exclude each other.") }
        if let limit, limit < 0 { throw ValidationError("--limit is a number of frames, 0 or more.") }
    }

    func run() throws {
        var reader = FrameReader(try open())
        var output = Collected()
        while output.frames < limit ?? .max, output.isRead, let item = try next(&reader) {
            switch item {
            case .frame(let offset, let content):
                try show(DecodedFrame(offset, announced: content.count, content, after: output), &output)
            case .truncated(let offset, .some(let announced), let content):
                try show(DecodedFrame(offset, announced: announced, content, after: output), &output)
            case .truncated(let offset, .none, _):
                fail(at: offset, "the input ends within a length prefix", &output)
            case .refused(let offset, let problem): fail(at: offset, problem, &output)
            }
        }
        try conclude(output)
    }

    /// What was shown so far.
    struct Collected {
        var frames = 0
        /// False as soon as whoever reads the output has gone, as `head` does.
        var isRead = true
        /// For the envelope.
        var list: [JSONValue] = []
        var bytes = 0
        var problems: [Problem] = []
        var count = 0
        /// Of the problems, so many are kept for the end; all are counted.
        static let mostProblems = 100

        mutating func add(_ offset: Int, _ text: String) {
            count += 1
            guard problems.count < Self.mostProblems else { return }
            problems.append(Problem(code: "malformed", message: "byte \(offset): \(text)"))
        }
    }

    // MARK: Input

    private func open() throws -> Int32 {
        guard let file, file != "-" else { return STDIN_FILENO }
        let descriptor = Glibc.open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(Errno(code: errno)) }
        return descriptor
    }

    private func next(_ reader: inout FrameReader) throws -> FrameReader.Item? {
        do { return try reader.next() } catch { throw unreadable(error) }
    }

    private func unreadable(_ error: Errno) -> Failure {
        Failure(.usage, "cannot read \(Text.escaped(file ?? "standard input")): \(error)", code: "usage")
    }

    // MARK: Output

    private func show(_ frame: DecodedFrame, _ output: inout Collected) throws {
        output.frames += 1
        for problem in frame.problems { output.add(problem.offset, "frame \(frame.number): \(problem.text)") }
        if json {
            output.bytes += frame.present
            guard output.bytes <= Self.largestCollection else {
                throw Failure(
                    .runtime, "more than 16 MiB of frames do not fit into one JSON object",
                    hint: "use --json-lines, or --limit")
            }
            output.list.append(frame.json)
        } else {
            let text = jsonLines ? JSONText.line(frame.json) : frame.text
            output.isRead = Terminal.write(text + "\n", to: STDOUT_FILENO)
        }
    }

    /// What belongs to no frame; nothing follows it, for where the next frame would begin is not known.
    private func fail(at offset: Int, _ problem: String, _ output: inout Collected) {
        output.add(offset, problem)
        if jsonLines {
            let details: JSONValue = .object(["offset": .unsigned(UInt64(offset)), "message": .text(problem)])
            Output.text(JSONText.line(JSONValue.object(["problems": .list([details])])))
        } else if !json {
            Output.text("MALFORMED at byte \(offset): \(problem)")
        }
    }

    /// On standard error the first problem only: with each frame its own have been said.
    private func conclude(_ output: Collected) throws {
        if json { Output.json("decode", output.list, output.problems) }
        guard let first = output.problems.first else { return }
        let more = output.count > 1 ? " (and \(output.count - 1) more problems)" : ""
        Output.error(Text.escaped("stagewire: \(first.message)") + more)
        throw ExitStatus.runtime
    }
}

extension DecodedFrame {
    fileprivate init(_ offset: Int, announced: Int, _ content: [UInt8], after output: Decode.Collected) {
        self.init(number: output.frames + 1, offset: offset, announced: announced, content: content)
    }
}

import Foundation
import StagewireModel
import Testing

@testable import StagewireWire

/// A frame written out by hand, and what it means.
struct Golden: CustomTestStringConvertible {
    var name: String
    var message: ControlMessage
    var bytes: String
    /// What `protoc --decode=stagewire.v1.Envelope` prints.
    var text: String
    var testDescription: String { name }

    // Everywhere: 08 is field 1 as varint, e807 is 1000 (0x3e8 in groups of seven bits: 1101000, 0000111).
    static let all = [
        Golden(
            name: "Ping", message: .ping(nonce: 7),
            // length 7 | version | 2a = 5 << 3 | 2, 2 bytes | nonce 7
            bytes: "00000007 08e807 2a02 0807",
            text: "version: 1000\nping {\n  nonce: 7\n}\n"),
        Golden(
            name: "Pong without nonce: zeros are not written", message: .pong(nonce: 0),
            bytes: "00000005 08e807 3200",
            text: "version: 1000\npong {\n}\n"),
        Golden(
            name: "Credit", message: .credit(CreditLimit(number: 1, records: 4096, bytes: 1 << 20)),
            // 3a = 7 << 3 | 2, 9 bytes | number 1 | 4096 = 80 20 | 1 MiB = 80 80 40
            bytes: "0000000e 08e807 3a09 0801 108020 18808040",
            text: "version: 1000\ncredit {\n  number: 1\n  records: 4096\n  bytes: 1048576\n}\n"),
        Golden(
            name: "Extend", message: .extend,
            // 6a = 13 << 3 | 2
            bytes: "00000005 08e807 6a00",
            text: "version: 1000\nextend {\n}\n"),
        Golden(
            name: "Drain", message: .drain(.shutdown, deadlineMS: 30_000),
            // 72 = 14 << 3 | 2, 6 bytes | reason 2 | 30000 = b0 ea 01
            bytes: "0000000b 08e807 7206 0802 10b0ea01",
            text: "version: 1000\ndrain {\n  reason: DRAIN_REASON_SHUTDOWN\n  deadline_ms: 30000\n}\n"),
        Golden(
            name: "Finished", message: .finished(partition: "0"),
            // field 18 needs a tag of two bytes: 18 << 3 | 2 = 146 = 92 01
            bytes: "00000009 08e807 920103 0a0130",
            text: "version: 1000\nfinished {\n  partition: \"0\"\n}\n"),
        Golden(
            name: "Close", message: .close(CloseReason(.fenced, "again")),
            // 22 = 4 << 3 | 2, 10 bytes | code 208 = d0 01 | 12 = 2 << 3 | 2, 5 bytes
            bytes: "0000000f 08e807 220a 08d001 1205 616761696e",
            text: "version: 1000\nclose {\n  code: 208\n  message: \"again\"\n}\n"),
        Golden(
            name: "Hello", message: .hello(hello),
            // 12 = 2 << 3 | 2, 18 bytes | range 1000..1000 | 1a stage | 22 instance; nothing else is set
            bytes: "00000017 08e807 1212 08e807 10e807 1a0573636f7265 22037a2d31",
            text: "version: 1000\nhello {\n  min_version: 1000\n  max_version: 1000\n  stage: \"score\"\n"
                + "  instance: \"z-1\"\n}\n"),
    ]

    private static var hello: Hello {
        var hello = Hello()
        hello.stage = "score"
        hello.instance = "z-1"
        return hello
    }
}

@Suite("Golden bytes")
struct GoldenTests {
    @Test("control frames", arguments: Golden.all)
    func control(_ golden: Golden) throws {
        let bytes = hex(golden.bytes)
        #expect(hex(FrameCodec.encode(golden.message)) == hex(bytes))
        #expect(try FrameCodec.decode(Array(bytes[4...])) == .control(golden.message))
    }

    @Test("protoc reads them", .enabled(if: Protoc.isInstalled), arguments: Golden.all)
    func protoc(_ golden: Golden) throws {
        #expect(try Protoc.decode(Array(hex(golden.bytes)[4...])) == golden.text)
    }

    /// Two records of three payload bytes each: 22 = 4 << 3 | 2, 5 bytes | 1a = 3 << 3 | 2, 3 bytes.
    private let records = hex("2205 1a03616263 2205 1a03646566")

    @Test("Deliver of first attempts")
    func deliver() throws {
        // length 24 | version | 42 = 8 << 3 | 2, 19 bytes | input 1 | first 129 = 81 01
        let expected = hex("00000018 08e807 4213 0801 108101")
        let prefix = DeliverPrefix.encode(input: 1, first: 129, recordBytes: records.count)
        #expect(hex(prefix) == hex(expected))
        #expect(try FrameCodec.decode(Array((prefix + records)[4...])) == .deliver(5..<24))
    }

    @Test("Deliver of a retried record")
    func deliverAttempts() throws {
        // 25 bytes: as above, with 1a = 3 << 3 | 2, 3 bytes: attempts 1 and 300 = ac 02
        let expected = hex("0000001d 08e807 4218 0801 108101 1a03 01ac02")
        let attempts: [UInt32] = [9, 1, 300]
        let prefix = DeliverPrefix.encode(input: 1, first: 129, attempts: attempts[1...], recordBytes: records.count)
        #expect(hex(prefix) == hex(expected))
    }

    @Test("protoc reads a Deliver", .enabled(if: Protoc.isInstalled))
    func protocDeliver() throws {
        let prefix = DeliverPrefix.encode(input: 1, first: 129, attempts: [1, 300], recordBytes: records.count)
        #expect(
            try Protoc.decode(Array((prefix + records)[4...])) == """
                version: 1000
                deliver {
                  input: 1
                  first_delivery: 129
                  attempts: 1
                  attempts: 300
                  records {
                    payload: "abc"
                  }
                  records {
                    payload: "def"
                  }
                }

                """)
    }

    @Test("a prefix is as long as announced, and never above `largest` without attempts")
    func prefixSizes() {
        var random = SeededRandom(seed: 4)
        var buffer = [UInt8](repeating: 0xee, count: 4096)
        for _ in 0..<2000 {
            let input: UInt32 = random.number()
            let first = max(1, random.number(UInt64.self))
            let attempts = random.list(upTo: 30) { $0.number(UInt32.self) }[...]
            let bytes = Int(random.number(UInt32.self) & 0x1ff_ffff)
            let size = DeliverPrefix.encodedSize(input: input, first: first, attempts: attempts, recordBytes: bytes)
            let written = buffer.withUnsafeMutableBytes {
                DeliverPrefix.write(input: input, first: first, attempts: attempts, recordBytes: bytes, into: $0)
            }
            #expect(written == size)
            #expect(
                Array(buffer[..<written])
                    == DeliverPrefix.encode(input: input, first: first, attempts: attempts, recordBytes: bytes))
            #expect(!attempts.isEmpty || size <= DeliverPrefix.largest)
        }
        let largest = DeliverPrefix.encodedSize(input: .max, first: .max, recordBytes: Limits.ceilingFrame)
        #expect(largest <= DeliverPrefix.largest)
    }
}

/// The protobuf compiler as an independent reader, where it is installed.
enum Protoc {
    static let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        .map { "\($0)/protoc" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    static var isInstalled: Bool { path != nil }

    static func decode(_ content: [UInt8]) throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let process = Process()
        let (input, output) = (Pipe(), Pipe())
        process.executableURL = URL(fileURLWithPath: try #require(path))
        process.arguments = [
            "--decode=stagewire.v1.Envelope", "-I\(root.path)/proto", "\(root.path)/proto/stagewire/v1/envelope.proto",
        ]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        try input.fileHandleForWriting.write(contentsOf: Data(content))
        try input.fileHandleForWriting.close()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        return String(decoding: text, as: UTF8.self)
    }
}

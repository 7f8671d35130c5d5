import StagewireModel
import StagewireTestSupport

@testable import StagewireWire

typealias SeededRandom = SplitMix64

extension SplitMix64 {
    mutating func number<Number: FixedWidthInteger & UnsignedInteger>(_: Number.Type = Number.self) -> Number {
        // Every length of varint is as likely as every other.
        Number(truncatingIfNeeded: next()) >> Number(truncatingIfNeeded: next() % UInt64(Number.bitWidth))
    }

    mutating func flag() -> Bool { next() & 1 == 1 }

    mutating func bytes(upTo most: Int) -> [UInt8] {
        (0..<Int.random(in: 0...most, using: &self)).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    /// A valid text without NUL of at most `most` bytes.
    mutating func text(_ least: Int = 0, _ most: Int = Limits.name) -> String {
        let alphabet: [Character] = ["a", "Z", "0", "-", ".", " ", "\u{1b}", "é", "水", "🜁", "\u{301}"]
        let target = Int.random(in: least...most, using: &self)
        var text = ""
        while text.utf8.count < target {
            let next = text + String(alphabet.randomElement(using: &self)!)
            text = next.utf8.count <= most ? next : text + "x"
        }
        return text
    }

    mutating func list<Element>(upTo most: Int = 4, _ element: (inout Self) -> Element) -> [Element] {
        (0..<Int.random(in: 0...most, using: &self)).map { _ in element(&self) }
    }
}

extension SeededRandom {
    mutating func message(_ kind: Kind) -> ControlMessage? {
        switch kind {
        case .hello: .hello(hello())
        case .welcome: .welcome(welcome())
        case .close: .close(CloseReason(code: number(), message: text(0, flag() ? 40 : Limits.text)))
        case .ping: .ping(nonce: number())
        case .pong: .pong(nonce: number())
        case .credit: .credit(CreditLimit(number: number(), records: number(), bytes: number()))
        case .committed: .committed(partition: text(1, Limits.partition), through: number(), refused: refusals())
        case .settled: .settled(through: number(), refused: refusals())
        case .extend: .extend
        case .drain: .drain(flag() ? .inputEnded : .shutdown, deadlineMS: number())
        case .runs:
            .runs(
                list(upTo: 6) {
                    Run(
                        number: $0.number(), stage: $0.text(), version: $0.text(), instance: $0.text(),
                        language: $0.text())
                })
        case .claim: .claim(partition: text(1, Limits.partition))
        case .claimed:
            .claimed(
                partition: text(1, Limits.partition), epoch: number(), lastEmitID: number(),
                checkpoint: bytes(upTo: 100))
        case .finished: .finished(partition: text(1, Limits.partition))
        case .deliver, .settle, .emit: nil
        }
    }

    private mutating func hello() -> Hello {
        var hello = Hello()
        hello.minVersion = number()
        hello.maxVersion = number()
        hello.stage = text()
        hello.instance = text()
        hello.stageVersion = text()
        hello.offered = list { $0.text() }
        hello.required = list { $0.text() }
        hello.maxFrame = number()
        hello.token = bytes(upTo: 32)
        hello.sdk = text()
        hello.language = text()
        hello.reads = list { Schema(name: $0.text(), version: $0.number(), definition: $0.bytes(upTo: 20)) }
        hello.writes = list { Schema(name: $0.text(), version: $0.number()) }
        return hello
    }

    private mutating func welcome() -> Welcome {
        var welcome = Welcome()
        welcome.version = number()
        welcome.session = number()
        welcome.features = list { $0.text() }
        welcome.maxFrame = number()
        welcome.maxRecord = number()
        welcome.stampReserve = number()
        welcome.maxStepRecords = number()
        welcome.maxStepBytes = number()
        welcome.heartbeatMS = number()
        welcome.idleMS = number()
        welcome.leaseMS = number()
        welcome.config = bytes(upTo: 300)
        welcome.inputs = list {
            Welcome.Input(
                number: $0.number(), stage: $0.text(), port: $0.text(), maxUnsettledRecords: $0.number(),
                maxUnsettledBytes: $0.number(), ordering: Ordering.allCases.randomElement(using: &$0)!)
        }
        welcome.outputs = list { Welcome.Output(number: $0.number(), port: $0.text()) }
        welcome.pipeline = text()
        welcome.instance = text()
        return welcome
    }

    private mutating func refusals() -> [Refusal] {
        list {
            Refusal(
                id: $0.number(), error: DeliveryError(code: $0.number(), message: $0.text(), indefinite: $0.flag()))
        }
    }
}

// MARK: Bytes

extension FrameCodec {
    /// Decodes the content of a frame, without prefix.
    static func decode(_ content: [UInt8]) throws(CloseReason) -> Frame { try decode(content.span.bytes) }
}

/// The bytes that `digits` names; spaces and line ends are for the reader.
func hex(_ digits: String) -> [UInt8] {
    let values = digits.compactMap { $0.hexDigitValue }
    precondition(values.count % 2 == 0)
    return stride(from: 0, to: values.count, by: 2).map { UInt8(values[$0] << 4 | values[$0 + 1]) }
}

func hex(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}

func varint(_ value: UInt64) -> [UInt8] {
    value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7f) | 0x80] + varint(value >> 7)
}

/// A field with tag and length.
func field(_ number: UInt64, _ bytes: [UInt8]) -> [UInt8] {
    varint(number << 3 | 2) + varint(UInt64(bytes.count)) + bytes
}
func field(_ number: UInt64, _ value: UInt64) -> [UInt8] { varint(number << 3) + varint(value) }
func field(_ number: UInt64, _ text: String) -> [UInt8] { field(number, Array(text.utf8)) }

/// An Envelope of version 1.0 around `fields`.
func envelope(_ fields: [UInt8]) -> [UInt8] { field(1, 1000) + fields }

func prefixed(_ content: [UInt8]) -> [UInt8] {
    withUnsafeBytes(of: UInt32(content.count).bigEndian) { Array($0) } + content
}

/// The code with which `content` is refused, nil when it is accepted.
func refusal(_ content: [UInt8]) -> Code? {
    do throws(CloseReason) {
        _ = try FrameCodec.decode(content)
        return nil
    } catch {
        return Code(rawValue: error.code)
    }
}

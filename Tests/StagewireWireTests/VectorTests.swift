import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireWire

extension Vector: CustomTestStringConvertible {
    public var testDescription: String { name }
}

/// conformance/vectors, as far as they are about frames; what stands in Settle and Emit is in StagewireRecordTests.
@Suite("Vectors")
struct VectorTests {
    private static let valid = Vector.all("frames-to-worker") + Vector.all("frames-to-broker")

    /// Ours have no value for these: an ordering or reason that is unknown or absent, an absent error, a text above its
    /// limit.
    private static let changed: Set = [
        "welcome-unknown-ordering", "welcome-absent-ordering", "welcome-unknown-fields", "welcome-any-order",
        "drain-unknown-reason", "drain-absent-reason",
        "committed-error-absent", "close-too-long",
    ]

    private func content(_ bytes: [UInt8]) throws -> [UInt8] {
        let splitter = FrameSplitter(limit: Limits.ceilingFrame)
        let found = try splitter.next(in: bytes.span.bytes, from: 0)
        let range = try #require(found)
        #expect(range.upperBound == bytes.count)
        return Array(bytes[range])
    }

    @Test("valid frames say what their JSON says", arguments: valid)
    func meaning(_ vector: Vector) throws {
        let dump = FrameDump(try content(vector.bytes))
        #expect(dump.difference(from: try #require(vector.json)) == nil)
        if vector.json?["version"]?.number.map({ $0 / 1000 }) == 1 { #expect(dump.flaws.isEmpty) }
    }

    @Test("valid frames are decoded like their usual encoding, which the encoder writes", arguments: valid)
    func codec(_ vector: Vector) throws {
        let bytes = try content(vector.bytes)
        guard vector.json?["version"]?.number.map({ $0 / 1000 }) == 1 else {
            let close = FrameCodec.closeOfAnyMajor(bytes.span.bytes)
            #expect(close.map { UInt64($0.code) } == vector.json?["close"]?["code"]?.number)
            #expect(throws: CloseReason.self) { try FrameCodec.decode(bytes) }
            return
        }
        switch try FrameCodec.decode(bytes) {
        case .unknown: #expect(vector.flag("ignored"))
        case .deliver(let body): try expectDeliver(vector, bytes, body)
        case .settle, .emit: break
        case .control(let message):
            #expect(try FrameCodec.decode(try content(vector.usual)) == .control(message))
            if Self.changed.contains(vector.name) || vector.json?["version"]?.number != 1000 { return }
            #expect(FrameCodec.encode(message) == vector.usual)
        }
    }

    private func expectDeliver(_ vector: Vector, _ bytes: [UInt8], _ body: Range<Int>) throws {
        let scan = try DeliverScan(bytes.span.bytes, body)
        let means = try #require(vector.json?["deliver"])
        #expect(UInt64(scan.input) == means["input"]?.number ?? 0)
        #expect(scan.firstDelivery == means["first_delivery"]?.number)
        #expect(scan.attempts.map(UInt64.init) == (means["attempts"]?.list ?? []).compactMap(\.number))
        #expect(scan.records.count == means["records"]?.list?.count)
    }

    @Test("what the broker refuses in the bytes of a frame", arguments: Vector.all("frames-invalid"))
    func refusals(_ vector: Vector) throws {
        let code = try #require(vector.code)
        guard vector["invalid"]?["by"]?.text == "broker" else { return }
        if code == "FRAME_TOO_LARGE" {
            let limit = try #require(vector["limit"]?.number)
            let splitter = FrameSplitter(limit: Int(limit))
            #expect(codeOf { _ = try splitter.next(in: vector.bytes.span.bytes, from: 0) } == code)
            return
        }
        let found = codeOf {
            let bytes = try content(vector.bytes)
            let frame = try FrameCodec.decode(bytes)
            if case .deliver(let body) = frame { _ = try DeliverScan(bytes.span.bytes, body) }
        }
        // The others need a session to be wrong in, or are found in Settle and Emit.
        let inBytes = ["MALFORMED_FRAME", "UNSUPPORTED_VERSION", "MALFORMED_HELLO", "INVALID_PARTITION"].contains(code)
        let isStep = frameKind(vector.bytes) == "Settle" || frameKind(vector.bytes) == "Emit"
        let isRange =
            vector.name.hasPrefix("hello-range") || ["hello-minor-too-new", "hello-order"].contains(vector.name)
        if inBytes && !(isStep || isRange) {
            #expect(found == code)
        } else {
            #expect(found == nil || found == code)
        }
    }

    private func frameKind(_ bytes: [UInt8]) -> String? { FrameDump(Array(bytes.dropFirst(4))).kind }

    private func codeOf(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch let reason as CloseReason {
            return Code(rawValue: reason.code)?.name
        } catch { return "\(error)" }
    }

    @Test("what a worker has to refuse in the bytes of a frame", arguments: Vector.all("frames-invalid"))
    func workerRefusals(_ vector: Vector) throws {
        guard vector["invalid"]?["by"]?.text == "worker", vector.code == "MALFORMED_FRAME" else { return }
        // Our own SDK hides no fault.
        #expect(
            codeOf {
                let bytes = try content(vector.bytes)
                if case .deliver(let body) = try FrameCodec.decode(bytes) {
                    _ = try DeliverScan(bytes.span.bytes, body)
                }
            } == "MALFORMED_FRAME")
    }

    @Test("streams in any fragmentation", arguments: Vector.all("splits"), [1, 3, 1000, Int.max])
    func splits(_ vector: Vector, pieces: Int) throws {
        let splitter = FrameSplitter(limit: Int(try #require(vector["limit"]?.number)))
        var buffer: [UInt8] = []
        var start = 0
        var found: [(at: Int, content: [UInt8])] = []
        var code: String?
        for offset in stride(from: 0, to: vector.bytes.count, by: min(pieces, max(1, vector.bytes.count))) {
            buffer += vector.bytes[offset..<min(vector.bytes.count, offset + min(pieces, vector.bytes.count))]
            do {
                while let range = try splitter.next(in: buffer.span.bytes, from: start) {
                    found.append((start, Array(buffer[range])))
                    start = range.upperBound
                }
            } catch {
                code = Code(rawValue: error.code)?.name
                break
            }
        }
        let expected = vector.frames()
        #expect(code == vector.code)
        #expect(found.map(\.at) == expected.map(\.at) && found.map(\.content.count) == expected.map(\.length))
        #expect(UInt64(vector.bytes.count - start) == vector["rest"]?.number)
        for (got, meant) in zip(found, expected) { #expect(FrameDump(got.content).difference(from: meant.json) == nil) }
    }
}

extension FrameDump {
    /// Where this frame says something else than `json`; nil: nowhere. Unknown fields are passed over.
    func difference(from json: JSON) -> String? { Self.difference(fields, json, at: "Envelope") }

    private static func difference(_ fields: [Field], _ json: JSON, at path: String) -> String? {
        guard case .object(let members) = json else { return "\(path) is no object" }
        var left = members
        for (name, found) in Dictionary(grouping: fields.filter { $0.name != nil }, by: { $0.name! }) {
            let place = "\(path).\(name)"
            guard let meant = left.removeValue(forKey: name) else {
                // A zero may be written, or an empty list of packed numbers.
                if found.allSatisfy(\.value.isZero) { continue }
                return "\(place) is not in the JSON"
            }
            let values = meant.list ?? [meant]
            guard found.count == values.count else { return "\(place): \(found.count) values of \(values.count)" }
            for (field, value) in zip(found, values) {
                if let problem = difference(field.value, value, at: place) { return problem }
            }
        }
        // What is left was not sent: nothing, or a zero.
        for (name, value) in left where !value.isZero { return "\(path).\(name) was not sent" }
        return nil
    }

    private static func difference(_ value: Value, _ json: JSON, at path: String) -> String? {
        let same: Bool
        switch value {
        case .message(let fields): return difference(fields, json, at: path)
        case .unsigned(let number): same = json.number == number
        case .signed(let number): same = json == .signed(number)
        case .real(let number): same = json.real?.bitPattern == number.bitPattern || json.real == number
        case .flag(let flag): same = json == .flag(flag)
        case .text(let text): same = json.text == text
        case .bytes(let bytes): same = json.bytes == bytes
        case .enumeration(let name, let number): same = json.text == name && name != nil || json.number == number
        case .raw: same = false
        }
        return same ? nil : "\(path) is \(value)"
    }
}

extension FrameDump.Value {
    fileprivate var isZero: Bool {
        switch self {
        case .unsigned(0), .signed(0), .flag(false), .text(""), .bytes([]), .enumeration(_, 0): true
        default: false
        }
    }
}

extension JSON {
    fileprivate var isZero: Bool { [.signed(0), .flag(false), .text(""), .list([]), .real(0)].contains(self) }
}

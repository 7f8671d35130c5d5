import StagewireModel

/// Just enough protobuf to build and read the frames that carry records, independent of what is tested.
struct ProtoWriter {
    private(set) var bytes: [UInt8] = []

    mutating func varint(_ field: UInt64, _ value: UInt64) {
        raw(field << 3)
        raw(value)
    }

    mutating func bytes(_ field: UInt64, _ value: some Collection<UInt8>) {
        raw(field << 3 | 2)
        raw(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    mutating func message(_ field: UInt64, _ build: (inout ProtoWriter) -> Void) {
        var inner = ProtoWriter()
        build(&inner)
        bytes(field, inner.bytes)
    }

    mutating func raw(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// An Envelope of protocol 1.0 behind its length.
    static func frame(_ field: UInt64, _ build: (inout ProtoWriter) -> Void) -> [UInt8] {
        var envelope = ProtoWriter()
        envelope.varint(1, 1000)
        envelope.message(field, build)
        return prefixed(envelope.bytes)
    }

    static func prefixed(_ bytes: [UInt8]) -> [UInt8] {
        withUnsafeBytes(of: UInt32(bytes.count).bigEndian) { Array($0) } + bytes
    }
}

struct ProtoReader {
    struct Malformed: Error {}

    private var rest: ArraySlice<UInt8>

    init(_ bytes: some Sequence<UInt8>) { rest = Array(bytes)[...] }

    private mutating func varint() throws -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard let byte = rest.popFirst() else { throw Malformed() }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        throw Malformed()
    }

    /// Fields in order: number and either a number or bytes.
    mutating func fields(_ body: (UInt64, UInt64, ArraySlice<UInt8>) throws -> Void) throws {
        while !rest.isEmpty {
            let tag = try varint()
            var bytes: ArraySlice<UInt8> = []
            var value: UInt64 = 0
            switch tag & 7 {
            case 0: value = try varint()
            case 1: bytes = take(8)
            case 2: bytes = take(Int(try varint()))
            case 5: bytes = take(4)
            default: throw Malformed()
            }
            try body(tag >> 3, value, bytes)
        }
    }

    private mutating func take(_ count: Int) -> ArraySlice<UInt8> {
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}

/// A record as a test sees it.
struct TestRecord: Equatable {
    var key: [UInt8] = []
    var payload: [UInt8] = []
    /// Fields of the header behind the key, encoded.
    var header: [UInt8] = []
    /// Of the emission: a `TraceContext`, encoded.
    var trace: [UInt8] = []
    var hops = 0

    /// As the `output` of an emission.
    var output: [UInt8] {
        var record = ProtoWriter()
        if !key.isEmpty || !header.isEmpty {
            var fields = ProtoWriter()
            if !key.isEmpty { fields.bytes(3, key) }
            record.bytes(2, fields.bytes + header)
        }
        record.bytes(3, payload)
        return record.bytes
    }

    init(key: [UInt8] = [], payload: [UInt8]) {
        self.key = key
        self.payload = payload
    }

    init(encoded: ArraySlice<UInt8>) throws {
        var reader = ProtoReader(encoded)
        try reader.fields { field, _, bytes in
            var inner = ProtoReader(bytes)
            if field == 1 { try inner.fields { number, _, _ in if number == 7 { hops += 1 } } }
            if field == 2 { try inner.fields { number, _, value in if number == 3 { key = Array(value) } } }
            if field == 3 { payload = Array(bytes) }
        }
    }
}

/// A `Deliver` as a test sees it.
struct TestDelivery {
    var input: UInt32 = 0
    var first: UInt64 = 0
    var records: [TestRecord] = []
    /// Bytes that the records cost.
    var charge = 0

    init(_ message: ArraySlice<UInt8>) throws {
        var reader = ProtoReader(message)
        try reader.fields { field, value, bytes in
            switch field {
            case 1: input = UInt32(value)
            case 2: first = value
            case 4:
                records.append(try TestRecord(encoded: bytes))
                charge += bytes.count
            default: break
            }
        }
    }
}

import StagewireModel

/// What stands in front of the records of a `Deliver` frame. The records follow as they lie in the stream,
/// each with its tag and length.
///
/// ```
/// length | version | tag, length of Deliver | input | first_delivery | attempts (packed) | records ...
/// ```
public struct DeliverPrefix {
    /// Bytes at most, without attempts: 4 (length prefix) + 3 (version 1.0) + 1 + 5 (tag and length of
    /// Deliver) + 1 + 5 (input) + 1 + 10 (first delivery).
    public static let largest = 30

    /// The prefix as an array. `recordBytes` is the sum of the records' bytes, tags and lengths included.
    public static func encode(
        input: UInt32, first: UInt64, attempts: ArraySlice<UInt32> = [], recordBytes: Int
    ) -> [UInt8] {
        let size = encodedSize(input: input, first: first, attempts: attempts, recordBytes: recordBytes)
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            count = write(
                input: input, first: first, attempts: attempts, recordBytes: recordBytes,
                into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// Bytes that `encode` and `write` need.
    public static func encodedSize(
        input: UInt32, first: UInt64, attempts: ArraySlice<UInt32> = [], recordBytes: Int
    ) -> Int {
        let fields = fieldBytes(input, first, attempts)
        return Limits.framePrefix + EnvelopeHead.encodedSize(.deliver, body: fields + recordBytes) + fields
    }

    /// Writes the prefix to the start of `buffer`, which has room for `encodedSize` bytes, and returns its length.
    public static func write(
        input: UInt32, first: UInt64, attempts: ArraySlice<UInt32> = [], recordBytes: Int,
        into buffer: UnsafeMutableRawBufferPointer
    ) -> Int {
        precondition(first > 0, "delivery ids begin at 1")
        precondition(recordBytes >= 0)
        var writer = ByteWriter(buffer)
        EnvelopeHead.write(.deliver, body: fieldBytes(input, first, attempts) + recordBytes, into: &writer)
        if input > 0 {
            writer.tag(1, .varint)
            writer.varint(UInt64(input))
        }
        writer.tag(2, .varint)
        writer.varint(first)
        if !attempts.isEmpty {
            writer.tag(3, .bytes)
            writer.varint(UInt64(packedBytes(attempts)))
            for attempt in attempts { writer.varint(UInt64(attempt)) }
        }
        return writer.count
    }

    /// Bytes of the fields before the records. A zero is not written, as proto3 does.
    private static func fieldBytes(_ input: UInt32, _ first: UInt64, _ attempts: ArraySlice<UInt32>) -> Int {
        var bytes = 1 + ByteWriter.size(of: first)
        if input > 0 { bytes += 1 + ByteWriter.size(of: UInt64(input)) }
        if !attempts.isEmpty {
            let packed = packedBytes(attempts)
            bytes += 1 + ByteWriter.size(of: UInt64(packed)) + packed
        }
        return bytes
    }

    private static func packedBytes(_ attempts: ArraySlice<UInt32>) -> Int {
        attempts.reduce(0) { $0 + ByteWriter.size(of: UInt64($1)) }
    }
}

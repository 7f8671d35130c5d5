/// What is wrong with bytes that should be protobuf. The raw value keeps an `Emission` small.
@usableFromInline
enum Flaw: UInt8, Sendable {
    case truncated
    case fieldNumber
    case group
    case wireType
    case nonMinimal
    case overflow
    case repeated
    case utf8
    case lineage
    case headerSize
    case keySize
    case attributeCount
    case attributeValues
    case flagValue
    case traceSize
    case checkpointSize
    /// More entries than `StepBatch.entryLimit`.
    case entries

    /// What follows "at byte n: ".
    var sentence: String {
        switch self {
        case .truncated: "a field runs past the end of its message"
        case .fieldNumber: "a field number is 0 or above 536870911"
        case .group: "wire type 3, 4, 6 or 7 (groups are not part of this protocol)"
        case .wireType: "a known field has the wrong wire type"
        case .nonMinimal: "a tag, length, flag or enum is not encoded in the fewest bytes"
        case .overflow: "a number does not fit its field"
        case .repeated: "a field that may stand once stands twice"
        case .utf8: "a text is not UTF-8"
        case .lineage: "an output carries lineage, which only the broker writes"
        case .headerSize: "a header is longer than 16384 bytes"
        case .keySize: "a key is longer than 1024 bytes"
        case .attributeCount: "a header has more than 64 attributes"
        case .attributeValues: "an attribute has more than one value"
        case .flagValue: "a flag is neither 0 nor 1"
        case .traceSize: "a trace context is larger than 64 bytes (traceparent) and 512 bytes (tracestate) allow"
        case .checkpointSize: "a checkpoint is longer than 65536 bytes"
        case .entries: "too many entries in one frame"
        }
    }
}

/// A flaw and where it was met, in bytes from the beginning of the frame. Trivial on purpose: throwing it
/// costs a register, no allocation.
struct Malformed: Error {
    var flaw: Flaw
    var offset: Int

    @inline(__always)
    init(_ flaw: Flaw, _ offset: Int) {
        self.flaw = flaw
        self.offset = offset
    }
}

import CEnvelope
import StagewireModel

/// A record as libprotobuf-c reads it: the tests' second opinion.
struct DecodedRecord: Equatable {
    struct Hop: Equatable {
        var run: UInt32
        var delta: UInt64
        var attempt: UInt32
    }

    var hasLineage = false
    var id: [UInt8] = []
    var parents: [[UInt8]] = []
    var truncated = false
    var root: [UInt8] = []
    var traceparent: String?
    var tracestate: String?
    var ingestTime: UInt64 = 0
    var hops: [Hop] = []
    var key: [UInt8] = []
    var schema = ""
    var payload: [UInt8] = []

    init?(_ bytes: [UInt8]) {
        guard let record = stagewire__v1__record__unpack(nil, bytes.count, bytes) else { return nil }
        defer { stagewire__v1__record__free_unpacked(record, nil) }
        payload = Array(record.pointee.payload)
        if let header = record.pointee.header {
            key = Array(header.pointee.key)
            schema = header.pointee.schema.map { String(cString: $0) } ?? ""
        }
        if let lineage = record.pointee.lineage { read(lineage.pointee) }
    }

    private mutating func read(_ lineage: Stagewire__V1__Lineage) {
        hasLineage = true
        id = Array(lineage.id)
        parents = (0..<lineage.n_parents).map { Array(lineage.parents[$0]) }
        truncated = lineage.parents_truncated != 0
        root = Array(lineage.root)
        ingestTime = lineage.ingest_time
        if let trace = lineage.trace {
            traceparent = String(cString: trace.pointee.traceparent)
            tracestate = String(cString: trace.pointee.tracestate)
        }
        hops = (0..<lineage.n_hops).map {
            let hop = lineage.hops[$0]!.pointee
            return Hop(run: hop.run, delta: hop.delta, attempt: hop.attempt)
        }
    }
}

extension Array where Element == UInt8 {
    init(_ data: ProtobufCBinaryData) {
        self = data.len == 0 ? [] : Array(UnsafeBufferPointer(start: data.data, count: data.len))
    }
}

extension RecordID {
    var bytes: [UInt8] { Message.littleEndian(low) + Message.littleEndian(high) }
}

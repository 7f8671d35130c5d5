import CEnvelope
import StagewireModel
import StagewireRecord
import StagewireWire

/// Runs one input: its first byte chooses what the rest is. A finding is a trap, a sanitizer's report, or bytes that
/// the scanner accepted and libprotobuf-c does not read.
struct Fuzzer {
    private let stamp = LineageStamp()
    private var batch = StepBatch()
    private var log = StreamLog()

    mutating func run(_ input: [UInt8]) {
        guard let choice = input.first else { return }
        let message = 1..<input.count
        switch choice % 5 {
        case 0:
            guard (try? batch.scanSettle(input.span.bytes, at: message)) != nil else { return }
            checkOutcomes()
            relay(input)
        case 1:
            guard (try? batch.scanEmit(input.span.bytes, at: message)) != nil else { return }
            precondition((1...Limits.partition).contains(Int(batch.partition.length)), "a partition has a name")
            relay(input)
        case 2:
            // The output as the only one of an Emit: reaches the output scanner without luck.
            let frame = emit(of: Array(input[message]))
            // A flaw in an output is the emission's fault, never the frame's.
            guard (try? batch.scanEmit(frame.span.bytes, at: 0..<frame.count)) != nil else {
                preconditionFailure("a frame was refused for its output")
            }
            relay(frame)
        case 3: split(input.span.bytes.extracting(message))
        default: decode(input.span.bytes.extracting(message))
        }
    }

    /// A connection's bytes: frames lie behind one another and within the limit.
    private func split(_ bytes: RawSpan) {
        let splitter = FrameSplitter(limit: 512)
        var offset = 0
        while let frame = (try? splitter.next(in: bytes, from: offset)) ?? nil {
            precondition(
                frame.lowerBound == offset + Limits.framePrefix && frame.upperBound <= bytes.byteCount
                    && frame.count <= 512, "a frame lies behind its prefix, whole, within the limit")
            decode(bytes.extracting(frame))
            offset = frame.upperBound
        }
    }

    /// One Envelope: what is read can be written, and read again as the same. A dump takes anything, and finds nothing
    /// wrong with a control message that is read.
    private func decode(_ frame: RawSpan) {
        let decoded = try? FrameCodec.decode(frame)
        let dump = FrameDump(frame.withUnsafeBytes { Array($0) })
        if case .control? = decoded { precondition(dump.flaws.isEmpty && dump.kind != nil, "a dump agrees") }
        precondition(decoded != nil || !dump.flaws.isEmpty, "what is refused has a flaw")
        switch decoded {
        case .control(let message):
            let encoded = FrameCodec.encode(message)
            let again = try? FrameCodec.decode(encoded.span.bytes.extracting(droppingFirst: Limits.framePrefix))
            precondition(again == .control(message), "a message that was read is written as the same")
        case .settle(let range), .emit(let range), .deliver(let range):
            precondition(range.upperBound <= frame.byteCount, "a message lies within its frame")
        case .unknown, nil: return
        }
    }

    private func checkOutcomes() {
        for outcome in batch.outcomes {
            precondition(outcome.last >= outcome.first, "ranges are not empty")
            precondition(outcome.emissions.isEmpty || outcome.kind == .accepted, "only ACCEPTED emits")
            var previous = outcome.last
            for range in batch.ranges[outcome.more] {
                precondition(range.first > previous && range.last >= range.first, "ranges ascend")
                previous = range.last
            }
        }
    }

    /// Stamps and appends every good emission, derives another record from it, and has all of them read back.
    private mutating func relay(_ frame: [UInt8]) {
        for (number, emission) in batch.emissions.enumerated() where emission.fault == nil {
            let output = frame.span.bytes.extracting(emission.output.range)
            let trace = frame.span.bytes.extracting(emission.trace.range)
            let id = RecordID(low: UInt64(number) + 1, high: 7)
            stamp.source(id: id, trace: trace, ingestTime: 5, run: 1)
            let source = log.append(stamp, output: output, keyHash: emission.keyHash)
            let next = RecordID(low: UInt64(number) + 1, high: 8)
            stamp.derived(id: next, parent: log.ref(source), run: 2, attempt: 2, wall: 9)
            let derived = log.append(stamp, output: output, keyHash: emission.keyHash)
            check(log.ref(source), id, frame, emission)
            check(log.ref(derived), next, frame, emission)
            precondition(log.ref(derived).root == id && log.ref(derived).parentIDs() == [id], "lineage is carried on")
            precondition(
                log.ref(derived).hopCount == 2 && log.ref(derived).trace == log.ref(source).trace, "hops are added")
        }
        log.release(before: log.end)
    }

    /// What the scanner accepted, libprotobuf-c reads, with the same key.
    private func check(_ ref: RecordRef, _ id: RecordID, _ frame: [UInt8], _ emission: StepBatch.Emission) {
        precondition(ref.id == id && ref.ingestTime == 5, "the stamp is the one that was written")
        precondition(ref.copyOutputBytes() == Array(frame[emission.output.range]), "outputs are kept verbatim")
        let bytes = ref.copyRecordBytes()
        guard let record = stagewire__v1__record__unpack(nil, bytes.count, bytes) else {
            preconditionFailure("libprotobuf-c does not read an accepted record")
        }
        defer { stagewire__v1__record__free_unpacked(record, nil) }
        let data = record.pointee.header?.pointee.key
        let key = data.map { Array(UnsafeBufferPointer(start: $0.data, count: $0.len)) } ?? []
        precondition(key == ref.key, "one key for everybody")
        precondition(ref.keyHash == (key.isEmpty ? 0 : RecordIdentity.keyHash(key.span.bytes)), "and its hash")
        precondition(record.pointee.payload.len == ref.payload.count, "one payload for everybody")
        if let header = record.pointee.header {
            for index in 0..<header.pointee.n_attributes {
                _ = ref.attribute(String(cString: header.pointee.attributes[index]!.pointee.name))
            }
        }
    }

    /// `Emit{partition: "p", emissions: [{output}]}`.
    private func emit(of output: [UInt8]) -> [UInt8] {
        let emission = [0x1a] + varint(output.count) + output
        return [0x0a, 1, 0x70, 0x1a] + varint(emission.count) + emission
    }

    private func varint(_ value: Int) -> [UInt8] {
        value < 128 ? [UInt8(value)] : [UInt8(value & 0x7f | 0x80)] + varint(value >> 7)
    }
}

import CEnvelope
import StagewireModel

@testable import StagewireRecord

/// A `Settle` or `Emit` in one comparable form, whether libprotobuf-c read it or the scanner.
struct DecodedStep: Equatable {
    struct Emission: Equatable {
        var port: UInt32
        var parents: [UInt64]
        var keyHash: UInt64
        /// As libprotobuf-c packs it.
        var trace: [UInt8]
    }

    struct Outcome: Equatable {
        var ranges: [[UInt64]]
        var kind: UInt32
        var delay: UInt32
        var error: DeliveryError?
        var emissions: [Emission]
    }

    var outcomes: [Outcome] = []
    var emissions: [Emission] = []
    var partition: [UInt8] = []
    var emitID: UInt64 = 0
    var checkpoint: [UInt8] = []
}

/// As the scanner read it.
extension DecodedStep {
    init(_ batch: StepBatch, frame: [UInt8]) {
        outcomes = batch.outcomes.map { outcome in
            Outcome(
                ranges: [[outcome.first, outcome.last]] + batch.ranges[outcome.more].map { [$0.first, $0.last] },
                kind: UInt32(outcome.kind.rawValue), delay: outcome.delayMS,
                error: outcome.error < 0 ? nil : batch.errors[outcome.error].cutAtZero,
                emissions: batch.emissions[outcome.emissions].map { Emission($0, batch, frame) })
        }
        if !batch.partition.isEmpty {
            emissions = batch.emissions.map { Emission($0, batch, frame) }
            partition = Array(frame[batch.partition.range].prefix { $0 != 0 })
            emitID = batch.emitID
            checkpoint = Array(frame[batch.checkpoint.range])
        }
    }
}

extension DecodedStep.Emission {
    init(_ emission: StepBatch.Emission, _ batch: StepBatch, _ frame: [UInt8]) {
        let trace = Array(frame[emission.trace.range])
        let context = stagewire__v1__trace_context__unpack(nil, trace.count, trace)
        defer { stagewire__v1__trace_context__free_unpacked(context, nil) }
        self.init(
            port: emission.port, parents: Array(batch.parents[emission.parents]), keyHash: emission.keyHash,
            trace: pack(context))
    }

    init(_ emission: Stagewire__V1__Emission) {
        let key = emission.output.flatMap(\.pointee.header).map { Array($0.pointee.key) } ?? []
        self.init(
            port: emission.port, parents: (0..<emission.n_parents).map { emission.parents[$0] },
            keyHash: key.isEmpty ? 0 : RecordIdentity.keyHash(key.span.bytes), trace: pack(emission.trace))
    }
}

private func pack(_ trace: UnsafePointer<Stagewire__V1__TraceContext>?) -> [UInt8] {
    guard let trace else { return [] }
    let size = stagewire__v1__trace_context__get_packed_size(trace)
    return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
        count = size == 0 ? 0 : stagewire__v1__trace_context__pack(trace, buffer.baseAddress)
    }
}

/// As libprotobuf-c reads it; `nil` when it does not.
extension DecodedStep {
    init?(settle bytes: [UInt8]) {
        guard let settle = stagewire__v1__settle__unpack(nil, bytes.count, bytes) else { return nil }
        defer { stagewire__v1__settle__free_unpacked(settle, nil) }
        outcomes = (0..<settle.pointee.n_outcomes).map { Outcome(settle.pointee.outcomes[$0]!.pointee) }
    }

    init?(emit bytes: [UInt8]) {
        guard let emit = stagewire__v1__emit__unpack(nil, bytes.count, bytes) else { return nil }
        defer { stagewire__v1__emit__free_unpacked(emit, nil) }
        emissions = (0..<emit.pointee.n_emissions).map { Emission(emit.pointee.emissions[$0]!.pointee) }
        partition = Array(String(cString: emit.pointee.partition).utf8)
        emitID = emit.pointee.emit_id
        checkpoint = Array(emit.pointee.checkpoint)
    }
}

extension DecodedStep.Outcome {
    init(_ outcome: Stagewire__V1__Outcome) {
        let more = (0..<outcome.n_more).map { outcome.more[$0]!.pointee }
        self.init(
            ranges: ([(outcome.first, outcome.last)] + more.map { ($0.first, $0.last) }).map {
                [$0, $1 == 0 ? $0 : $1]
            },
            kind: UInt32(bitPattern: Int32(outcome.kind.rawValue)), delay: outcome.delay_ms,
            error: outcome.error.map { DeliveryError($0.pointee) },
            emissions: (0..<outcome.n_emissions).map { .init(outcome.emissions[$0]!.pointee) })
    }
}

extension DeliveryError {
    /// As C sees it: libprotobuf-c ends a text at its first zero byte.
    fileprivate var cutAtZero: DeliveryError {
        let text = message.unicodeScalars.prefix { $0 != "\0" }
        return DeliveryError(code: code, message: String(text), indefinite: indefinite)
    }

    init(_ error: Stagewire__V1__Error) {
        self.init(code: error.code, message: String(cString: error.message), indefinite: error.indefinite != 0)
    }
}

import StagewireModel
import StagewireWire

/// Collects what a handler produces. It becomes visible together with the settlement, or not at all.
public struct Emitter: Sendable {
    /// The names of the stage's outputs.
    public var ports: [String] { outputs.map(\.port) }

    private(set) var body = FieldWriter()
    /// By index in `Welcome.outputs`.
    private(set) var charges: [Charge]
    private var failure: DeliveryError?
    private let outputs: [Welcome.Output]
    private let limits: StepLimits
    private let field: UInt32

    /// Fields named `emissions` in the messages that hold them.
    enum Place: UInt32 {
        case outcome = 4
        case emit = 3
    }

    init(_ welcome: Welcome, in place: Place) {
        outputs = welcome.outputs
        limits = StepLimits(welcome)
        field = place.rawValue
        charges = [Charge](repeating: Charge(), count: welcome.outputs.count)
    }

    /// Keeps what is emitted, and takes any port: for tests of handlers.
    init(recording welcome: Welcome) {
        self.init(welcome, in: .outcome)
        charges = [Charge()]
        isRecording = true
    }

    /// An emitter to call a handler with in a test; `recorded` has what it emitted.
    public static func recorder() -> Emitter { Emitter(recording: TestBench.welcome) }

    /// What a `recorder` was given since its last handler began.
    public private(set) var recorded: [Output] = []
    private var isRecording = false

    /// Bytes that one step may have at most, headers and lineage included.
    public var stepBytes: Int { Int(clamping: limits.bytes) }

    var isEmpty: Bool { body.bytes.isEmpty && failure == nil }

    mutating func reset() {
        body.bytes.removeAll(keepingCapacity: true)
        for index in charges.indices { charges[index] = Charge() }
        failure = nil
        if isRecording { recorded = [] }
        if !rejectedDeliveries.isEmpty { rejectedDeliveries = [:] }
    }

    /// Adds one record to the step. An output that the pipeline can never take (unknown port, too large, invalid
    /// header) turns the whole step into a rejection, whatever the handler does afterwards.
    ///
    /// - Parameter parents: of a window or batch the records that this one descends from; empty: all of them.
    public mutating func emit(_ output: Output, parents: [Record] = []) {
        let found = isRecording ? 0 : outputs.firstIndex { output.port.isEmpty || $0.port == output.port }
        guard let index = found else { return fail(unknownPort(output.port)) }
        if isRecording { recorded.append(output) }
        let header = output.headerPart
        if let flaw = output.flaw(headerBytes: header.count) {
            fail(DeliveryError(.invalidOutput, "an output is invalid: \(flaw)"))
        }
        let size = append(output, header: header, port: isRecording ? 0 : outputs[index].number, parents: parents)
        let charge = UInt64(size) + limits.stampReserve
        charges[index] += Charge(records: 1, bytes: charge)
        if charge > limits.maxRecord {
            fail(
                DeliveryError(
                    .outputTooLarge,
                    "an output of \(size) bytes is larger than the pipeline's max_record of \(limits.maxRecord), of "
                        + "which \(limits.stampReserve) are kept for lineage"))
        }
    }

    /// Emits a text with the stage's defaults: no key, no header.
    public mutating func emit(text: String) { emit(Output(text: text)) }

    /// Turns one record of a window or batch into a dead letter; the others are settled as the handler ends.
    public mutating func reject(_ record: Record, _ code: UInt32, _ message: String) {
        rejectedDeliveries[record.delivery] = DeliveryError(code: code, message: message)
    }

    /// By delivery id.
    private(set) var rejectedDeliveries: [UInt64: DeliveryError] = [:]

    /// Why the step cannot be sent; nil when it can.
    var refusal: DeliveryError? { failure ?? limits.problem(with: charges, body: body.bytes.count) }

    private mutating func fail(_ error: DeliveryError) { failure = failure ?? error }

    /// Appends an Emission; returns the size of its `output`.
    private mutating func append(_ output: Output, header: Part, port: UInt32, parents: [Record]) -> Int {
        let payload = output.payloadPart
        var size = 0
        if !header.isEmpty { size += FieldWriter.size(2, count: header.count) }
        if !payload.isEmpty { size += FieldWriter.size(3, count: payload.count) }
        let ids = parents.isEmpty ? [] : Self.ids(parents)
        let trace = output.trace.map(Self.encoded) ?? []
        var total = FieldWriter.size(3, count: size) + FieldWriter.size(1, number: UInt64(port))
        if !ids.isEmpty { total += FieldWriter.size(2, count: ids.count) }
        if !trace.isEmpty { total += FieldWriter.size(4, count: trace.count) }

        body.head(field, count: total)
        body.number(1, UInt64(port))
        body.content(2, ids)
        // An empty record is a record nevertheless: the field stands there.
        body.head(3, count: size)
        body.content(2, header.slice)
        body.content(3, payload.slice)
        body.content(4, trace)
        return size
    }

    private static func ids(_ parents: [Record]) -> [UInt8] {
        var ids = FieldWriter()
        for record in parents.sorted(by: { $0.delivery < $1.delivery }) { ids.varint(record.delivery) }
        return ids.bytes
    }

    private static func encoded(_ context: TraceContext) -> [UInt8] {
        var trace = FieldWriter()
        trace.content(1, context.traceparent.utf8)
        trace.content(2, context.tracestate.utf8)
        return trace.bytes
    }

    private func unknownPort(_ port: String) -> DeliveryError {
        let problem =
            outputs.isEmpty
            ? "this stage has no outputs, but its handler emits"
            : "this stage has no output “\(port)”; it has \(outputs.map(\.port).joined(separator: ", "))"
        return DeliveryError(.invalidOutput, problem)
    }
}

/// What `Welcome` says of the largest step.
struct StepLimits: Sendable {
    let maxRecord: UInt64
    let stampReserve: UInt64
    private let records: UInt64
    let bytes: UInt64
    private let frame: UInt64

    init(_ welcome: Welcome) {
        maxRecord = welcome.maxRecord
        stampReserve = welcome.stampReserve
        records = welcome.maxStepRecords
        bytes = welcome.maxStepBytes
        frame = welcome.maxFrame
    }

    /// No credit will ever come for a step above these (CR-8), so it must not wait for any.
    func problem(with charges: [Charge], body: Int) -> DeliveryError? {
        let sum = charges.reduce(Charge(), +)
        if sum.records > records || sum.bytes > bytes {
            return DeliveryError(
                .stepTooLarge,
                "one step emitted \(sum.records) records, charged \(sum.bytes) bytes; the pipeline takes at most "
                    + "\(records) records and \(bytes) bytes")
        }
        // What stands around the emissions: ranges of a window, a text.
        guard UInt64(body + Limits.frameOverhead / 2) > frame else { return nil }
        return DeliveryError(.stepTooLarge, "one step emitted \(body) bytes; a frame holds at most \(frame)")
    }
}

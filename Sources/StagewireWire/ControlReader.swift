import CEnvelope
import StagewireModel

/// Control messages from bytes, through libprotobuf-c. What it allocates is freed in `unpack`, on every path.
enum ControlReader {
    static func read(_ kind: Kind, _ body: RawSpan) throws(CloseReason) -> ControlMessage {
        try ControlCheck(kind: kind).pass(body)
        switch kind {
        case .hello: return .hello(try unpack(kind, body, hello))
        case .welcome: return .welcome(try unpack(kind, body, welcome))
        case .close: return .close(try unpack(kind, body, close))
        case .ping: return .ping(nonce: try unpack(kind, body) { (ping: Stagewire__V1__Ping) in ping.nonce })
        case .pong: return .pong(nonce: try unpack(kind, body) { (pong: Stagewire__V1__Pong) in pong.nonce })
        case .credit: return .credit(try unpack(kind, body, credit))
        case .committed: return try unpack(kind, body, committed)
        case .settled: return try unpack(kind, body, settled)
        case .extend: return .extend
        case .drain: return try unpack(kind, body, drain)
        case .runs: return .runs(try unpack(kind, body, runs))
        case .claim:
            return .claim(
                partition: try unpack(kind, body) { (claim: Stagewire__V1__Claim) throws(CloseReason) in
                    try Checked(kind).partition(claim.partition)
                })
        case .claimed: return try unpack(kind, body, claimed)
        case .finished:
            return .finished(
                partition: try unpack(kind, body) { (finished: Stagewire__V1__Finished) throws(CloseReason) in
                    try Checked(kind).partition(finished.partition)
                })
        case .deliver, .settle, .emit: preconditionFailure("\(kind.name) is scanned, not unpacked")
        }
    }

    private static func unpack<Message, Value>(
        _ kind: Kind, _ body: RawSpan, _ convert: (Message) throws(CloseReason) -> Value
    ) throws(CloseReason) -> Value {
        let unpacked = body.withUnsafeBytes { bytes in
            protobuf_c_message_unpack(
                kind.descriptor, nil, bytes.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
        guard let unpacked else {
            throw CloseReason(.malformedFrame, "\(kind.name) is not well-formed protobuf.")
        }
        defer { protobuf_c_message_free_unpacked(unpacked, nil) }
        precondition(
            unpacked.pointee.descriptor.pointee.sizeof_message == MemoryLayout<Message>.size,
            "\(kind.name) is unpacked as another message")
        return try convert(UnsafeRawPointer(unpacked).assumingMemoryBound(to: Message.self).pointee)
    }
}

// MARK: Connection

extension ControlReader {
    private static func hello(_ message: Stagewire__V1__Hello) throws(CloseReason) -> Hello {
        let checked = Checked(.hello)
        var hello = Hello()
        hello.minVersion = message.min_version
        hello.maxVersion = message.max_version
        hello.stage = try checked.name(message.stage, "stage")
        hello.instance = try checked.name(message.instance, "instance")
        hello.stageVersion = try checked.name(message.stage_version, "stage_version")
        hello.offered = try checked.features(message.offered, message.n_offered, "offered")
        hello.required = try checked.features(message.required, message.n_required, "required")
        hello.maxFrame = message.max_frame
        hello.token = try checked.bytes(message.token, Limits.name, "token")
        hello.sdk = try checked.name(message.sdk, "sdk")
        hello.language = try checked.name(message.language, "language")
        hello.reads = try schemas(message.reads, message.n_reads, "reads")
        hello.writes = try schemas(message.writes, message.n_writes, "writes")
        return hello
    }

    private static func schemas(
        _ list: UnsafeMutablePointer<UnsafeMutablePointer<Stagewire__V1__Schema>?>?, _ count: Int, _ field: String
    ) throws(CloseReason) -> [Schema] {
        let checked = Checked(.hello)
        try checked.count(count, Limits.features, field)
        var schemas: [Schema] = []
        for schema in messages(list, count) {
            schemas.append(
                Schema(
                    name: try checked.name(schema.name, "\(field).name"), version: schema.version,
                    definition: array(schema.definition)))
        }
        return schemas
    }

    private static func welcome(_ message: Stagewire__V1__Welcome) throws(CloseReason) -> Welcome {
        let checked = Checked(.welcome)
        var welcome = Welcome()
        welcome.version = message.version
        welcome.session = message.session
        welcome.features = try checked.features(message.features, message.n_features, "features")
        welcome.maxFrame = message.max_frame
        welcome.maxRecord = message.max_record
        welcome.stampReserve = message.stamp_reserve
        welcome.maxStepRecords = message.max_step_records
        welcome.maxStepBytes = message.max_step_bytes
        welcome.heartbeatMS = message.heartbeat_ms
        welcome.idleMS = message.idle_ms
        welcome.leaseMS = message.lease_ms
        welcome.config = array(message.config)
        for each in messages(message.inputs, message.n_inputs) { welcome.inputs.append(try input(each)) }
        for each in messages(message.outputs, message.n_outputs) {
            welcome.outputs.append(.init(number: each.number, port: try checked.name(each.port, "outputs.port")))
        }
        welcome.pipeline = try checked.name(message.pipeline, "pipeline")
        welcome.instance = try checked.name(message.instance, "instance")
        return welcome
    }

    private static func input(_ message: Stagewire__V1__Input) throws(CloseReason) -> Welcome.Input {
        let checked = Checked(.welcome)
        // An ordering of a later version is at most as loose as the strictest one known.
        let ordering = UInt8(exactly: message.ordering.rawValue).flatMap(Ordering.init(rawValue:)) ?? .total
        return Welcome.Input(
            number: message.number, stage: try checked.name(message.stage, "inputs.stage"),
            port: try checked.name(message.port, "inputs.port"),
            maxUnsettledRecords: message.max_unsettled_records, maxUnsettledBytes: message.max_unsettled_bytes,
            ordering: ordering)
    }

    private static func close(_ message: Stagewire__V1__Close) -> CloseReason {
        CloseReason(code: message.code, message: Text.cut(string(message.message), bytes: Limits.text))
    }

    private static func credit(_ message: Stagewire__V1__Credit) -> CreditLimit {
        CreditLimit(number: message.number, records: message.records, bytes: message.bytes)
    }

    private static func drain(_ message: Stagewire__V1__Drain) -> ControlMessage {
        // EN-3: a reason of a later version is taken for a shutdown.
        let reason = UInt32(exactly: message.reason.rawValue).flatMap(DrainReason.init(rawValue:)) ?? .shutdown
        return .drain(reason, deadlineMS: message.deadline_ms)
    }

    private static func runs(_ message: Stagewire__V1__Runs) throws(CloseReason) -> [Run] {
        let checked = Checked(.runs)
        var runs: [Run] = []
        for run in messages(message.runs, message.n_runs) {
            runs.append(
                Run(
                    number: run.number, stage: try checked.name(run.stage, "stage"),
                    version: try checked.name(run.version, "version"),
                    instance: try checked.name(run.instance, "instance"),
                    language: try checked.name(run.language, "language")))
        }
        return runs
    }
}

// MARK: Confirmations

extension ControlReader {
    private static func committed(_ message: Stagewire__V1__Committed) throws(CloseReason) -> ControlMessage {
        .committed(
            partition: try Checked(.committed).partition(message.partition), through: message.through,
            refused: refusals(message.refused, message.n_refused))
    }

    private static func settled(_ message: Stagewire__V1__Settled) -> ControlMessage {
        .settled(through: message.through, refused: refusals(message.refused, message.n_refused))
    }

    private static func claimed(_ message: Stagewire__V1__Claimed) throws(CloseReason) -> ControlMessage {
        let checked = Checked(.claimed)
        return .claimed(
            partition: try checked.partition(message.partition), epoch: message.epoch,
            lastEmitID: message.last_emit_id,
            checkpoint: try checked.bytes(message.checkpoint, Limits.checkpoint, "checkpoint"))
    }

    private static func refusals(
        _ list: UnsafeMutablePointer<UnsafeMutablePointer<Stagewire__V1__Refusal>?>?, _ count: Int
    ) -> [Refusal] {
        messages(list, count).map { refusal in
            let error = refusal.error?.pointee
            return Refusal(
                id: refusal.id,
                error: DeliveryError(
                    code: error?.code ?? 0, message: Text.cut(string(error?.message), bytes: Limits.text),
                    indefinite: error?.indefinite == 1))
        }
    }
}

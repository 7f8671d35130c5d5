import CEnvelope
import StagewireModel

/// Control messages to frames: libprotobuf-c writes the message, the envelope around it is written here.
enum ControlWriter {
    static func frame(_ message: ControlMessage) -> [UInt8] {
        var arena = Arena()
        switch message {
        case .hello(let hello): return pack(.hello, fill(hello, &arena))
        case .welcome(let welcome): return pack(.welcome, fill(welcome, &arena))
        case .close(let reason): return pack(.close, fill(reason, &arena))
        case .ping(let nonce):
            let ping = arena.message(stagewire__v1__ping__init)
            ping.pointee.nonce = nonce
            return pack(.ping, ping)
        case .pong(let nonce):
            let pong = arena.message(stagewire__v1__pong__init)
            pong.pointee.nonce = nonce
            return pack(.pong, pong)
        case .credit(let limit): return pack(.credit, fill(limit, &arena))
        case .committed(let partition, let through, let refused):
            let committed = arena.message(stagewire__v1__committed__init)
            committed.pointee.partition = arena.string(partition)
            committed.pointee.through = through
            committed.pointee.n_refused = refused.count
            committed.pointee.refused = fill(refused, &arena)
            return pack(.committed, committed)
        case .settled(let through, let refused):
            let settled = arena.message(stagewire__v1__settled__init)
            settled.pointee.through = through
            settled.pointee.n_refused = refused.count
            settled.pointee.refused = fill(refused, &arena)
            return pack(.settled, settled)
        case .extend: return pack(.extend, arena.message(stagewire__v1__extend__init))
        case .drain(let reason, let deadline): return pack(.drain, fill(reason, deadline, &arena))
        case .runs(let runs): return pack(.runs, fill(runs, &arena))
        case .claim(let partition):
            let claim = arena.message(stagewire__v1__claim__init)
            claim.pointee.partition = arena.string(partition)
            return pack(.claim, claim)
        case .claimed(let partition, let epoch, let lastEmitID, let checkpoint):
            let claimed = arena.message(stagewire__v1__claimed__init)
            claimed.pointee.partition = arena.string(partition)
            claimed.pointee.epoch = epoch
            claimed.pointee.last_emit_id = lastEmitID
            claimed.pointee.checkpoint = arena.bytes(checkpoint)
            return pack(.claimed, claimed)
        case .finished(let partition):
            let finished = arena.message(stagewire__v1__finished__init)
            finished.pointee.partition = arena.string(partition)
            return pack(.finished, finished)
        }
    }

    /// length prefix, version, tag and length of the kind, message
    private static func pack<Message>(_ kind: Kind, _ message: UnsafeMutablePointer<Message>) -> [UInt8] {
        let base = UnsafeMutableRawPointer(message).assumingMemoryBound(to: ProtobufCMessage.self)
        let size = protobuf_c_message_get_packed_size(base)
        let content = EnvelopeHead.encodedSize(kind, body: size) + size
        return [UInt8](unsafeUninitializedCapacity: Limits.framePrefix + content) { buffer, count in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(buffer))
            EnvelopeHead.write(kind, body: size, into: &writer)
            let packed = protobuf_c_message_pack(base, buffer.baseAddress.map { $0 + writer.count })
            precondition(packed == size, "libprotobuf-c announced \(size) bytes and wrote \(packed)")
            count = writer.count + size
        }
    }
}

// MARK: Values to C structures

extension ControlWriter {
    private static func fill(_ hello: Hello, _ arena: inout Arena) -> UnsafeMutablePointer<Stagewire__V1__Hello> {
        let message = arena.message(stagewire__v1__hello__init)
        message.pointee.min_version = hello.minVersion
        message.pointee.max_version = hello.maxVersion
        message.pointee.stage = arena.string(hello.stage)
        message.pointee.instance = arena.string(hello.instance)
        message.pointee.stage_version = arena.string(hello.stageVersion)
        message.pointee.n_offered = hello.offered.count
        message.pointee.offered = arena.strings(hello.offered)
        message.pointee.n_required = hello.required.count
        message.pointee.required = arena.strings(hello.required)
        message.pointee.max_frame = hello.maxFrame
        message.pointee.token = arena.bytes(hello.token)
        message.pointee.sdk = arena.string(hello.sdk)
        message.pointee.language = arena.string(hello.language)
        message.pointee.n_reads = hello.reads.count
        message.pointee.reads = fill(hello.reads, &arena)
        message.pointee.n_writes = hello.writes.count
        message.pointee.writes = fill(hello.writes, &arena)
        return message
    }

    private static func fill(
        _ schemas: [Schema], _ arena: inout Arena
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<Stagewire__V1__Schema>?>? {
        var list: [UnsafeMutablePointer<Stagewire__V1__Schema>] = []
        for schema in schemas {
            let message = arena.message(stagewire__v1__schema__init)
            message.pointee.name = arena.string(schema.name)
            message.pointee.version = schema.version
            message.pointee.definition = arena.bytes(schema.definition)
            list.append(message)
        }
        return arena.pointers(list)
    }

    private static func fill(
        _ welcome: Welcome, _ arena: inout Arena
    ) -> UnsafeMutablePointer<Stagewire__V1__Welcome> {
        let message = arena.message(stagewire__v1__welcome__init)
        message.pointee.version = welcome.version
        message.pointee.session = welcome.session
        message.pointee.n_features = welcome.features.count
        message.pointee.features = arena.strings(welcome.features)
        message.pointee.max_frame = welcome.maxFrame
        message.pointee.max_record = welcome.maxRecord
        message.pointee.stamp_reserve = welcome.stampReserve
        message.pointee.max_step_records = welcome.maxStepRecords
        message.pointee.max_step_bytes = welcome.maxStepBytes
        message.pointee.heartbeat_ms = welcome.heartbeatMS
        message.pointee.idle_ms = welcome.idleMS
        message.pointee.lease_ms = welcome.leaseMS
        message.pointee.config = arena.bytes(welcome.config)
        message.pointee.n_inputs = welcome.inputs.count
        message.pointee.inputs = fill(welcome.inputs, &arena)
        message.pointee.n_outputs = welcome.outputs.count
        message.pointee.outputs = fill(welcome.outputs, &arena)
        message.pointee.pipeline = arena.string(welcome.pipeline)
        message.pointee.instance = arena.string(welcome.instance)
        return message
    }

    private static func fill(
        _ inputs: [Welcome.Input], _ arena: inout Arena
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<Stagewire__V1__Input>?>? {
        var list: [UnsafeMutablePointer<Stagewire__V1__Input>] = []
        for input in inputs {
            let message = arena.message(stagewire__v1__input__init)
            message.pointee.number = input.number
            message.pointee.stage = arena.string(input.stage)
            message.pointee.port = arena.string(input.port)
            message.pointee.max_unsettled_records = input.maxUnsettledRecords
            message.pointee.max_unsettled_bytes = input.maxUnsettledBytes
            message.pointee.ordering = Stagewire__V1__Ordering(rawValue: .init(input.ordering.rawValue))
            list.append(message)
        }
        return arena.pointers(list)
    }

    private static func fill(
        _ outputs: [Welcome.Output], _ arena: inout Arena
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<Stagewire__V1__Output>?>? {
        var list: [UnsafeMutablePointer<Stagewire__V1__Output>] = []
        for output in outputs {
            let message = arena.message(stagewire__v1__output__init)
            message.pointee.number = output.number
            message.pointee.port = arena.string(output.port)
            list.append(message)
        }
        return arena.pointers(list)
    }

    private static func fill(_ reason: CloseReason, _ arena: inout Arena) -> UnsafeMutablePointer<Stagewire__V1__Close>
    {
        let message = arena.message(stagewire__v1__close__init)
        message.pointee.code = reason.code
        message.pointee.message = arena.string(Text.cut(reason.message, bytes: Limits.text))
        return message
    }

    private static func fill(_ limit: CreditLimit, _ arena: inout Arena) -> UnsafeMutablePointer<Stagewire__V1__Credit>
    {
        let message = arena.message(stagewire__v1__credit__init)
        message.pointee.number = limit.number
        message.pointee.records = limit.records
        message.pointee.bytes = limit.bytes
        return message
    }

    private static func fill(
        _ reason: DrainReason, _ deadline: UInt32, _ arena: inout Arena
    ) -> UnsafeMutablePointer<Stagewire__V1__Drain> {
        let message = arena.message(stagewire__v1__drain__init)
        message.pointee.reason = Stagewire__V1__DrainReason(rawValue: .init(reason.rawValue))
        message.pointee.deadline_ms = deadline
        return message
    }

    private static func fill(_ runs: [Run], _ arena: inout Arena) -> UnsafeMutablePointer<Stagewire__V1__Runs> {
        var list: [UnsafeMutablePointer<Stagewire__V1__Run>] = []
        for run in runs {
            let message = arena.message(stagewire__v1__run__init)
            message.pointee.number = run.number
            message.pointee.stage = arena.string(run.stage)
            message.pointee.version = arena.string(run.version)
            message.pointee.instance = arena.string(run.instance)
            message.pointee.language = arena.string(run.language)
            list.append(message)
        }
        let message = arena.message(stagewire__v1__runs__init)
        message.pointee.n_runs = list.count
        message.pointee.runs = arena.pointers(list)
        return message
    }

    private static func fill(
        _ refused: [Refusal], _ arena: inout Arena
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<Stagewire__V1__Refusal>?>? {
        var list: [UnsafeMutablePointer<Stagewire__V1__Refusal>] = []
        for refusal in refused {
            let error = arena.message(stagewire__v1__error__init)
            error.pointee.code = refusal.error.code
            error.pointee.message = arena.string(Text.cut(refusal.error.message, bytes: Limits.text))
            error.pointee.indefinite = refusal.error.indefinite ? 1 : 0
            let message = arena.message(stagewire__v1__refusal__init)
            message.pointee.id = refusal.id
            message.pointee.error = error
            list.append(message)
        }
        return arena.pointers(list)
    }
}

import StagewireModel

/// What the workers send, turn by turn, written before anything is measured: a source emits, transforms forward each record
/// in an outcome of its own, a sink accepts each in an outcome of its own.
struct Script {
    struct Turn {
        var emit: [UInt8]
        /// Of each transform that got something.
        var forwards: [(from: ConnectionID, frame: [UInt8])] = []
        var accepts: [UInt8] = []
        /// Of a consumer; empty in most turns.
        var credit: [UInt8]
    }

    private(set) var turns: [Turn] = []
    /// Records of one turn: what fits the 64 KiB that a batch of the C stages has, as in `bench.py`.
    let batch: Int
    let workers: Int
    var records: Int { turns.count * batch }

    /// A consumer grants credit every so many turns.
    private static let creditEvery = 10

    /// Plays it once, to learn which worker gets which deliveries.
    /// - Parameters:
    ///   - payload: bytes
    ///   - keys: of which the records have one each, in turn; 0: no header
    ///   - workers: of the transform
    init(turns count: Int, payload: Int, keys: Int, workers: Int) {
        batch = max(1, 64 * 1024 / (payload + 50))
        self.workers = workers
        var shell = Shell(workers: workers)
        for number in 0..<count {
            let outputs = (0..<batch).map { Self.output(number * batch + $0, payload: payload, keys: keys) }
            let limit = UInt64((number + 2 * Self.creditEvery) * batch)
            var turn = Turn(
                emit: Self.emit(outputs, number: number + 1),
                credit: number % Self.creditEvery == 0 ? Self.credit(records: limit, bytes: limit * 100_000) : [])
            shell.emit(turn)
            for worker in shell.transforms {
                let ids = shell.takeDelivered(to: worker)
                if !ids.isEmpty { turn.forwards.append((worker, Self.forwards(outputs, ids))) }
            }
            shell.forward(turn)
            turn.accepts = Self.accepts(shell.takeDelivered(to: Shell.sink))
            shell.accept(turn)
            turns.append(turn)
        }
    }

    private static func output(_ number: Int, payload: Int, keys: Int) -> [UInt8] {
        var output = Wire()
        if keys > 0 {
            var header = Wire()
            header.bytes(1, Array("bench.record".utf8))
            header.number(2, 1)
            let key = UInt32(number % keys)
            header.bytes(3, (0..<4).map { UInt8(truncatingIfNeeded: key >> (8 * $0)) })
            output.bytes(2, header.content)
        }
        output.bytes(3, [UInt8](repeating: 0x78, count: payload))
        return output.content
    }

    private static func emit(_ outputs: [[UInt8]], number: Int) -> [UInt8] {
        var emit = Wire()
        emit.bytes(1, Array("0".utf8))
        emit.number(2, UInt64(number))
        for output in outputs {
            var emission = Wire()
            emission.bytes(3, output)
            emit.bytes(3, emission.content)
        }
        return Wire.frame(10, emit.content)
    }

    private static func forwards(_ outputs: [[UInt8]], _ deliveries: [UInt64]) -> [UInt8] {
        var settle = Wire()
        for (index, id) in deliveries.enumerated() {
            var emission = Wire()
            emission.bytes(3, outputs[index])
            var outcome = Wire()
            outcome.number(1, id)
            outcome.number(3, 1)
            outcome.bytes(4, emission.content)
            settle.bytes(1, outcome.content)
        }
        return Wire.frame(9, settle.content)
    }

    private static func accepts(_ deliveries: [UInt64]) -> [UInt8] {
        var settle = Wire()
        for id in deliveries {
            var outcome = Wire()
            outcome.number(1, id)
            outcome.number(3, 1)
            settle.bytes(1, outcome.content)
        }
        return Wire.frame(9, settle.content)
    }

    private static func credit(records: UInt64, bytes: UInt64) -> [UInt8] {
        var credit = Wire()
        credit.number(2, records)
        credit.number(3, bytes)
        return Wire.frame(7, credit.content)
    }
}

/// Protobuf, written the plain way.
private struct Wire {
    private(set) var content: [UInt8] = []

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            content.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        content.append(UInt8(rest))
    }

    mutating func number(_ field: UInt64, _ value: UInt64) {
        varint(field << 3)
        varint(value)
    }

    mutating func bytes(_ field: UInt64, _ value: [UInt8]) {
        varint(field << 3 | 2)
        varint(UInt64(value.count))
        content += value
    }

    /// An envelope of this kind, without the length in front.
    static func frame(_ kind: UInt64, _ message: [UInt8]) -> [UInt8] {
        var envelope = Wire()
        envelope.number(1, UInt64(ProtocolVersion.current))
        envelope.bytes(kind, message)
        return envelope.content
    }
}

import Glibc
import StagewireModel
import StagewireWire

/// What a worker's outcome says, as the fake broker reads it.
struct SeenOutcome: Equatable {
    var deliveries: [UInt64] = []
    var kind: UInt64 = 0
    var emissions: [SeenEmission] = []
    var delayMS: UInt64 = 0
    var code: UInt64 = 0
    var message = ""
    var indefinite = false
}

struct SeenEmission: Equatable {
    var port: UInt64
    var parents: [UInt64]
    /// The encoded header.
    var header: [UInt8]
    var payload: [UInt8]
    var traceparent = ""
    /// As credit charges it, without the reserve.
    var size: Int

    var text: String { String(decoding: payload, as: UTF8.self) }
}

/// One connection, seen from the broker.
final class FakeSession: @unchecked Sendable {  // one thread plays it
    enum Message {
        case control(ControlMessage)
        case settle([SeenOutcome])
        case emit(partition: String, id: UInt64, emissions: [SeenEmission], checkpoint: String)
    }

    var hello = Hello()
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var greeting = Welcome()
    /// By port: what we granted and what was used; cumulative.
    private var granted: [UInt64: (records: UInt64, bytes: UInt64)] = [:]
    private var used: [UInt64: (records: UInt64, bytes: UInt64)] = [:]
    /// By input: what the worker granted, and what we used of it.
    private(set) var allowed: [UInt32: (records: UInt64, bytes: UInt64)] = [:]
    private var sent: [UInt32: (records: UInt64, bytes: UInt64)] = [:]
    private var nextDelivery: UInt64 = 1
    private var unsettled: Set<UInt64> = []
    private(set) var lastSettled: UInt64 = 0
    /// Settlement in any order, for windows.
    var holds = false
    /// Settlement in the order of a key's ids, as OR-2 has it, rather than in that of all ids.
    var isOrderedByKey = false
    private var keys: [UInt64: [UInt8]] = [:]
    /// Pings that a test answers itself; nil: they are answered as they come.
    var pings: [UInt64]?

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &timeout, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    deinit { hangUp() }

    func hangUp() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    // MARK: Sending

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw FakeBroker.Failure(description: "send: \(errno)") }
            rest = rest.dropFirst(count)
        }
    }

    func send(_ message: ControlMessage) throws { try send(FrameCodec.encode(message)) }

    func welcome(_ welcome: Welcome) throws {
        greeting = welcome
        holds = hello.required.contains(Feature.holds)
        try send(.welcome(welcome))
        for output in welcome.outputs {
            try grant(UInt64(output.number), records: welcome.maxStepRecords, bytes: welcome.maxStepBytes)
        }
    }

    func grant(_ port: UInt64, records: UInt64, bytes: UInt64) throws {
        let old = granted[port] ?? (0, 0)
        granted[port] = (old.records + records, old.bytes + bytes)
        try send(.credit(CreditLimit(number: UInt32(port), records: old.records + records, bytes: old.bytes + bytes)))
    }

    /// Delivers texts; returns the first id. Waits for the worker's credit.
    @discardableResult
    func deliver(_ texts: [String], input: UInt32 = 0, attempts: [UInt64] = []) throws -> UInt64 {
        try deliver(records: texts.map { text in Self.record(text) }, input: input, attempts: attempts)
    }

    @discardableResult
    func deliver(records: [[UInt8]], input: UInt32 = 0, attempts: [UInt64] = []) throws -> UInt64 {
        let first = nextDelivery
        for record in records { try charge(record, input) }
        try send(Self.deliver(records, first: first, input: input, attempts: attempts))
        for (index, record) in records.enumerated() {
            unsettled.insert(first + UInt64(index))
            keys[first + UInt64(index)] = try Self.key(of: record)
        }
        nextDelivery += UInt64(records.count)
        return first
    }

    static func deliver(_ records: [[UInt8]], first: UInt64, input: UInt32 = 0, attempts: [UInt64] = []) -> [UInt8] {
        MiniProto.frame(8) { deliver in
            deliver.varint(1, UInt64(input))
            deliver.varint(2, first)
            for attempt in attempts { deliver.varint(3, attempt) }
            for record in records { deliver.content(4, record) }
        }
    }

    private func charge(_ record: [UInt8], _ input: UInt32) throws {
        let old = sent[input] ?? (0, 0)
        let new = (records: old.records + 1, bytes: old.bytes + UInt64(record.count))
        while (allowed[input] ?? (0, 0)).records < new.records || (allowed[input] ?? (0, 0)).bytes < new.bytes {
            guard try receive() != nil else {
                throw FakeBroker.Failure(description: "the worker did not grant credit")
            }
        }
        sent[input] = new
    }

    /// A record as the broker keeps it.
    static func record(_ text: String, key: String = "", eventTime: Int64 = 0, id: UInt8 = 7) -> [UInt8] {
        var record = MiniProto()
        record.message(1) { lineage in
            lineage.content(1, [UInt8](repeating: id, count: 16))
            lineage.fixed64(6, 1_767_225_600_000_000)
            lineage.message(7) { $0.varint(1, 1) }
        }
        record.message(2) { header in
            if !key.isEmpty { header.content(3, Array(key.utf8)) }
            if eventTime != 0 { header.fixed64(4, UInt64(bitPattern: eventTime)) }
        }
        record.content(3, Array(text.utf8))
        return record.bytes
    }

    private static func key(of record: [UInt8]) throws -> [UInt8] {
        guard let header = try MiniFields(record).content(2) else { return [] }
        return try MiniFields(header).content(3) ?? []
    }

    // MARK: Receiving

    /// The next frame, judged; nil at the end of the stream.
    func receive() throws -> Message? {
        while let message = try receiveFrame() {
            switch message {
            case .control(.credit(let limit)):
                allowed[limit.number] = (limit.records, limit.bytes)
                return message
            case .control(.ping(let nonce)):
                guard pings == nil else {
                    pings?.append(nonce)
                    continue
                }
                try send(.pong(nonce: nonce))
            case .control: return message
            case .settle(let outcomes):
                for outcome in outcomes { try judge(outcome) }
                return message
            case .emit(_, _, let emissions, _):
                try charge(emissions)
                return message
            }
        }
        return nil
    }

    private func judge(_ outcome: SeenOutcome) throws {
        for id in outcome.deliveries {
            guard unsettled.remove(id) != nil else {
                throw FakeBroker.Failure(description: "delivery \(id) is settled twice, or was never made")
            }
            let isInOrder =
                isOrderedByKey
                ? !unsettled.contains { $0 < id && keys[$0] == keys[id] } : id == lastSettled + 1
            guard holds || isInOrder else {
                throw FakeBroker.Failure(description: "delivery \(id) is settled behind \(lastSettled)")
            }
            lastSettled = max(lastSettled, id)
        }
        try charge(outcome.emissions)
    }

    private func charge(_ emissions: [SeenEmission]) throws {
        for emission in emissions {
            let old = used[emission.port] ?? (0, 0)
            let new = (records: old.records + 1, bytes: old.bytes + UInt64(emission.size) + greeting.stampReserve)
            let limit = granted[emission.port] ?? (0, 0)
            guard new.records <= limit.records, new.bytes <= limit.bytes else {
                throw FakeBroker.Failure(description: "credit overshot on port \(emission.port): \(new) of \(limit)")
            }
            used[emission.port] = new
        }
    }

    /// Outcomes until `count` deliveries are settled.
    func outcomes(_ count: Int) throws -> [SeenOutcome] {
        var seen: [SeenOutcome] = []
        var settled = 0
        while settled < count {
            switch try receive() {
            case .settle(let outcomes)?:
                seen += outcomes
                settled += outcomes.reduce(0) { $0 + $1.deliveries.count }
            case .control(.credit)?, .control(.extend)?, .control(.pong)?: continue
            case let other: throw FakeBroker.Failure(description: "expected Settle, got \(String(describing: other))")
            }
        }
        return seen
    }

    /// Reads what the worker wrote together with the last Settle that was read: its Pings.
    func readPings() throws {
        try send(.ping(nonce: 99))
        while true {
            switch try receive() {
            case .control(.pong(nonce: 99))?: return
            case .control(.credit)?, .control(.extend)?: continue
            case let other: throw FakeBroker.Failure(description: "expected Pong, got \(String(describing: other))")
            }
        }
    }

    /// Whether anything comes within so long.
    func isTalking(withinMS milliseconds: Int32) throws -> Bool {
        if !buffer.isEmpty { return true }
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&waiting, 1, milliseconds) == 1
    }

    /// The next message that is not Credit.
    func next() throws -> Message? {
        while let message = try receive() {
            if case .control(.credit) = message { continue }
            return message
        }
        return nil
    }

    func nextControl() throws -> ControlMessage? {
        guard case .control(let message)? = try next() else { return nil }
        return message
    }

    func end(_ code: UInt32 = 0, _ message: String = "the end") throws {
        try send(.close(CloseReason(code: code, message: message)))
        while try receiveFrame() != nil {}
        close(descriptor)
    }

    /// The next frame, not judged.
    func receiveFrame() throws -> Message? {
        guard let frame = try nextFrame() else { return nil }
        switch try FrameCodec.decode(frame.span.bytes) {
        case .control(let message): return .control(message)
        case .settle(let range): return .settle(try Self.settle(Array(frame[range])))
        case .emit(let range): return try Self.emit(Array(frame[range]))
        case .deliver, .unknown: throw FakeBroker.Failure(description: "not for a broker")
        }
    }

    private func nextFrame() throws -> [UInt8]? {
        while true {
            if buffer.count >= 4 {
                let length = buffer[..<4].reduce(0) { $0 << 8 | Int($1) }
                if buffer.count >= 4 + length {
                    defer { buffer.removeFirst(4 + length) }
                    return Array(buffer[4..<(4 + length)])
                }
            }
            var chunk = [UInt8](repeating: 0, count: 65_536)
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count == 0 || (count < 0 && errno == ECONNRESET) { return nil }
            guard count > 0 else { throw FakeBroker.Failure(description: "nothing came in 10 s (\(errno))") }
            buffer += chunk[..<count]
        }
    }

    private static func settle(_ bytes: [UInt8]) throws -> [SeenOutcome] {
        try MiniFields(bytes).contents(1).map { bytes in
            let fields = try MiniFields(bytes)
            var outcome = SeenOutcome()
            for range in [fields] + (try fields.contents(7).map { try MiniFields($0) }) {
                let first = range.number(1) ?? 0
                outcome.deliveries += Array(first...(range.number(2) ?? first))
            }
            outcome.kind = fields.number(3) ?? 0
            outcome.delayMS = fields.number(5) ?? 0
            outcome.emissions = try fields.contents(4).map(emission)
            if let error = try fields.content(6).map({ try MiniFields($0) }) {
                outcome.code = error.number(1) ?? 0
                outcome.message = String(decoding: error.content(2) ?? [], as: UTF8.self)
                outcome.indefinite = error.number(3) == 1
            }
            return outcome
        }
    }

    private static func emit(_ bytes: [UInt8]) throws -> Message {
        let fields = try MiniFields(bytes)
        return .emit(
            partition: String(decoding: fields.content(1) ?? [], as: UTF8.self), id: fields.number(2) ?? 0,
            emissions: try fields.contents(3).map(emission),
            checkpoint: String(decoding: fields.content(4) ?? [], as: UTF8.self))
    }

    private static func emission(_ bytes: [UInt8]) throws -> SeenEmission {
        let fields = try MiniFields(bytes)
        guard let output = fields.content(3) else {
            throw FakeBroker.Failure(description: "an emission without output")
        }
        let record = try MiniFields(output)
        guard record.content(1) == nil else { throw FakeBroker.Failure(description: "an output with lineage") }
        var seen = SeenEmission(
            port: fields.number(1) ?? 0, parents: fields.content(2).map(MiniFields.packed) ?? [],
            header: record.content(2) ?? [], payload: record.content(3) ?? [], size: output.count)
        if let trace = fields.content(4) {
            seen.traceparent = String(decoding: try MiniFields(trace).content(1) ?? [], as: UTF8.self)
        }
        return seen
    }
}

import StagewireModel

/// A worker on one thread with blocking IO: what a small SDK does, minus comfort.
final class TestWorker {
    let peer: Peer
    let welcome: Welcome
    /// What may be sent on output 0, and what has been; cumulative.
    private var granted = (records: UInt64(0), bytes: UInt64(0))
    private var used = (records: UInt64(0), bytes: UInt64(0))
    /// What was granted to the broker on input 0.
    private var allowed = (records: UInt64(0), bytes: UInt64(0))
    private var delivered: [TestDelivery] = []
    private var committed: UInt64 = 0
    private(set) var isDraining = false
    private var closed: CloseReason?

    init(_ path: String, stage: String, instance: String = "", token: [UInt8] = []) throws {
        peer = try Peer(path)
        welcome = try peer.attach(stage, instance: instance, token: token)
    }

    struct Ended: Error { var reason: CloseReason? }

    /// Handles one message; throws at the end.
    private func step() throws {
        switch try peer.receive() {
        case .deliver(let delivery)?: delivered.append(delivery)
        case .control(.credit(let limit))?: granted = (limit.records, limit.bytes)
        case .control(.committed(_, let through, _))?: committed = through
        case .control(.drain)?: isDraining = true
        case .control(.close(let reason))?:
            closed = reason
            throw Ended(reason: reason)
        case .control?: break
        case nil: throw Ended(reason: nil)
        }
    }

    // MARK: Receiving

    /// Keeps room for so many further records and bytes.
    func allow(records: UInt64 = 4096, bytes: UInt64 = 4 * 1024 * 1024) throws {
        allowed = (allowed.records + records, allowed.bytes + bytes)
        try peer.send(.credit(CreditLimit(records: allowed.records, bytes: allowed.bytes)))
    }

    /// The next delivery; what it cost is granted again.
    func next() throws -> TestDelivery {
        while delivered.isEmpty { try step() }
        let delivery = delivered.removeFirst()
        try allow(records: UInt64(delivery.records.count), bytes: UInt64(delivery.charge))
        return delivery
    }

    func settle(first: UInt64, last: UInt64, kind: OutcomeKind = .accepted, error: String? = nil) throws {
        try peer.send(
            ProtoWriter.frame(9) { settle in
                settle.message(1) {
                    $0.varint(1, first)
                    $0.varint(2, last)
                    $0.varint(3, UInt64(kind.rawValue))
                    guard let error else { return }
                    $0.message(6) {
                        $0.varint(1, 1000)
                        $0.bytes(2, Array(error.utf8))
                    }
                }
            })
    }

    /// One outcome per record, each with the same record as its output, as far as credit goes in one frame.
    func forward(_ delivery: TestDelivery) throws {
        var index = 0
        while index < delivery.records.count {
            var settle = ProtoWriter()
            settle.varint(1, 1000)
            try settle.message(9) { message in
                repeat {
                    let record = delivery.records[index]
                    guard try admit(record, wait: message.bytes.isEmpty) else { return }
                    message.message(1) { outcome in
                        outcome.varint(1, delivery.first + UInt64(index))
                        outcome.varint(3, UInt64(OutcomeKind.accepted.rawValue))
                        outcome.message(4) { $0.bytes(3, record.output) }
                    }
                    index += 1
                } while index < delivery.records.count && message.bytes.count < 64 * 1024
            }
            try peer.send(ProtoWriter.prefixed(settle.bytes))
        }
    }

    /// Charges a record to the credit, waiting for it if need be.
    private func admit(_ record: TestRecord, wait: Bool) throws -> Bool {
        let charge = UInt64(record.output.count) + welcome.stampReserve
        while used.records + 1 > granted.records || used.bytes + charge > granted.bytes {
            guard wait else { return false }
            try step()
        }
        used = (used.records + 1, used.bytes + charge)
        return true
    }

    // MARK: Sources

    /// Claims a partition; returns the last emit id that the broker has.
    func claim(_ partition: String) throws -> UInt64 {
        try peer.send(.claim(partition: partition))
        while let message = try peer.receive() {
            switch message {
            case .control(.claimed(partition, _, let last, _)):
                committed = last
                return last
            case .control(.credit(let limit)): granted = (limit.records, limit.bytes)
            case .control(.close(let reason)): throw Ended(reason: reason)
            case .control, .deliver: break
            }
        }
        throw Ended(reason: nil)
    }

    func emit(_ partition: String, id: UInt64, _ records: [TestRecord]) throws {
        for record in records { _ = try admit(record, wait: true) }
        try peer.send(
            ProtoWriter.frame(10) { emit in
                emit.bytes(1, partition.utf8)
                emit.varint(2, id)
                for record in records {
                    emit.message(3) { emission in
                        emission.bytes(3, record.output)
                        if !record.trace.isEmpty { emission.bytes(4, record.trace) }
                    }
                }
            })
    }

    func awaitCommitted(through id: UInt64) throws {
        while committed < id { try step() }
    }

    /// Reads until Close and the end; returns the reason.
    func awaitClose() throws -> CloseReason? {
        do {
            while true { try step() }
        } catch let ended as Ended {
            return ended.reason
        }
    }
}

extension ProtoWriter {
    mutating func message(_ field: UInt64, _ build: (inout ProtoWriter) throws -> Void) throws {
        var inner = ProtoWriter()
        try build(&inner)
        bytes(field, inner.bytes)
    }
}

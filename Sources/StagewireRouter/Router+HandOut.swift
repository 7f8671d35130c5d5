import StagewireModel
import StagewireRecord

/// New records for a stage with one worker, many at a time. It does what `pick` and `hand` do for each, with the looks at
/// what stays the same taken out of the loop.
extension Router {
    /// Hands over as many records from the cursor on as it can. False: none; what comes next is for `deliverNew` to judge.
    mutating func handOutPlain(_ index: Int, upTo end: UInt64, at now: Moment) -> Bool {
        let stage = subscriptions[index].stage
        guard stages[stage].sessions.count == 1, !subscriptions[index].isConditional,
            !subscriptions[index].hasBacklog, subscriptions[index].parking.held.isEmpty,
            stages[stage].breaker.isClosed
        else { return false }
        let slot = stages[stage].sessions[0]
        guard sessions[slot].trial == .none else { return false }
        let count = Self.handOut(
            &subscriptions[index], &sessions[slot], slot: Int32(slot),
            from: streams[subscriptions[index].stream].log, upTo: end, limits: pipeline.limits, at: now)
        guard count > 0 else { return false }
        if sessions[slot].batch.isFull { flush(slot) }
        return true
    }

    private static func handOut(
        _ subscription: inout Subscription, _ session: inout Session, slot: Int32, from log: borrowing StreamLog,
        upTo end: UInt64, limits: borrowing PipelineLimits, at now: Moment
    ) -> Int {
        let input = subscription.input
        var room = HandOutRoom(session, input: input, limits: limits)
        let records = Int(min(UInt64(room.records), end - subscription.progress.cursor))
        guard records > 0 else { return 0 }
        let cursor = subscription.progress.cursor
        let ordering = subscription.ordering
        var pieces = Pieces()
        let count = session.deliveries.append(atMost: records) { places in
            subscription.lanes.withView { lanes in
                var count = 0
                log.walk(from: cursor, to: cursor + UInt64(records)) { record in
                    let bytes = record.recordLength
                    guard room.admits(bytes, wire: record.wireLength) else { return false }
                    let key = ordering.key(record.keyHash)
                    guard key == 0 || lanes.enter(key, slot: slot) else { return false }
                    room.take(bytes, wire: record.wireLength)
                    places.set(
                        count,
                        InFlight(
                            sequence: cursor &+ UInt64(truncatingIfNeeded: count), key: key, delivered: now.uptime,
                            attempt: 1, bytes: UInt32(truncatingIfNeeded: bytes),
                            input: UInt16(truncatingIfNeeded: input), state: .unsettled))
                    count &+= 1
                    if !pieces.extend(by: record) {
                        pieces.close(into: &session.batch, next: places.first, input: input)
                        pieces.begin(with: record)
                    }
                    return true
                }
                pieces.close(into: &session.batch, next: places.first, input: input)
                return count
            }
        }
        session.inputs[input].credit.spend(records: count, bytes: room.taken)
        session.inputs[input].unsettledRecords += count
        session.inputs[input].unsettledBytes += room.taken
        session.unwritten += room.wire
        subscription.progress.advance(by: count)
        subscription.inFlight += count
        subscription.counters.delivered += UInt64(count)
        return count
    }
}

/// What one session can take now, counted down: the conditions of `hasRoom`, and those of one Deliver.
private struct HandOutRoom {
    /// Records at most.
    let records: Int
    /// Bytes of records, and with tag and length, that were taken.
    private(set) var taken = 0
    private(set) var wire = 0

    private let unsettled: Int
    private let bytesLeft: Int
    private let credit: Int
    /// Bytes that may be taken before the next record is one too many: of unwritten output, of a Deliver.
    private let before: Int
    /// Bytes of a Deliver, the record included; the first one of it may have any size.
    private let frame: Int
    private let isFirst: Bool

    @inline(__always)
    init(_ session: borrowing Session, input: Int, limits: borrowing PipelineLimits) {
        let state = session.inputs[input]
        let batch = session.batch.count
        records = max(
            0,
            min(
                limits.unsettledRecords - state.unsettledRecords, Int(clamping: state.credit.leftRecords),
                Limits.deliverRecords - batch))
        unsettled = state.unsettledRecords
        bytesLeft = limits.unsettledBytes - state.unsettledBytes
        credit = Int(clamping: state.credit.leftBytes)
        before = min(Limits.unwritten - session.unwritten, Limits.deliverTarget - session.batch.bytes)
        frame = session.maxFrame - Limits.frameOverhead - session.batch.bytes
        isFirst = batch == 0
    }

    @inline(__always)
    func admits(_ bytes: Int, wire length: Int) -> Bool {
        guard wire < before, taken &+ bytes <= credit else { return false }
        guard taken &+ bytes <= bytesLeft || unsettled == 0 && taken == 0 else { return false }
        return wire &+ length <= frame || isFirst && wire == 0
    }

    @inline(__always)
    mutating func take(_ bytes: Int, wire length: Int) {
        taken &+= bytes
        wire &+= length
    }
}

/// Records that lie one behind the other, until one does not.
private struct Pieces {
    private var start: UnsafeRawPointer?
    private var length = 0
    private var records = 0
    /// Of those in front of it.
    private var closed = 0

    @inline(__always)
    mutating func extend(by record: RecordRef) -> Bool {
        guard let start, start + length == record.start else { return false }
        length &+= record.wireLength
        records &+= 1
        return true
    }

    @inline(__always)
    mutating func begin(with record: RecordRef) {
        start = record.start
        length = record.wireLength
        records = 1
    }

    /// - Parameter next: the id of the first record of all.
    mutating func close(into batch: inout DeliveryBatch, next: UInt64, input: Int) {
        guard let start else { return }
        batch.add(
            firstAttempts: records, UnsafeRawBufferPointer(start: start, count: length), id: next + UInt64(closed),
            input: input)
        closed += records
        self.start = nil
    }
}

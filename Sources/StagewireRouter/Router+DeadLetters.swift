import StagewireModel
import StagewireRecord

/// What a person does with dead letters. A letter that is retried re-enters as a new arrival, only in the
/// subscription where it failed: with all attempts before it, behind what has been looked at of its key and before
/// what has not.
extension Router {
    /// A stage's dead letters, oldest first for each input.
    public func deadLetters(stage: Int) -> [DeadLetter] {
        stages[stage].subscriptions.flatMap { Array(subscriptions[$0].dead.letters) }
    }

    /// Whether retried letters would still find a worker: not once their stage has ended or the pipeline stops.
    public func takesDeadLetters(stage: Int) -> Bool { stages[stage].phase != .ended && !isShuttingDown }

    /// Has letters delivered again, as soon as the parking has room for them: the next `pump` begins.
    /// - Precondition: `takesDeadLetters(stage:)`
    /// - Returns: how many were asked for the first time
    public mutating func retryDeadLetters(stage: Int, _ numbers: [UInt64]) -> Int {
        precondition(takesDeadLetters(stage: stage), "only a stage that goes on takes its dead letters back")
        let sorted = numbers.sorted()
        var count = 0
        for subscription in stages[stage].subscriptions {
            let asked = subscriptions[subscription].dead.requestRetry(of: sorted)
            for number in asked { open.changes.asked(subscription, number: number) }
            if !asked.isEmpty { touch(stage) }
            count += asked.count
        }
        return count
    }

    /// Makes another record of a letter's, which is its parent then; the letter stays a letter.
    /// - Parameter output: an encoded `Record` without lineage, what a worker would emit
    /// - Returns: the id of the new one; `nil`: there is no such letter, or its retry was asked for
    /// - Throws: what a worker would be told that emits it
    public mutating func editDeadLetter(stage: Int, _ number: UInt64, output: RawSpan) throws(CloseReason) -> RecordID?
    {
        for subscription in stages[stage].subscriptions {
            guard let letter = subscriptions[subscription].dead.letters.first(where: { $0.number == number }) else {
                continue
            }
            guard !letter.isRetrying else { return nil }
            let most = pipeline.limits.maxRecord - stampReserve
            guard output.byteCount <= most else {
                throw CloseReason(
                    .outputTooLarge,
                    "the record has \(output.byteCount) bytes: at most \(most) (max_record less the broker's stamp)")
            }
            let record = try RecordBlock.edited(letter.record.ref, output: output)
            let wasFull = subscriptions[subscription].dead.isFull
            subscriptions[subscription].dead.replace(number, with: record)
            open.changes.edited(subscription, number: number, record: record.ref)
            touch(stage)
            sayResumed(subscription, wasFull: wasFull)
            return withExtendedLifetime(record) { record.ref.id }
        }
        return nil
    }

    /// Removes letters for good. Returns how many there were.
    public mutating func dropDeadLetters(stage: Int, _ numbers: [UInt64]) -> Int {
        let sorted = numbers.sorted()
        var count = 0
        for subscription in stages[stage].subscriptions {
            let wasFull = subscriptions[subscription].dead.isFull
            let discarded = subscriptions[subscription].dead.discard(sorted)
            for number in discarded { open.changes.discarded(subscription, number: number) }
            if !discarded.isEmpty { touch(stage) }
            count += discarded.count
            sayResumed(subscription, wasFull: wasFull)
        }
        return count
    }

    /// Moves letters whose retry was asked for into the parking, as far as that has room.
    mutating func revive(_ subscription: Int) {
        var places = freePlaces(subscription)
        var bytes = subscriptions[subscription].parking.byteLimit - subscriptions[subscription].parking.bytes
        let wasFull = subscriptions[subscription].dead.isFull
        let letters = subscriptions[subscription].dead.takeRetrying { letter in
            places -= 1
            bytes -= letter.record.ref.wireLength
            return places >= 0 && bytes >= 0
        }
        for letter in letters {
            open.changes.revived(subscription, number: letter.number, as: arrive(letter.record, subscription))
            touch(subscriptions[subscription].stage)
        }
        sayResumed(subscription, wasFull: wasFull)
    }

    /// How many letters can come back now, by the parking's records and by the numbers that tell arrivals apart.
    private func freePlaces(_ index: Int) -> Int {
        let subscription = subscriptions[index]
        let most = min(subscription.parking.recordLimit - subscription.parking.count, subscription.dead.retrying)
        var count = 0
        // Numbers come round again; then the one that had this one, at this very place, has to be done with.
        while count < min(most, Arrival.numbers),
            subscription.parking[arrival(index, offset: count)] == nil
        { count += 1 }
        return count
    }

    private func arrival(_ subscription: Int, offset: Int = 0) -> UInt64 {
        Arrival.sequence(
            before: subscriptions[subscription].progress.cursor,
            number: subscriptions[subscription].arrivals + UInt64(offset))
    }

    /// Returns the arrival's sequence.
    private mutating func arrive(_ block: RecordBlock, _ subscription: Int) -> UInt64 {
        let sequence = arrival(subscription)
        subscriptions[subscription].arrivals += 1
        let key = subscriptions[subscription].orderingKey(block.ref.keyHash)
        subscriptions[subscription].parking.insert(
            ParkedRecord(state: .waiting, key: key, attempt: 1, firstAttempt: 0, block: block), at: sequence)
        lineUp(sequence, key: key, due: 0, subscription)
        return sequence
    }

    private mutating func sayResumed(_ subscription: Int, wasFull: Bool) {
        guard wasFull, !subscriptions[subscription].dead.isFull else { return }
        effects.append(
            .log(Notice(.info, stage: subscriptions[subscription].stage, "goes on: its dead letters have room again")))
    }
}

/// The sequences of retried dead letters. They are not in the stream (any more), yet have a place in its order:
/// before the record at which the subscription's cursor stood when they came back.
///
///     1 | that sequence, 51 bits | consecutive number, 12 bits
enum Arrival {
    private static let flag: UInt64 = 1 << 63
    private static let numberBits: UInt64 = 12
    static var numbers: Int { 1 << Int(numberBits) }

    static func sequence(before cursor: UInt64, number: UInt64) -> UInt64 {
        precondition(cursor < 1 << 51, "at a million records a second that takes 71 years")
        return flag | cursor << numberBits | number & (1 << numberBits - 1)
    }

    /// Whether the first of two sequences, each of a stream or of an arrival, comes before the second one.
    static func precedes(_ first: UInt64, _ second: UInt64) -> Bool {
        let (one, other) = (place(first), place(second))
        guard one == other else { return one < other }
        // Of an arrival and the record before which it came, the arrival goes first.
        return isArrival(first) == isArrival(second) ? first < second : isArrival(first)
    }

    static func isArrival(_ sequence: UInt64) -> Bool { sequence & flag != 0 }

    private static func place(_ sequence: UInt64) -> UInt64 {
        isArrival(sequence) ? (sequence & ~flag) >> numberBits : sequence
    }
}

import StagewireModel
import StagewireRecord

/// What a person does with dead letters. A letter that is retried re-enters as a new arrival, only in the
/// subscription where it failed: behind what waits for its key, with all attempts before it. Its place in the order
/// of its key is lost, so it never holds its key back again; it still goes to the worker that has the key, and two of
/// them keep their order.
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
            count += subscriptions[subscription].dead.requestRetry(of: sorted)
        }
        return count
    }

    /// Removes letters for good. Returns how many there were.
    public mutating func dropDeadLetters(stage: Int, _ numbers: [UInt64]) -> Int {
        let sorted = numbers.sorted()
        var count = 0
        for subscription in stages[stage].subscriptions {
            let wasFull = subscriptions[subscription].dead.isFull
            count += subscriptions[subscription].dead.discard(sorted)
            sayResumed(subscription, wasFull: wasFull)
        }
        return count
    }

    /// Moves letters whose retry was asked for into the parking, as far as that has room.
    mutating func revive(_ subscription: Int) {
        var records = subscriptions[subscription].parking.recordLimit - subscriptions[subscription].parking.count
        var bytes = subscriptions[subscription].parking.byteLimit - subscriptions[subscription].parking.bytes
        let wasFull = subscriptions[subscription].dead.isFull
        let letters = subscriptions[subscription].dead.takeRetrying { letter in
            records -= 1
            bytes -= letter.record.ref.wireLength
            return records >= 0 && bytes >= 0
        }
        for letter in letters { arrive(letter.record, subscription) }
        sayResumed(subscription, wasFull: wasFull)
    }

    private mutating func arrive(_ block: RecordBlock, _ subscription: Int) {
        let sequence = Self.firstArrival + subscriptions[subscription].arrivals
        subscriptions[subscription].arrivals += 1
        let key = subscriptions[subscription].orderingKey(block.ref.keyHash)
        subscriptions[subscription].parking.insert(
            ParkedRecord(state: .waiting, key: key, attempt: 1, firstAttempt: 0, block: block), at: sequence)
        guard key != 0 else { return subscriptions[subscription].parking.ready.append(.record(sequence)) }
        let isHead = subscriptions[subscription].parking.enqueue(sequence, key: key, due: 0)
        if isHead { subscriptions[subscription].parking.makeReady(key: key) }
    }

    /// Sequences of arrivals lie behind all those of streams, which count from 0.
    static var firstArrival: UInt64 { 1 << 63 }

    private mutating func sayResumed(_ subscription: Int, wasFull: Bool) {
        guard wasFull, !subscriptions[subscription].dead.isFull else { return }
        effects.append(
            .log(Notice(.info, stage: subscriptions[subscription].stage, "goes on: its dead letters have room again")))
    }
}

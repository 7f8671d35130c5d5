import DequeModule
import StagewireModel
import StagewireRecord

/// A record given up on, kept with everything a person needs to judge it.
public struct DeadLetter {
    /// Consecutive per subscription, from 1.
    public var number: UInt64
    /// The record with its lineage.
    public var record: RecordBlock
    public var attempts: UInt32
    /// Why: `rejected`, `attemptsExhausted`, `expired`, `crashed`, or the refusal of an output.
    public var reason: Code
    /// The worker's last error, or the broker's.
    public var error: DeliveryError
    /// Microseconds since 1970.
    public var time: UInt64
}

/// One subscription's dead letters.
struct DeadLetters {
    let recordLimit: Int
    let byteLimit: Int
    private(set) var letters: Deque<DeadLetter> = []
    private(set) var bytes = 0
    private(set) var total: UInt64 = 0

    init(records: Int, bytes: Int) {
        recordLimit = records
        byteLimit = bytes
    }

    /// A full one pauses its stage. What is in flight at that moment may still be added: the excess is bounded by
    /// what the stage's sessions may hold.
    var isFull: Bool { letters.count >= recordLimit || bytes >= byteLimit }

    mutating func add(_ record: RecordBlock, attempts: UInt32, reason: Code, error: DeliveryError, time: UInt64) {
        total += 1
        bytes += record.ref.wireLength
        letters.append(
            DeadLetter(
                number: total, record: record, attempts: attempts, reason: reason, error: error, time: time))
    }
}

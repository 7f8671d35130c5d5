import DequeModule
import StagewireModel
import StagewireRecord

/// A record given up on, kept with everything a person needs to judge it.
public struct DeadLetter {
    /// Consecutive per stage, from 1.
    public var number: UInt64
    /// Which of the stage's inputs it came from.
    public var input: Int
    /// The record with its lineage.
    public var record: RecordBlock
    public var attempts: UInt32
    /// Why: `rejected`, `attemptsExhausted`, `expired`, `crashed`, or the refusal of an output.
    public var reason: Code
    /// The worker's last error, or the broker's.
    public var error: DeliveryError
    /// Microseconds since 1970.
    public var time: UInt64
    /// A retry was asked for and waits for room in the parking.
    public internal(set) var isRetrying = false

    /// What it costs: the record's bytes and the error's text.
    package var bytes: Int { record.ref.wireLength + error.message.utf8.count }
}

/// One subscription's dead letters.
///
/// Invariant: `total == revived + discarded + count`.
struct DeadLetters {
    let recordLimit: Int
    let byteLimit: Int
    private(set) var letters: Deque<DeadLetter> = []
    private(set) var bytes = 0
    /// Ever given up on.
    private(set) var total: UInt64 = 0
    /// Retried by a person.
    private(set) var revived: UInt64 = 0
    /// Dropped by a person.
    private(set) var discarded: UInt64 = 0
    /// Letters whose retry was asked for.
    private(set) var retrying = 0

    init(records: Int, bytes: Int) {
        recordLimit = records
        byteLimit = bytes
    }

    var count: Int { letters.count }

    /// A full one pauses its stage. What is in flight at that moment may still be added, and while letters wait for
    /// their retry, what is parked: the excess is bounded by both.
    var isFull: Bool { letters.count >= recordLimit || bytes >= byteLimit }

    mutating func add(_ letter: DeadLetter) {
        total += 1
        bytes += letter.bytes
        letters.append(letter)
    }

    /// Removes the letters with these numbers, ascending. Returns those that there were.
    mutating func discard(_ numbers: [UInt64]) -> [UInt64] {
        var found: [UInt64] = []
        letters.removeAll { letter in
            guard numbers.contains(sorted: letter.number) else { return false }
            bytes -= letter.bytes
            if letter.isRetrying { retrying -= 1 }
            found.append(letter.number)
            return true
        }
        discarded += UInt64(found.count)
        return found
    }

    /// Gives a letter another record.
    mutating func replace(_ number: UInt64, with record: RecordBlock) {
        guard let index = letters.firstIndex(where: { $0.number == number }) else { return }
        bytes -= letters[index].bytes
        letters[index].record = record
        bytes += letters[index].bytes
    }

    /// Marks the letters with these numbers, ascending, to be retried. Returns those that were not before.
    mutating func requestRetry(of numbers: [UInt64]) -> [UInt64] {
        var found: [UInt64] = []
        for index in letters.indices where !letters[index].isRetrying {
            guard numbers.contains(sorted: letters[index].number) else { continue }
            letters[index].isRetrying = true
            retrying += 1
            found.append(letters[index].number)
        }
        return found
    }

    /// Takes out marked letters, oldest first, as long as `hasRoom` says so.
    mutating func takeRetrying(while hasRoom: (DeadLetter) -> Bool) -> [DeadLetter] {
        var taken: [DeadLetter] = []
        var isOpen = true
        letters.removeAll { letter in
            guard letter.isRetrying, isOpen else { return false }
            isOpen = hasRoom(letter)
            guard isOpen else { return false }
            taken.append(letter)
            bytes -= letter.bytes
            return true
        }
        retrying -= taken.count
        revived += UInt64(taken.count)
        return taken
    }
}

extension [UInt64] {
    /// Whether an ascending array has this number.
    func contains(sorted number: UInt64) -> Bool {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low < count && self[low] == number
    }
}

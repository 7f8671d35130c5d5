import DequeModule

/// How far a subscription is with its stream: which sequences it no longer needs there.
///
/// `low` is the first sequence still needed, `cursor` the next one to look at. In between, a mark says whether
/// a record is done with (settled, skipped, dropped, or copied into the parking). The stream may release
/// everything below the lowest `low` of its subscriptions.
///
///     ... done | 0 1 1 0 1 | not looked at ...
///              low         cursor              the 1s are `stranded`: done, but kept because of the 0 at low
///
/// Marks are kept as far as the last 1; behind it all are 0. So a subscription whose records are settled in order has none.
///
/// Invariant: the mark at `low` is 0, or `low == cursor`; `low + marks.count <= cursor`.
struct Progress {
    private var marks = Deque<UInt8>()
    private(set) var low: UInt64
    private(set) var cursor: UInt64
    /// Records between `low` and `cursor` that are done with.
    private(set) var stranded = 0

    init(at sequence: UInt64) {
        low = sequence
        cursor = sequence
    }

    /// Moves the cursor over the next record, which is now needed until `finish`.
    mutating func advance() { cursor += 1 }

    /// Moves the cursor over so many records, which are all needed.
    mutating func advance(by count: Int) { cursor += UInt64(count) }

    /// Moves the cursor over the next record, which is not needed.
    mutating func skip() {
        cursor += 1
        if low == cursor - 1 {
            low += 1
        } else {
            mark(Int(cursor - 1 - low))
        }
    }

    func isNeeded(_ sequence: UInt64) -> Bool {
        guard sequence >= low else { return false }
        let offset = sequence - low
        return offset >= UInt64(marks.count) || marks[Int(offset)] == 0
    }

    /// The record is not needed in the stream any more.
    mutating func finish(_ sequence: UInt64) {
        precondition(sequence >= low && sequence < cursor, "only a record that was looked at can be done with")
        guard sequence == low else { return mark(Int(sequence - low)) }
        low += 1
        guard !marks.isEmpty else { return }
        marks.removeFirst()
        while marks.first == 1 {
            marks.removeFirst()
            low += 1
            stranded -= 1
        }
    }

    /// The same for consecutive ones.
    mutating func finish(_ sequences: Range<UInt64>) {
        if sequences.lowerBound == low, marks.isEmpty {
            precondition(sequences.upperBound <= cursor, "only records that were looked at can be done with")
            low = sequences.upperBound
        } else {
            for sequence in sequences { finish(sequence) }
        }
    }

    private mutating func mark(_ offset: Int) {
        while marks.count <= offset { marks.append(0) }
        precondition(marks[offset] == 0, "a record is done with once")
        marks[offset] = 1
        stranded += 1
    }
}

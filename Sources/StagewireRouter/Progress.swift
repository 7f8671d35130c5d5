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
/// Invariant: the mark at `low` is 0, or `low == cursor`.
struct Progress {
    private var marks = Deque<UInt8>()
    private(set) var low: UInt64
    /// Records between `low` and `cursor` that are done with.
    private(set) var stranded = 0

    var cursor: UInt64 { low + UInt64(marks.count) }

    init(at sequence: UInt64) { low = sequence }

    /// Moves the cursor over the next record, which is now needed until `finish`.
    mutating func advance() { marks.append(0) }

    /// Moves the cursor over the next record, which is not needed.
    mutating func skip() {
        if marks.isEmpty {
            low += 1
        } else {
            marks.append(1)
            stranded += 1
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
        let offset = Int(sequence - low)
        guard offset == 0 else {
            precondition(marks[offset] == 0, "a record is done with once")
            marks[offset] = 1
            stranded += 1
            return
        }
        marks.removeFirst()
        low += 1
        while marks.first == 1 {
            marks.removeFirst()
            low += 1
            stranded -= 1
        }
    }
}

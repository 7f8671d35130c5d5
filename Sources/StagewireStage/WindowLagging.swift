import StagewireModel

/// Lanes that lag: until what was given back of them has come again, the broker delivers nothing else of them,
/// while the others move the watermark. So such a lane is measured by its own progress.
struct WindowLagging {
    /// What the broker keeps in order: the records of an input's key, or all of an input.
    struct Lane: Hashable {
        var input: UInt32
        var key: [UInt8]

        /// nil: the record's input has no order, or the record no key.
        init?(_ record: Record) {
            input = record.input.number
            switch record.input.ordering {
            case .none: return nil
            case .key: key = record.key
            case .total:
                key = []
                return
            }
            guard !key.isEmpty else { return nil }
        }
    }

    /// Deliveries of a lane, all void, without the bounds.
    struct Void {
        var after: UInt64
        var before = UInt64.max

        func contains(_ delivery: UInt64) -> Bool { after < delivery && delivery < before }
    }

    private struct Lag {
        /// How far the lane has come, microseconds.
        var behind: Int64
        /// What was delivered behind this one, until it comes again, is void (OR-3).
        var first = UInt64.max
        /// Ids of what was given back. Others may come before it that were under way, and are void.
        var given: Set<[UInt8]> = []
        /// Some of it has come again.
        var isBack = false
        /// Then the lane is given up: what it waits for is a dead letter, with another worker, or was the last.
        var until: UInt64
    }

    /// Longer than the jitter of the longest backoff (20 percent of 30 s, either way) can keep records apart.
    static let patience: UInt64 = 15 * Uptime.second

    private var lanes: [Lane: Lag] = [:]

    /// The record's lane waits for it; it was in a window that began at `start`.
    mutating func giveBack(_ record: Record, from start: Int64, now: UInt64) {
        guard let lane = Lane(record) else { return }
        var lag = lanes[lane] ?? Lag(behind: start, until: 0)
        if lag.isBack { lag = Lag(behind: lag.behind, until: 0) }
        lag.behind = min(lag.behind, start)
        lag.first = min(lag.first, record.delivery)
        lag.given.insert(record.identity)
        lag.until = now + Self.patience
        lanes[lane] = lag
    }

    /// A record is here again. Returns what of its lane is void, when it is the first of what was given back.
    mutating func comeBack(_ record: Record) -> (Lane, Void)? {
        guard let lane = Lane(record), let lag = lanes[lane], !lag.isBack, lag.given.contains(record.identity) else {
            return nil
        }
        lanes[lane]?.isBack = true
        return (lane, Void(after: lag.first, before: record.delivery))
    }

    /// Another worker gave the record back, or this one so long ago that the lane was given up.
    mutating func fallBack(_ record: Record, to start: Int64, now: UInt64) {
        guard let lane = Lane(record), lanes[lane] == nil else { return }
        lanes[lane] = Lag(behind: start, isBack: true, until: now + Self.patience)
    }

    /// Moves the record's lane. It has caught up when it is where the watermark is.
    mutating func progress(_ record: Record, to reached: Int64, watermark: Int64, now: UInt64) {
        guard !lanes.isEmpty, let lane = Lane(record), var lag = lanes[lane], lag.isBack else { return }
        lag.behind = max(lag.behind, reached)
        lag.until = now + Self.patience
        lanes[lane] = lag.behind < watermark ? lag : nil
    }

    /// Forgets a lane that has nothing to catch up with.
    mutating func forget(_ lane: Lane) { lanes[lane] = nil }

    /// How far those lanes have come that may have records for a window of that key (nil: of any); nil when none
    /// of them lags.
    func behind(key: [UInt8]?) -> Int64? {
        var least: Int64?
        for (lane, lag) in lanes where key == nil || lane.key.isEmpty || lane.key == key {
            least = min(least ?? .max, lag.behind)
        }
        return least
    }

    /// Gives up the lanes for which it has been waited long enough.
    mutating func expire(_ now: UInt64) {
        guard let deadline, deadline <= now else { return }
        lanes = lanes.filter { now < $0.value.until }
    }

    var deadline: UInt64? { lanes.values.lazy.map(\.until).min() }
}

extension Record {
    /// The id that the broker gave it; empty for records that no broker made.
    var identity: [UInt8] {
        var id = 0..<0
        FieldWalk.each(batch.bytes, lineageRange) { field, _ in
            if field.number == 1, field.type == .bytes { id = field.value }
        }
        return Array(batch.bytes[id])
    }
}

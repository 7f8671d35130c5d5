import StagewireModel

/// Lanes that lag: until what was given back of them has come again, the broker delivers nothing else of them,
/// while the others move the watermark. So such a lane is measured by its own progress.
struct WindowLagging {
    private struct Lag {
        /// How far the lane has come, microseconds.
        var behind: Int64
        /// Then the lane is given up: what it waits for is a dead letter, with another worker, or was the last.
        var until: UInt64
    }

    /// Longer than the jitter of the longest backoff (20 percent of 30 s, either way) can keep records apart.
    static let patience: UInt64 = 15 * Uptime.second

    private var lanes: [OrderLane: Lag] = [:]

    /// The lane waits for what it gave back, which was in a window that began at `start`.
    mutating func giveBack(_ lane: OrderLane, from start: Int64, now: UInt64) {
        let behind = min(lanes[lane]?.behind ?? start, start)
        lanes[lane] = Lag(behind: behind, until: now + Self.patience)
    }

    /// Another worker gave the record back, or this one so long ago that the lane was given up.
    mutating func fallBack(_ record: Record, to start: Int64, now: UInt64) {
        guard let lane = OrderLane(record), lanes[lane] == nil else { return }
        lanes[lane] = Lag(behind: start, until: now + Self.patience)
    }

    /// Moves the record's lane. It has caught up when it is where the watermark is.
    mutating func progress(_ record: Record, to reached: Int64, watermark: Int64, now: UInt64) {
        guard !lanes.isEmpty, let lane = OrderLane(record), var lag = lanes[lane] else { return }
        lag.behind = max(lag.behind, reached)
        lag.until = now + Self.patience
        lanes[lane] = lag.behind < watermark ? lag : nil
    }

    /// Forgets the record's lane, which has nothing to catch up with.
    mutating func forget(_ record: Record) {
        guard !lanes.isEmpty, let lane = OrderLane(record) else { return }
        lanes[lane] = nil
    }

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

import StagewireModel

/// Windows that are tried again.
extension WindowSorter {
    /// What is remembered of records that may have gone to another worker, at most.
    private static let mostReturning = 65_536

    /// The window's records come again, and are not late then. Returns what has left other windows, ascending: what is
    /// held of a lane behind a record given back is void (OR-3), and comes again too.
    mutating func giveBack(_ window: Window, now: UInt64) -> [Record] {
        var first: [OrderLane: UInt64] = [:]
        for record in window.records {
            expect(record)
            guard let lane = OrderLane(record) else { continue }
            lagging.giveBack(lane, from: window.span?.lowerBound ?? .min, now: now)
            first[lane] = min(first[lane] ?? .max, record.delivery)
        }
        let void = first.isEmpty ? [] : removeLater(than: first)
        for record in void { expect(record) }
        return void
    }

    /// Whether the record was here before; counted off then.
    mutating func isReturning(_ record: Record, _ slot: Slot) -> Bool {
        guard record.attempt > 1 || !returning.isEmpty else { return false }
        let isKnown = returning.remove(record.identity) != nil
        guard isKnown || record.attempt > 1 else { return false }
        if isKnown, let count = awaited[slot] { awaited[slot] = max(0, count - 1) }
        return true
    }

    /// The record comes again: given back, or void.
    mutating func expect(_ record: Record) {
        if returning.count >= Self.mostReturning {
            returning = []
            awaited = [:]
        }
        // Without an identity it could not be told from others when it comes.
        guard !record.identity.isEmpty, returning.insert(record.identity).inserted else { return }
        if let size = bounds.eventTime?.size { awaited[slot(of: record, size: size), default: 0] += 1 }
    }

    private mutating func removeLater(than first: [OrderLane: UInt64]) -> [Record] {
        let isVoid: (Record) -> Bool = { record in
            OrderLane(record).flatMap { first[$0] }.map { $0 < record.delivery } ?? false
        }
        var gone: [Record] = []
        for index in ended.indices {
            gone += ended[index].records.filter(isVoid)
            ended[index].records.removeAll(where: isVoid)
        }
        ended.removeAll { $0.records.isEmpty }
        for index in open.indices {
            let left = open[index].window.records.filter(isVoid)
            guard !left.isEmpty else { continue }
            open[index].window.records.removeAll(where: isVoid)
            open[index].bytes -= left.reduce(0) { $0 + $1.payloadSize }
            gone += left
        }
        open.removeAll { $0.window.records.isEmpty }
        index()
        return gone.sorted { $0.delivery < $1.delivery }
    }
}

import StagewireModel

/// Windows that are tried again.
extension WindowSorter {
    /// What is remembered of records that may have gone to another worker, at most.
    private static let mostReturning = 65_536

    /// The window's records come again, and are not late then. What is held of their lanes behind them is void
    /// (OR-3), and comes again too: see `takeVoid`.
    mutating func giveBack(_ window: Window, now: UInt64) {
        var void: [WindowLagging.Lane: WindowLagging.Void] = [:]
        for record in window.records {
            expect(record)
            guard let lane = WindowLagging.Lane(record) else { continue }
            lagging.giveBack(record, from: window.span?.lowerBound ?? .min, now: now)
            void[lane] = .init(after: min(void[lane]?.after ?? .max, record.delivery))
        }
        drop(void)
    }

    /// Void deliveries that have left their windows. They still have to be settled.
    mutating func takeVoid() -> [Record] {
        defer { void = [] }
        return void
    }

    /// Whether the record was here before; counted off then. Void is what was under way when its lane was given
    /// back, and comes again behind this record.
    mutating func isReturning(_ record: Record, _ slot: Slot, now: UInt64) -> Bool {
        guard record.attempt > 1 || !returning.isEmpty else { return false }
        let isKnown = returning.remove(record.identity) != nil
        guard isKnown || record.attempt > 1 else { return false }
        if isKnown, let count = awaited[slot] { awaited[slot] = max(0, count - 1) }
        if let (lane, range) = lagging.comeBack(record) {
            drop([lane: range])
            if bounds.eventTime == nil { lagging.forget(lane) }
        }
        return true
    }

    private mutating func expect(_ record: Record) {
        if returning.count >= Self.mostReturning {
            returning = []
            awaited = [:]
        }
        // Without an identity it could not be told from others when it comes.
        guard !record.identity.isEmpty, returning.insert(record.identity).inserted else { return }
        if let size = bounds.eventTime?.size { awaited[slot(of: record, size: size), default: 0] += 1 }
    }

    private mutating func drop(_ ranges: [WindowLagging.Lane: WindowLagging.Void]) {
        let isVoid: (Record) -> Bool = { record in
            WindowLagging.Lane(record).flatMap { ranges[$0] }?.contains(record.delivery) ?? false
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
        for record in gone { expect(record) }
        void += gone
    }
}

import StagewireJournal
import StagewireLedger

extension JournalStore {
    /// Finds where a replay begins, and keeps everything from there on until the router has gone back. Blocks.
    /// - Throws: `ReplayRefusal`, or what the disk has against it
    func prepareReplay(_ subscription: Int, from start: ReplayStart) throws -> ReplayRange {
        // What was removed between two looks is not there for the second one either.
        for _ in 0..<3 {
            let ledger = state.withLock { $0.ledger }
            var fetcher = EntryFetcher(disk)
            let range: ReplayRange
            do {
                range = try ledger.replay(subscription, from: start) { try fetcher.fetch($0, $1, $2) }
            } catch let error as JournalError where error.isGone { continue }
            if state.withLock({ $0.ledger.pin(subscription: subscription, range.from, floor: $0.pending) }) {
                return range
            }
        }
        throw ReplayRefusal(what: "the records are being removed right now", hint: "try again, from a later one")
    }

    func dropReplay(_ subscription: Int, from sequence: UInt64) {
        state.withLock { $0.ledger.unpin(subscription: subscription, sequence) }
    }
}

extension JournalError {
    /// What was to be read has been removed.
    var isGone: Bool {
        switch self {
        case .notThere, .notRetained: true
        case .disk(let error): error.cause == .missing
        case _: false
        }
    }
}

import StagewireModel
import StagewireWire

/// Windows and batches: several records, one step.
extension Lane {
    func runWindows(_ handler: GroupHandler, _ step: inout Step) async {
        while await receive() {
            while let window = sorter?.nextEnded() {
                guard await handle(window, handler, &step), !Task.isCancelled else { return }
            }
        }
    }

    /// Sorts what has arrived, or waits for more, for the end of a window, or for a Drain. False: the session has
    /// ended.
    private func receive() async -> Bool {
        while let record = take() { place(record) }
        sorter?.advance(to: Uptime.now)
        // Both at once: what was delivered before a Drain comes first, and a Drain behind this is news to the wait below.
        let (next, drain) = hub.look { state in (Self.pop(&state), state.drain) }
        if let next { return adopt(next) }
        switch drain {
        case .inputEnded: sorter?.endWhole()
        case .shutdown: releaseEverything()
        case nil: makeRoom()
        }
        guard sorter?.hasEnded == false else { return true }
        outbox.flush()
        let deadline = sorter?.nextDeadline
        if deadline != nil {
            hub.look { $0.wakeAt = deadline }
            hub.waker.wake()
        }
        let event = await hub.wait { state -> Event? in
            if let next = Self.pop(&state) { return .batch(next) }
            let isDue = deadline.map { $0 <= Uptime.now } ?? false
            return isDue || state.drain != drain ? .time : nil
        }
        switch event {
        case .batch(let batch): return adopt(batch)
        case .time: return true
        }
    }

    private enum Event: Sendable {
        /// nil: the end.
        case batch(Hub.Arrival?)
        case time
    }

    private func place(_ record: Record) {
        guard let placing = sorter?.add(record, now: Uptime.now) else { return }
        let only = record.delivery...record.delivery
        switch placing {
        case .held: break
        case .timeless:
            outbox.settle(
                [only],
                Outcome(.reject(Verdict.applicationCode, "the record has no event time, which its window needs")))
        case .late(let end):
            guard case .group(.window(let bounds, _), _) = handler, bounds.eventTime?.late == .reject else {
                outbox.accept(record.delivery, emissions: [])
                return
            }
            outbox.settle(
                [only], Outcome(.reject(Verdict.applicationCode, "late: its window ended at \(Timestamp.text(end))")))
        }
    }

    /// What the broker lets a session hold is a limit that windows must not wait at (DE-4).
    private func makeRoom() {
        for input in welcome.inputs {
            guard let held = sorter?.held(input: input.number) else { return }
            let isFull =
                held.records >= input.maxUnsettledRecords
                || held.bytes + welcome.maxRecord > input.maxUnsettledBytes
            if isFull, held.records > 0 {
                _ = sorter?.endOldest()
                return
            }
        }
    }

    private func releaseEverything() {
        sorter?.endEverything()
        for window in sorter?.takeEnded() ?? [] {
            outbox.settle(Self.ranges(window.records), Outcome(kind: .released))
        }
    }

    /// Calls the handler for one group and settles it; false: the session has ended.
    func handle(_ window: Window, _ handler: GroupHandler, _ step: inout Step) async -> Bool {
        step.emitter.reset()
        var outcome = Outcome.accepted
        begin()
        do {
            switch handler {
            case .synchronous(let body): try body(window, &step.emitter)
            case .asynchronous(let body): try await body(window, &step.emitter)
            }
        } catch {
            outcome = judge(error)
        }
        end()
        return await settle(window, outcome, &step)
    }

    private func settle(_ window: Window, _ outcome: Outcome, _ step: inout Step) async -> Bool {
        switch outcome.kind {
        case .accepted: break
        case .rejected:
            outbox.settle(Self.ranges(window.records), outcome)
            return true
        case .retry, .released:
            giveBack(window.records, outcome)
            for void in sorter?.giveBack(window, now: Uptime.now) ?? [] {
                giveBack([void], Outcome(kind: .released))
            }
            return true
        }
        if let error = step.emitter.refusal {
            outbox.settle(Self.ranges(window.records), Outcome(.reject(error.code, error.message)))
            return true
        }
        let rejected = step.emitter.rejectedDeliveries
        let accepted = window.records.filter { rejected[$0.delivery] == nil }
        guard !accepted.isEmpty || step.emitter.isEmpty else {
            let problem = "the handler rejected every record, and emitted"
            outbox.settle(Self.ranges(window.records), Outcome(.reject(Verdict.applicationCode, problem)))
            return true
        }
        if !rejected.isEmpty, step.emitter.isEmpty {
            settleInOrder(window.records, rejected)
            return true
        }
        guard await reserve(&step) else { return false }
        for record in window.records {
            guard let error = rejected[record.delivery] else { continue }
            outbox.settle([record.delivery...record.delivery], Outcome(.reject(error.code, error.message)))
        }
        if !accepted.isEmpty {
            outbox.settle(Self.ranges(accepted), .accepted, emissions: step.emitter.body.bytes)
        }
        return true
    }

    /// Without emissions nothing has to be one outcome, so a batch without `holds` keeps the order (OR-2).
    private func settleInOrder(_ records: [Record], _ rejected: [UInt64: DeliveryError]) {
        for id in records.map(\.delivery).sorted() {
            if let error = rejected[id] {
                outbox.settle([id...id], Outcome(.reject(error.code, error.message)))
            } else {
                outbox.accept(id, emissions: [])
            }
        }
    }

    /// Delivery ids as ascending ranges.
    static func ranges(_ records: [Record]) -> [ClosedRange<UInt64>] {
        var ranges: [ClosedRange<UInt64>] = []
        for id in records.map(\.delivery).sorted() {
            if let last = ranges.last, last.upperBound + 1 == id {
                ranges[ranges.count - 1] = last.lowerBound...id
            } else {
                ranges.append(id...id)
            }
        }
        return ranges
    }
}

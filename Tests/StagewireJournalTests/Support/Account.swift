import StagewireJournal

/// An entry as a test sees it.
struct Item: Equatable {
    var sequence: UInt64
    var kind: UInt8
    var payload: [UInt8]
}

/// The naive oracle: what was appended where, what was confirmed, and what therefore has to be there.
struct Account {
    /// What has to be at a sequence: it was confirmed, or found and built upon.
    var confirmed: [UInt64: Item] = [:]
    /// What may be at a sequence: it was in a group that was given to a flush.
    var attempted: [UInt64: [Item]] = [:]
    /// Entries below may be gone.
    var retired: UInt64 = 1
    /// The sequence after the last that was confirmed.
    var next: UInt64 = 1

    mutating func attempt(_ items: [Item], from first: UInt64) {
        for (index, item) in items.enumerated() {
            let placed = Item(sequence: first + UInt64(index), kind: item.kind, payload: item.payload)
            if attempted[placed.sequence, default: []].contains(placed) { continue }
            attempted[placed.sequence, default: []].append(placed)
        }
    }

    mutating func confirm(_ items: [Item], _ durable: Durable) -> [String] {
        guard durable.sequences.lowerBound == next, durable.sequences.count == items.count else {
            return ["confirmed \(durable.sequences) of \(items.count) entries after \(next)"]
        }
        for (index, item) in items.enumerated() {
            let sequence = next + UInt64(index)
            confirmed[sequence] = Item(sequence: sequence, kind: item.kind, payload: item.payload)
        }
        next = durable.sequences.upperBound
        return []
    }

    /// What is wrong with what was found after a restart. What was found has to be there from now on, and what was not is
    /// never seen again.
    mutating func reopened(_ found: [Item]) -> [String] {
        let problems = check(found)
        let end = found.last.map { $0.sequence + 1 } ?? next
        for item in found { confirmed[item.sequence] = item }
        next = max(next, end)
        attempted = attempted.filter { $0.key < next }
        return problems
    }

    /// What is wrong with entries that were read from the beginning to the end.
    func check(_ found: [Item]) -> [String] {
        var problems: [String] = []
        var expected = found.first?.sequence ?? next
        if expected > retired && retired < next { problems.append("begins with \(expected), kept from \(retired)") }
        for item in found {
            if item.sequence != expected { problems.append("\(item.sequence) in the place of \(expected)") }
            expected = item.sequence + 1
            if let confirmed = confirmed[item.sequence] {
                if confirmed != item { problems.append("\(item.sequence) is not what was confirmed") }
            } else if attempted[item.sequence]?.contains(item) != true {
                problems.append("\(item.sequence) was never appended")
            }
        }
        if expected < next { problems.append("ends before \(expected), confirmed up to \(next)") }
        return problems
    }
}

import Foundation
import StagewireModel

/// What is to be done once the settlement of a delivery is confirmed (ST-8), of one session. The outbox's lock guards it.
struct Confirmations {
    typealias Action = @Sendable () throws -> Void

    private struct Entry {
        /// The first delivery of its outcome, by which the broker names a refusal.
        var outcome: UInt64
        var actions: [Action]
    }

    private var entries: [UInt64: Entry] = [:]

    mutating func ask(_ delivery: UInt64, _ action: @escaping Action) {
        entries[delivery, default: Entry(outcome: delivery, actions: [])].actions.append(action)
    }

    /// These deliveries, ascending, are settled with one outcome.
    mutating func settle(_ deliveries: [ClosedRange<UInt64>], isAccepted: Bool) {
        guard !entries.isEmpty, let first = deliveries.first?.lowerBound else { return }
        for delivery in deliveries.joined() where entries[delivery] != nil {
            if isAccepted { entries[delivery]?.outcome = first } else { entries[delivery] = nil }
        }
    }

    /// Takes out what is confirmed, in the order of the deliveries.
    mutating func confirm(through: UInt64, refused: [Refusal]) -> [Action] {
        guard !entries.isEmpty else { return [] }
        let dead = Set(refused.map(\.id))
        entries = entries.filter { !dead.contains($0.value.outcome) }
        let confirmed = entries.keys.filter { $0 <= through }.sorted()
        return confirmed.flatMap { entries.removeValue(forKey: $0)?.actions ?? [] }
    }
}

/// Does what was asked for, one after the other, off the threads that read and handle.
final class ConfirmationQueue: Sendable {
    private let queue = DispatchQueue(label: "stagewire confirmations")

    func run(_ actions: [Confirmations.Action]) {
        guard !actions.isEmpty else { return }
        queue.async {
            for action in actions {
                do { try action() } catch { Complaint.write("what was to be done on confirmation failed: \(error)") }
            }
        }
    }

    /// Returns when all of it is done.
    func finish() { queue.sync {} }
}

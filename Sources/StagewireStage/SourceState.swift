import StagewireModel
import StagewireWire

/// What the worker knows of its source; it outlives connections.
struct SourceState: Sendable {
    /// How the author's function ended.
    enum Result: Equatable, Sendable {
        case finished
        case stopped
        case failed(String)
    }

    var isStopped = false
    /// Ends the worker.
    var fatal: String?
    var result: Result?
    /// False while not attached, or while partitions are being claimed again.
    var isAttached = false
    /// The task of the author's function.
    var task: Task<Void, Never>?
    var partitions: [PartitionState] = []

    /// Why no more can be emitted.
    func obstacle() -> (any Error)? {
        if let fatal { return SourceFailure(description: fatal) }
        return isStopped || Task.isCancelled ? CancellationError() : nil
    }

    /// Returns the task, to be cancelled when the lock is free: cancellation wakes who waits, under the same lock.
    mutating func stop() -> Task<Void, Never>? {
        isStopped = true
        return task
    }

    private func index(of name: String) -> Int? { partitions.firstIndex { $0.name == name } }

    /// Takes over the broker's position.
    mutating func claimed(_ name: String, last: UInt64, checkpoint: [UInt8], session: Int) {
        guard let index = index(of: name) else { return }
        if let problem = partitions[index].claimed(last: last, checkpoint: checkpoint, session: session) {
            fatal = fatal ?? problem
        }
    }

    /// Drops what is confirmed.
    mutating func committed(_ name: String, through: UInt64, refused: [Refusal]) {
        guard let index = index(of: name) else { return }
        partitions[index].confirm(through)
        guard let refusal = refused.first else { return }
        let code = Code(rawValue: refusal.error.code)?.name ?? "code \(refusal.error.code)"
        fatal =
            fatal ?? "partition “\(name)”: the broker refused emit \(refusal.id): \(refusal.error.message) [\(code)]"
    }

    /// Whether everything emitted is confirmed.
    var isDrained: Bool { partitions.allSatisfy(\.kept.isEmpty) }

    /// Sends Finished, once in a session, for partitions that are finished and confirmed.
    mutating func tellFinished(_ outbox: Outbox, session: Int) {
        guard isAttached else { return }
        for index in partitions.indices {
            let partition = partitions[index]
            guard partition.isFinished, partition.kept.isEmpty, partition.toldIn != session else { continue }
            partitions[index].toldIn = session
            outbox.send(.finished(partition: partition.name))
        }
    }
}

/// Emit ids are consecutive in a partition, across connections and processes:
///
/// ```
/// 1 ...... committed | kept.first ........ kept.last | next
///   the broker's       sent, unconfirmed: sent again after a reconnect
/// ```
struct PartitionState: Sendable {
    /// What a source keeps unconfirmed before `emit` waits: enough to keep a disk's group sync busy.
    static let keptEmits = 4096
    static let keptBytes = 16 * 1024 * 1024

    struct Kept: Sendable {
        let id: UInt64
        let frame: ArraySlice<UInt8>
        let charges: [Charge]
    }

    let name: String
    var checkpoint: [UInt8] = []
    /// The session that claimed it, and the one that was told its end; 0: none.
    var claimedIn = 0
    var toldIn = 0
    var next: UInt64 = 0
    var committed: UInt64 = 0
    private(set) var kept: [Kept] = []
    private var bytes = 0
    var isFinished = false

    init(name: String) { self.name = name }

    func hasRoom(for count: Int) -> Bool {
        kept.isEmpty || (kept.count < Self.keptEmits && bytes + count <= Self.keptBytes)
    }

    mutating func keep(_ emit: Kept) {
        next += 1
        bytes += emit.frame.count
        kept.append(emit)
    }

    mutating func confirm(_ through: UInt64) {
        let count = kept.prefix { $0.id <= through }.count
        bytes -= kept[..<count].reduce(0) { $0 + $1.frame.count }
        kept.removeFirst(count)
        committed = max(committed, through)
    }

    /// Returns what is wrong with the broker's position, if anything.
    mutating func claimed(last: UInt64, checkpoint: [UInt8], session: Int) -> String? {
        defer { claimedIn = session }
        if next == 0 {
            next = last + 1
            committed = last
            self.checkpoint = checkpoint
            return nil
        }
        guard last >= committed, last < next else {
            return "partition “\(name)”: the broker stands at emit id \(last), this process between \(committed) and "
                + "\(next - 1). Start the source again: it resumes at the broker's checkpoint"
        }
        confirm(last)
        return nil
    }
}

/// Why a source cannot go on.
public struct SourceFailure: Error, Equatable, CustomStringConvertible {
    public var description: String
}

import StagewireModel
import StagewireWire

/// Claims a source's partitions on a new session, and sends again what was not confirmed.
struct SourceAttachment {
    private let hub: Hub
    private let outbox: Outbox

    init(_ hub: Hub, _ outbox: Outbox) {
        self.hub = hub
        self.outbox = outbox
    }

    func run() async {
        var index = 0
        // The list may grow meanwhile: a `claim` that finds the source not attached leaves it to us.
        while true {
            let name: String? = hub.look { state in
                guard index < state.source.partitions.count else {
                    return nil
                }
                return state.source.partitions[index].name
            }
            guard let name else {
                let isDone = hub.change { state in
                    guard index == state.source.partitions.count else { return false }
                    state.source.isAttached = state.ended == nil
                    return true
                }
                if isDone { return }
                continue
            }
            guard await attach(index, name) else { return }
            index += 1
        }
    }

    /// False: the session has ended.
    private func attach(_ index: Int, _ name: String) async -> Bool {
        outbox.send(.claim(partition: name))
        let kept: [PartitionState.Kept]? = await hub.wait { state in
            if Self.isOver(state) { return .some(nil) }
            let partition = state.source.partitions[index]
            return partition.claimedIn == state.session ? .some(partition.kept) : nil
        }
        guard let kept else { return false }
        for emit in kept {
            let isSent = await hub.wait { state -> Bool? in
                if Self.isOver(state) { return false }
                guard state.fits(emit.charges) else { return nil }
                state.use(emit.charges)
                outbox.send(frame: emit.frame)
                return true
            }
            guard isSent else { return false }
        }
        return true
    }

    private static func isOver(_ state: Hub.State) -> Bool {
        state.ended != nil || state.source.fatal != nil || Task.isCancelled
    }
}

extension Source {
    /// An instance that found no work claims a partition of its own name, so that the broker can count it among
    /// those that have finished (SO-7).
    func claimOwnIfIdle() async throws {
        guard hub.look({ $0.source.partitions.isEmpty }), !instance.isEmpty else { return }
        _ = try await claim(instance)
    }
}

import StagewireModel
import StagewireWire

/// A source's view of the pipeline. It outlives connections.
public final class Source: Sendable {
    let hub: Hub
    private let welcome: Welcome

    /// Where `--test` has emissions go; nil in a pipeline.
    private let printer: SourceTest.Printer?

    init(_ hub: Hub, _ welcome: Welcome) {
        self.hub = hub
        self.welcome = welcome
        printer = nil
    }

    init(testing printer: SourceTest.Printer) {
        hub = Hub()
        welcome = Welcome()
        self.printer = printer
    }

    /// The name of this worker among those of its stage.
    public var instance: String { welcome.instance }

    /// The names of the stage's outputs.
    public var ports: [String] { welcome.outputs.map(\.port) }

    /// Makes this process the owner of a partition: a part of the source with its own order and position, such as
    /// one file.
    ///
    /// - Parameter name: 1 to 255 bytes without NUL.
    /// - Throws: `SourceFailure`; `CancellationError` when the pipeline shuts down.
    public func claim(_ name: String) async throws -> Partition {
        guard (1...Limits.partition).contains(name.utf8.count), !name.utf8.contains(0) else {
            throw SourceFailure(
                description: "partition “\(name)”: a name has 1 to \(Limits.partition) bytes without NUL")
        }
        if let printer { return Partition(hub, welcome, name: name, index: 0, checkpoint: [], printer) }
        let isNew = hub.change { state in
            guard !state.source.partitions.contains(where: { $0.name == name }) else { return false }
            state.source.partitions.append(PartitionState(name: name))
            if state.source.isAttached { state.outbox?.send(.claim(partition: name)) }
            return true
        }
        guard isNew else { throw SourceFailure(description: "partition “\(name)” has been claimed already") }
        let claimed: Result<(Int, [UInt8]), any Error> = await hub.wait { state in
            if let obstacle = state.source.obstacle() { return .failure(obstacle) }
            guard let index = state.source.partitions.firstIndex(where: { $0.name == name }),
                state.source.partitions[index].claimedIn > 0
            else { return nil }
            return .success((index, state.source.partitions[index].checkpoint))
        }
        let (index, checkpoint) = try claimed.get()
        return Partition(hub, welcome, name: name, index: index, checkpoint: checkpoint)
    }
}

/// A part of a source with its own order and position.
public final class Partition: Sendable {
    public let name: String
    /// What the last committed `emit` stated; empty: the partition is new.
    public let checkpoint: [UInt8]
    private let hub: Hub
    private let welcome: Welcome
    private let index: Int
    private let printer: SourceTest.Printer?

    init(
        _ hub: Hub, _ welcome: Welcome, name: String, index: Int, checkpoint: [UInt8],
        _ printer: SourceTest.Printer? = nil
    ) {
        self.printer = printer
        self.hub = hub
        self.welcome = welcome
        self.name = name
        self.index = index
        self.checkpoint = checkpoint
    }

    /// The checkpoint as text, for those that are.
    public var checkpointText: String { String(decoding: checkpoint, as: UTF8.self) }

    /// Hands records to the broker together with the position behind them: both are kept, or neither. Waits while
    /// the pipeline has no room; returns before the broker confirms, and sends again what it had not confirmed
    /// when a connection broke. One task at a time emits to a partition.
    ///
    /// - Parameter checkpoint: at most 64 KiB.
    /// - Throws: `SourceFailure` for what the pipeline can never take; `CancellationError` when it shuts down.
    public func emit(_ outputs: [Output], checkpoint: [UInt8]) async throws {
        guard checkpoint.count <= Limits.checkpoint else {
            let problem = "a checkpoint of \(checkpoint.count) bytes, where \(Limits.checkpoint) are allowed"
            throw SourceFailure(description: "partition “\(name)”: \(problem)")
        }
        if let printer { return try printer.print(outputs) }
        let body = try encode(outputs)
        let result: Result<Void, any Error> = await hub.wait { state in
            if let obstacle = state.source.obstacle() { return .failure(obstacle) }
            guard state.source.isAttached, let outbox = state.outbox, state.fits(body.charges),
                state.source.partitions[self.index].hasRoom(for: body.size)
            else { return nil }
            guard !state.source.partitions[self.index].isFinished else {
                return .failure(SourceFailure(description: "partition “\(self.name)” has been finished"))
            }
            let id = state.source.partitions[self.index].next
            let frame = self.frame(id, body, checkpoint)
            state.use(body.charges)
            state.source.partitions[self.index].keep(.init(id: id, frame: frame, charges: body.charges))
            // Under the lock, so that emits and reconnects keep their order.
            outbox.send(frame: frame)
            return .success(())
        }
        try result.get()
    }

    /// As `emit(_:checkpoint:)`, with a position that is text.
    public func emit(_ outputs: [Output], checkpoint: String) async throws {
        try await emit(outputs, checkpoint: Array(checkpoint.utf8))
    }

    /// Says that the partition has no more records, once everything emitted is confirmed. A source function that
    /// returns finishes all of its partitions by itself.
    public func finish() async throws {
        guard printer == nil else { return }
        let result: Result<Void, any Error> = await hub.wait { state in
            if let obstacle = state.source.obstacle() { return .failure(obstacle) }
            guard state.source.partitions[self.index].kept.isEmpty, let outbox = state.outbox else { return nil }
            state.source.partitions[self.index].isFinished = true
            state.source.tellFinished(outbox, session: state.session)
            return .success(())
        }
        try result.get()
    }

    private struct Body: Sendable {
        var emissions: [UInt8]
        var charges: [Charge]
        /// An upper bound of the frame's bytes.
        var size: Int
    }

    private func encode(_ outputs: [Output]) throws -> Body {
        var emitter = Emitter(welcome, in: .emit)
        for output in outputs { emitter.emit(output) }
        if let refusal = emitter.refusal {
            throw SourceFailure(description: "partition “\(name)”: \(refusal.message); emit less at once")
        }
        let bytes = emitter.body.bytes
        return Body(emissions: bytes, charges: emitter.charges, size: bytes.count + Limits.checkpoint + 1024)
    }

    private func frame(_ id: UInt64, _ body: Body, _ checkpoint: [UInt8]) -> ArraySlice<UInt8> {
        var writer = BodyFrame.open()
        writer.content(1, name.utf8)
        writer.number(2, id)
        writer.bytes.append(contentsOf: body.emissions)
        writer.content(4, checkpoint)
        let start = BodyFrame.close(.emit, &writer)
        return writer.bytes[start...]
    }
}

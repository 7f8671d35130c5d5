import StagewireModel

/// A stream by its name, which outlives the numbers of one definition.
public struct StreamName: Hashable, Sendable, CustomStringConvertible {
    public var stage: String
    public var port: String

    public init(stage: String, port: String) {
        self.stage = stage
        self.port = port
    }

    public var description: String { port == "out" ? stage : "\(stage).\(port)" }
}

/// A subscription by its name.
public struct SubscriptionName: Hashable, Sendable, CustomStringConvertible {
    public var stage: String
    public var stream: StreamName
    /// Which one of the stage's subscriptions to this stream.
    public var ordinal: Int

    public var description: String { "\(stage) from \(stream)" + (ordinal == 0 ? "" : " (\(ordinal + 1))") }
}

/// The names behind the numbers of a pipeline definition: those that the router uses.
public struct Layout: Equatable, Sendable {
    public var stages: [String] = []
    public var streams: [StreamName] = []
    public var subscriptions: [SubscriptionName] = []

    public init() {}

    /// Streams and subscriptions in the order in which the router numbers them: stage by stage.
    public init(_ pipeline: PipelineDefinition) {
        stages = pipeline.stages.map(\.name)
        for stage in pipeline.stages {
            var seen: [StreamName: Int] = [:]
            for input in stage.inputs {
                let above = pipeline.stages[input.stage]
                let stream = StreamName(stage: above.name, port: above.ports[input.port])
                subscriptions.append(
                    SubscriptionName(stage: stage.name, stream: stream, ordinal: seen[stream, default: 0]))
                seen[stream, default: 0] += 1
            }
            streams += stage.ports.map { StreamName(stage: stage.name, port: $0) }
        }
    }

    /// As the payload of an entry of kind `layout`.
    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.put(stages.count)
        for stage in stages { bytes.put(stage) }
        bytes.put(streams.count)
        for stream in streams { bytes.put(stream) }
        bytes.put(subscriptions.count)
        for subscription in subscriptions { bytes.put(subscription) }
        return bytes
    }

    public init(_ payload: RawSpan) throws(LedgerFlaw) {
        var cursor = PayloadCursor(payload)
        for _ in 0..<(try cursor.count(payload)) { stages.append(try cursor.text(payload)) }
        for _ in 0..<(try cursor.count(payload)) { streams.append(try cursor.stream(payload)) }
        for _ in 0..<(try cursor.count(payload)) { subscriptions.append(try cursor.subscription(payload)) }
        guard cursor.isAtEnd else { throw LedgerFlaw(what: "something follows the names", offset: cursor.offset) }
        guard Set(stages).count == stages.count, Set(streams).count == streams.count,
            Set(subscriptions).count == subscriptions.count
        else { throw LedgerFlaw(what: "a name stands for two things", offset: 0) }
        let known = Set(streams)
        for subscription in subscriptions where !known.contains(subscription.stream) {
            throw LedgerFlaw(what: "\(subscription) reads a stream that is not there", offset: 0)
        }
    }
}

extension [UInt8] {
    mutating func put(_ stream: StreamName) {
        put(stream.stage)
        put(stream.port)
    }

    mutating func put(_ subscription: SubscriptionName) {
        put(subscription.stage)
        put(subscription.stream)
        put(subscription.ordinal)
    }
}

extension PayloadCursor {
    mutating func stream(_ bytes: RawSpan) throws(LedgerFlaw) -> StreamName {
        StreamName(stage: try text(bytes), port: try text(bytes))
    }

    mutating func subscription(_ bytes: RawSpan) throws(LedgerFlaw) -> SubscriptionName {
        SubscriptionName(
            stage: try text(bytes), stream: try stream(bytes),
            ordinal: Int(try number(bytes, upTo: LedgerLimit.ordinal)))
    }
}

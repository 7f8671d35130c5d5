import StagewireModel

/// What a program is in a pipeline. Make one with `transform`, `sink`, `window` or `source`, and hand it to
/// `Worker.run`.
///
/// A handler may keep state of its own: make it inside of a closure that gets the configuration. That closure
/// runs once for each configuration, and the handler it returns is called for one step at a time.
public struct Stage: Sendable {
    /// The author's own version of the stage, shown in lineage; at most 128 bytes.
    public var version = ""
    /// The largest frame to accept, bytes: for pipelines with a large `max_record`.
    public var maxFrame = Limits.defaultFrame
    /// How long a handler may take for one step. After it the handler's task is cancelled, and the broker takes
    /// the record back when the lease ends. Zero: no limit.
    public var timeout: Duration = .seconds(300)

    let kind: Kind

    enum Kind: Sendable {
        case single(@Sendable (_ configuration: [UInt8]) throws -> SingleHandler)
        /// `holds`: the rule may let records wait.
        case group(holds: Bool, @Sendable (_ configuration: [UInt8]) throws -> (GroupRule, GroupHandler))
        case source(@Sendable (_ configuration: [UInt8]) throws -> SourceHandler)
    }

    init(_ kind: Kind) { self.kind = kind }

    /// The same stage under the author's own version, such as "1.4".
    public func version(_ version: String) -> Stage {
        var stage = self
        stage.version = version
        return stage
    }

    /// The same stage with another limit for one step.
    public func timeout(_ timeout: Duration) -> Stage {
        var stage = self
        stage.timeout = timeout
        return stage
    }
}

/// A handler that does not wait is called without any switch of tasks.
enum SingleHandler {
    case synchronous((Record, inout Emitter) throws -> Void)
    case asynchronous((Record, inout Emitter) async throws -> Void)
}

enum GroupHandler {
    case synchronous((Window, inout Emitter) throws -> Void)
    case asynchronous((Window, inout Emitter) async throws -> Void)
}

typealias SourceHandler = @Sendable (Source) async throws -> Void

// MARK: Transforms

extension Stage {
    public typealias Transform = (Record, inout Emitter) throws -> Void
    public typealias AsyncTransform = (Record, inout Emitter) async throws -> Void

    /// Handles records one by one: what is emitted and the record's settlement are one step. Returning accepts
    /// the record (without emissions: filters it); throw a `Verdict` for anything else.
    public static func transform(_ handler: @escaping @Sendable (Record, inout Emitter) throws -> Void) -> Stage {
        Stage(.single { _ in .synchronous(handler) })
    }

    public static func transform(_ handler: @escaping @Sendable (Record, inout Emitter) async throws -> Void) -> Stage {
        Stage(.single { _ in .asynchronous(handler) })
    }

    /// As `transform`, with the stage's configuration decoded into a type of yours.
    public static func transform<Configuration: Decodable & SendableMetatype>(
        configuration: Configuration.Type, _ make: @escaping @Sendable (Configuration) throws -> Transform
    ) -> Stage {
        Stage(.single { .synchronous(try make(try StageConfiguration.decode(configuration, from: $0))) })
    }

    /// As `transform(configuration:)`, for a handler that waits.
    public static func asyncTransform<Configuration: Decodable & SendableMetatype>(
        configuration: Configuration.Type, _ make: @escaping @Sendable (Configuration) throws -> AsyncTransform
    ) -> Stage {
        Stage(.single { .asynchronous(try make(try StageConfiguration.decode(configuration, from: $0))) })
    }
}

// MARK: Sinks

extension Stage {
    public typealias Sink = (Record) throws -> Void
    public typealias AsyncSink = (Record) async throws -> Void
    public typealias BatchSink = (Window, inout Emitter) throws -> Void
    public typealias AsyncBatchSink = (Window, inout Emitter) async throws -> Void

    /// Handles records one by one and emits nothing.
    public static func sink(_ handler: @escaping @Sendable (Record) throws -> Void) -> Stage {
        Stage(.single { _ in .synchronous { record, _ in try handler(record) } })
    }

    public static func sink(_ handler: @escaping @Sendable (Record) async throws -> Void) -> Stage {
        Stage(.single { _ in .asynchronous { record, _ in try await handler(record) } })
    }

    public static func sink<Configuration: Decodable & SendableMetatype>(
        configuration: Configuration.Type, _ make: @escaping @Sendable (Configuration) throws -> Sink
    ) -> Stage {
        Stage(
            .single {
                let handler = try make(try StageConfiguration.decode(configuration, from: $0))
                return .synchronous { record, _ in try handler(record) }
            })
    }

    public static func asyncSink<Configuration: Decodable & SendableMetatype>(
        configuration: Configuration.Type, _ make: @escaping @Sendable (Configuration) throws -> AsyncSink
    ) -> Stage {
        Stage(
            .single {
                let handler = try make(try StageConfiguration.decode(configuration, from: $0))
                return .asynchronous { record, _ in try await handler(record) }
            })
    }

    /// Handles what has arrived, at most `batch` records at once, as one step: all are settled together. Nothing
    /// is waited for; a `window` waits.
    public static func sink(batch: Int, _ handler: @escaping @Sendable ([Record]) throws -> Void) -> Stage {
        group(.arrived(batch)) { _ in .synchronous { window, _ in try handler(window.records) } }
    }

    public static func sink(batch: Int, _ handler: @escaping @Sendable ([Record]) async throws -> Void) -> Stage {
        group(.arrived(batch)) { _ in .asynchronous { window, _ in try await handler(window.records) } }
    }

    /// As `sink(batch:)`, configured. `Emitter.reject` names single records that will never work.
    public static func sink<Configuration: Decodable & SendableMetatype>(
        batch: Int, configuration: Configuration.Type,
        _ make: @escaping @Sendable (Configuration) throws -> BatchSink
    ) -> Stage {
        group(.arrived(batch)) { .synchronous(try make(try StageConfiguration.decode(configuration, from: $0))) }
    }

    public static func asyncSink<Configuration: Decodable & SendableMetatype>(
        batch: Int, configuration: Configuration.Type,
        _ make: @escaping @Sendable (Configuration) throws -> AsyncBatchSink
    ) -> Stage {
        group(.arrived(batch)) { .asynchronous(try make(try StageConfiguration.decode(configuration, from: $0))) }
    }
}

// MARK: Windows and sources

extension Stage {
    public typealias WindowTransform = (Window, inout Emitter) throws -> Void
    public typealias AsyncWindowTransform = (Window, inout Emitter) async throws -> Void

    /// Handles the records of one window; all of it, emissions and settlement, is one step.
    public static func window(
        _ bounds: WindowBounds, byKey: Bool = false,
        _ handler: @escaping @Sendable (Window, inout Emitter) throws -> Void
    ) -> Stage {
        group(.window(bounds, byKey: byKey || bounds.byKey)) { _ in .synchronous(handler) }
    }

    public static func window(
        _ bounds: WindowBounds, byKey: Bool = false,
        _ handler: @escaping @Sendable (Window, inout Emitter) async throws -> Void
    ) -> Stage {
        group(.window(bounds, byKey: byKey || bounds.byKey)) { _ in .asynchronous(handler) }
    }

    public static func window<Configuration: Decodable & SendableMetatype>(
        _ bounds: WindowBounds, byKey: Bool = false, configuration: Configuration.Type,
        _ make: @escaping @Sendable (Configuration) throws -> WindowTransform
    ) -> Stage {
        group(.window(bounds, byKey: byKey || bounds.byKey)) {
            .synchronous(try make(try StageConfiguration.decode(configuration, from: $0)))
        }
    }

    public static func asyncWindow<Configuration: Decodable & SendableMetatype>(
        _ bounds: WindowBounds, byKey: Bool = false, configuration: Configuration.Type,
        _ make: @escaping @Sendable (Configuration) throws -> AsyncWindowTransform
    ) -> Stage {
        group(.window(bounds, byKey: byKey || bounds.byKey)) {
            .asynchronous(try make(try StageConfiguration.decode(configuration, from: $0)))
        }
    }

    /// As `window(_:byKey:configuration:)`, where the configuration says how large a window is.
    public static func window<Configuration: Decodable & SendableMetatype>(
        configuration: Configuration.Type,
        _ make: @escaping @Sendable (Configuration) throws -> (WindowBounds, WindowTransform)
    ) -> Stage {
        Stage(
            .group(holds: true) {
                let (bounds, handler) = try make(try StageConfiguration.decode(configuration, from: $0))
                return (bounds.rule, .synchronous(handler))
            })
    }

    /// As `window(configuration:)`, for a handler that waits.
    public static func asyncWindow<Configuration: Decodable & SendableMetatype>(
        configuration: Configuration.Type,
        _ make: @escaping @Sendable (Configuration) throws -> (WindowBounds, AsyncWindowTransform)
    ) -> Stage {
        Stage(
            .group(holds: true) {
                let (bounds, handler) = try make(try StageConfiguration.decode(configuration, from: $0))
                return (bounds.rule, .asynchronous(handler))
            })
    }

    private static func group(
        _ rule: GroupRule, _ make: @escaping @Sendable ([UInt8]) throws -> GroupHandler
    ) -> Stage {
        let holds = if case .window = rule { true } else { false }
        return Stage(.group(holds: holds) { (rule, try make($0)) })
    }

    /// Produces records. When the function returns, all of its partitions are finished. When the pipeline shuts
    /// down its task is cancelled: `emit` and `Task.sleep` then throw `CancellationError`, to be handed on.
    public static func source(_ function: @escaping @Sendable (Source) async throws -> Void) -> Stage {
        Stage(.source { _ in function })
    }

    public static func source<Configuration: Decodable & Sendable>(
        configuration: Configuration.Type,
        _ function: @escaping @Sendable (Configuration, Source) async throws -> Void
    ) -> Stage {
        Stage(
            .source { bytes in
                let decoded = try StageConfiguration.decode(configuration, from: bytes)
                return { source in try await function(decoded, source) }
            })
    }
}

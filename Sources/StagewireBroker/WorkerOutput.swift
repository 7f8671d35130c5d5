import NIOCore

/// A worker's standard output and error: two pipes, whose lines go to one place. Confined to the event loop.
final class WorkerOutput {
    /// Lines kept to explain an exit.
    static let kept = 5
    /// Lines per second that reach the log; the others are counted.
    static let rate = 200

    private let show: (String) -> Void
    private var channels: [any Channel] = []
    private var isClosed = false
    private(set) var tail: [String] = []
    private var second: UInt64 = 0
    private var shown = 0
    private var dropped = 0

    init(show: @escaping (String) -> Void) { self.show = show }

    /// Reads the pipes until they end; the future completes when all have.
    func attach(
        _ descriptors: [CInt], to loop: any EventLoop, escape: @escaping ([UInt8]) -> String
    ) -> EventLoopFuture<Void> {
        let ends = descriptors.map { descriptor in
            let channel = LineReader.attach(descriptor, to: loop) { [self] line in
                take(escape(line), now: Clock.uptime())
            }
            channel.assumeIsolated().whenSuccess { [self] in keep($0) }
            return channel.flatMap { $0.closeFuture }
        }
        return EventLoopFuture.andAllComplete(ends, on: loop)
    }

    private func keep(_ channel: any Channel) {
        if isClosed { channel.close(promise: nil) } else { channels.append(channel) }
    }

    func take(_ line: String, now: UInt64) {
        tail.append(line)
        if tail.count > Self.kept { tail.removeFirst() }
        if now / 1_000_000_000 != second {
            reportDropped()
            second = now / 1_000_000_000
            shown = 0
        }
        guard shown < Self.rate else {
            dropped += 1
            return
        }
        shown += 1
        show(line)
    }

    /// A grandchild that holds the pipes open must not keep the worker from being replaced.
    func close() {
        isClosed = true
        reportDropped()
        for channel in channels { channel.close(promise: nil) }
        channels.removeAll()
    }

    private func reportDropped() {
        if dropped > 0 { show("(\(dropped) lines dropped: more than \(Self.rate) in a second)") }
        dropped = 0
    }
}

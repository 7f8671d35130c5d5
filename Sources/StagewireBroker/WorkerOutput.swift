import NIOCore
import StagewireWire

/// A worker's standard output and error: two pipes, whose lines go to one place. Confined to the event loop.
final class WorkerOutput {
    /// Lines kept to explain an exit.
    static let kept = 5
    /// Lines per second that reach the log; the others are counted.
    static let rate = 200

    /// Takes a line and where it was printed; `nil`: it is about the output and not of it.
    typealias Show = (_ line: String, _ stream: OutputStream?) -> Void

    private let show: Show
    private var channels: [any Channel] = []
    private var isClosed = false
    private(set) var tail: [String] = []
    private var limiter = LineLimiter(rate: rate)

    init(show: @escaping Show) { self.show = show }

    /// Reads the pipes until they end; the future completes when all have.
    func attach(
        _ sources: [(descriptor: CInt, stream: OutputStream)], to loop: any EventLoop
    ) -> EventLoopFuture<Void> {
        let ends = sources.map { descriptor, stream in
            // What a worker prints is never a command to the terminal.
            let channel = LineReader.attach(descriptor, to: loop) { [self] line in
                take(Text.escaped(String(decoding: line, as: UTF8.self)), stream, now: Clock.uptime())
            }
            channel.assumeIsolated().whenSuccess { [self] in keep($0) }
            return channel.flatMap { $0.closeFuture }
        }
        return EventLoopFuture.andAllComplete(ends, on: loop)
    }

    private func keep(_ channel: any Channel) {
        if isClosed { channel.close(promise: nil) } else { channels.append(channel) }
    }

    private func take(_ line: String, _ stream: OutputStream, now: UInt64) {
        tail.append(line)
        if tail.count > Self.kept { tail.removeFirst() }
        let verdict = limiter.admit(at: now)
        mention(verdict.droppedBefore)
        if verdict.isShown { show(line, stream) }
    }

    /// A grandchild that holds the pipes open must not keep the worker from being replaced.
    func close() {
        isClosed = true
        mention(limiter.takeDropped())
        for channel in channels { channel.close(promise: nil) }
        channels.removeAll()
    }

    private func mention(_ dropped: Int) {
        if dropped > 0 { show("(\(dropped) lines dropped: more than \(Self.rate) in a second)", nil) }
    }
}

import NIOCore
import StagewireModel
import StagewireRouter

/// One peer, from accept to the last byte. Confined to the event loop.
final class Connection {
    enum State {
        /// Frames go to the router.
        case open
        /// The peer broke a rule of the wire and the router knows; its `close` effect is on the way. What
        /// is read is discarded.
        case condemned
        /// Close is written. What is read is discarded until the peer's end of stream, or the grace is over.
        case closing
        /// The router was told of the end of stream. What it had to say before goes out, then the channel closes.
        case ended
    }

    /// How long a peer may take to read a Close and end its stream.
    static let grace = TimeAmount.seconds(5)

    let id: ConnectionID
    private let channel: any Channel
    private(set) var state = State.open
    var outbox = Outbox()
    /// Bytes given to the channel and not yet taken by the kernel, without those of deliveries.
    private(set) var unwrittenAnswers = 0
    /// The same, deliveries included.
    private(set) var unwritten = 0
    /// Bytes of deliveries that the kernel took since the last turn.
    private(set) var departed = 0
    /// Queued for the next flush, respectively for the next report of `departed`.
    var isTouched = false
    private var isDeparting = false

    /// As in Hello and Welcome; `stage` is an index into the pipeline.
    var stage: Int?
    var instance = ""
    /// Welcome was sent.
    var isAttached = false
    /// More answers stood unwritten than may; said once.
    var isFlooded = false
    /// The worker sent Close(0) before the broker did.
    var saidGoodbye = false

    /// What the socket did not take and the channel does not have yet.
    private var waiting: [Outbox.Chunk] = []
    private var writesPending = 0

    init(id: ConnectionID, channel: any Channel) {
        self.id = id
        self.channel = channel
    }

    func condemn() {
        if state == .open { state = .condemned }
    }

    func startClosing() {
        switch state {
        case .open, .condemned: state = .closing
        case .closing, .ended: break
        }
    }

    /// Returns false when the end was known already.
    func end() -> Bool {
        guard state != .ended else { return false }
        state = .ended
        return true
    }

    /// Sends what the outbox holds, straight from where it lies as long as the socket takes it; the rest is copied, for
    /// `flush` to hand to the channel. Nothing is reported from here: not even an error, which the channel will meet, too.
    func post() {
        isTouched = false
        if writesPending == 0, waiting.isEmpty, !outbox.isEmpty {
            let outbound = NIOBSDSocket.Handle.self
            let sent = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: outbound) { socket in
                outbox.send(to: socket)
            }
            departed += sent ?? 0
        }
        waiting += outbox.removeAll()
    }

    /// Hands what the socket did not take to the channel, with one flush, and ends what is to end behind it. `departure` is
    /// called, perhaps at once, when delivered bytes have left through the channel and none had since the last
    /// `takeDeparted`.
    func flush(departure: @escaping (Connection) -> Void) {
        let chunks = waiting
        if !chunks.isEmpty { waiting.removeAll(keepingCapacity: true) }
        for chunk in chunks {
            unwrittenAnswers += chunk.answered
            unwritten += chunk.bytes.readableBytes
            writesPending += 1
            let promise = channel.eventLoop.makePromise(of: Void.self)
            promise.futureResult.assumeIsolated().whenComplete { [self] _ in
                left(chunk.answered, chunk.delivered, departure: departure)
            }
            channel.pipeline.syncOperations.write(NIOAny(chunk.bytes), promise: promise)
        }
        if !chunks.isEmpty { channel.pipeline.syncOperations.flush() }
        if writesPending == 0 { finishWriting() }
        if state == .closing || state == .ended { armGrace() }
    }

    /// What `post` has sent, or else what has left since: to be told to the router.
    func takeDeparted() -> Int {
        isDeparting = false
        defer { departed = 0 }
        return departed
    }

    private func left(_ answered: Int, _ delivered: Int, departure: (Connection) -> Void) {
        unwrittenAnswers -= answered
        unwritten -= answered + delivered
        departed += delivered
        writesPending -= 1
        if delivered > 0, !isDeparting {
            isDeparting = true
            departure(self)
        }
        if writesPending == 0, outbox.isEmpty, waiting.isEmpty { finishWriting() }
    }

    /// Nothing is left to be written: a closing side ends its stream, an ended one closes.
    private func finishWriting() {
        switch state {
        case .open, .condemned: break
        case .closing: channel.close(mode: .output, promise: nil)
        case .ended: channel.close(promise: nil)
        }
    }

    private var isGraceArmed = false

    private func armGrace() {
        guard !isGraceArmed else { return }
        isGraceArmed = true
        let channel = channel
        let deadline = channel.eventLoop.scheduleTask(in: Self.grace) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in deadline.cancel() }
    }

    /// At the end of a run: nothing more is written or waited for.
    func abort() { channel.close(promise: nil) }
}

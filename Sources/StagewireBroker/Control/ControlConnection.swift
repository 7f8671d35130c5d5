import NIOCore
import NIOHTTP1
import NIOPosix
import StagewireControl

/// One client of the control API: collects a request, has the desk answer it, writes the answer. Confined to the event
/// loop.
///
/// `HTTPServerPipelineHandler` in front of it holds back what a client sends behind a request until that is answered;
/// and an answer counts as given only when the kernel has taken it. So one answer at most is in memory for a client.
final class ControlConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private enum State {
        case idle
        /// The head has come, and so much of the body.
        case receiving(HTTPRequestHead, [UInt8])
        /// Refused before its end; the rest is read and dropped, so that the client finds time to read why.
        case refused
        /// The desk has it.
        case waiting(HTTPRequestHead)
        /// The answer is on its way to the kernel.
        case writing
        case closed
    }

    private let channel: any Channel
    private let caller: ControlCaller
    private let desk: ControlDesk
    private let guests: ControlGuests
    private var state = State.idle
    private var deadline: Scheduled<Void>?
    private var closesAfterAnswer = false
    private(set) var movedAt: UInt64

    init(_ channel: any Channel, caller: ControlCaller, desk: ControlDesk, guests: ControlGuests) {
        self.channel = channel
        self.caller = caller
        self.desk = desk
        self.guests = guests
        movedAt = guests.nextMove()
    }

    /// How much is lost if it is dropped now.
    var busyness: Int {
        switch state {
        case .closed, .refused: 0
        case .idle: 1
        case .receiving: 2
        case .waiting, .writing: 3
        }
    }

    func drop() {
        deadline?.cancel()
        state = .closed
        channel.close(promise: nil)
    }

    /// At the end of the run.
    func closeAfterAnswer() {
        closesAfterAnswer = true
        switch state {
        case .idle, .receiving, .refused: drop()
        case .waiting, .writing, .closed: break
        }
    }

    private func move(to next: State) {
        state = next
        movedAt = guests.nextMove()
        deadline?.cancel()
        switch next {
        // Who waits for the end of the run may wait for days.
        case .waiting, .closed: return
        case .idle, .receiving, .refused, .writing: break
        }
        deadline = channel.eventLoop.assumeIsolated().scheduleTask(in: guests.patience) { [weak self] in
            self?.drop()
        }
    }

    // MARK: Requests

    func handlerAdded(context: ChannelHandlerContext) { move(to: .idle) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (unwrapInboundIn(data), state) {
        case (.head(let head), .idle): begin(head)
        case (.body(let bytes), .receiving(let head, let body)): collect(bytes, head, body)
        case (.end, .receiving(let head, let body)): complete(head, body)
        case (.end, .refused): drop()
        // The rest of a refused request, and whatever comes behind the last answer.
        case (.head, _), (.body, _), (.end, _): break
        }
    }

    private func begin(_ head: HTTPRequestHead) {
        let announced = head.headers["content-length"].first.flatMap { Int($0) } ?? 0
        guard announced <= ControlLimits.body else { return refuse(head) }
        // Without moving the deadline from here on: it counts from the end of the request before.
        state = .receiving(head, [])
        guard head.headers["expect"].first?.lowercased() == "100-continue" else { return }
        channel.pipeline.syncOperations.writeAndFlush(
            wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
    }

    private func collect(_ bytes: ByteBuffer, _ head: HTTPRequestHead, _ body: [UInt8]) {
        guard body.count + bytes.readableBytes <= ControlLimits.body else { return refuse(head) }
        state = .receiving(head, body + bytes.readableBytesView)
    }

    private func refuse(_ head: HTTPRequestHead) {
        move(to: .refused)
        write(.tooLarge, head) {}
    }

    private func complete(_ head: HTTPRequestHead, _ body: [UInt8]) {
        move(to: .waiting(head))
        do {
            try ControlGate.check(head, from: caller)
            let request = try ControlRequest(head: head, body: body)
            desk.answer(request, from: caller) { [weak self] answer in self?.give(answer) }
        } catch {
            give(.problem(error))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError else { return drop() }
        switch state {
        case .idle, .receiving:
            move(to: .writing)
            write(.malformed(error), nil) { [self] in drop() }
        case .refused: drop()
        // Behind a good request: that one gets its answer.
        case .waiting, .writing, .closed: closesAfterAnswer = true
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed? = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
        closeAfterAnswer()
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        state = .closed
        guests.left(self)
        context.fireChannelInactive()
    }

    // MARK: Answers

    private func give(_ answer: ControlAnswer) {
        guard case .waiting(let head) = state else { return }
        switch answer.body {
        case .bytes(let bytes): give(answer, bytes, head)
        case .encoding(let encode):
            NIOThreadPool.singleton.runIfActive(eventLoop: channel.eventLoop, encode).assumeIsolated().whenSuccess {
                [weak self] bytes in
                guard let self, case .waiting = state else { return }
                give(answer, bytes, head)
            }
        }
    }

    private func give(_ answer: ControlAnswer, _ bytes: [UInt8], _ head: HTTPRequestHead) {
        // A parser stops behind a request that asks for another protocol.
        let keepsAlive =
            head.isKeepAlive && !closesAfterAnswer && !answer.isLast && !head.headers.contains(name: "upgrade")
        move(to: .writing)
        write(answer, bytes, head, keepsAlive: keepsAlive) { [self] in
            guard case .writing = state else { return }
            if keepsAlive, !closesAfterAnswer { move(to: .idle) } else { drop() }
        }
    }

    /// A refusal that ends the connection.
    private func write(_ refusal: ControlAnswer, _ request: HTTPRequestHead?, done: @escaping () -> Void) {
        guard case .bytes(let bytes) = refusal.body else { preconditionFailure("refusals are short") }
        write(refusal, bytes, request, keepsAlive: false, done: done)
    }

    /// `done` is called when the kernel has all of it.
    private func write(
        _ answer: ControlAnswer, _ bytes: [UInt8], _ request: HTTPRequestHead?, keepsAlive: Bool,
        done: @escaping () -> Void
    ) {
        let pipeline = channel.pipeline.syncOperations
        let head = answer.head(for: request, length: bytes.count, keepsAlive: keepsAlive)
        pipeline.write(wrapOutboundOut(.head(head)), promise: nil)
        let taken = channel.eventLoop.makePromise(of: Void.self)
        // An answer to HEAD announces the length of what it leaves out.
        let body = request?.method == .HEAD ? ByteBuffer() : ByteBuffer(bytes: bytes)
        taken.futureResult.assumeIsolated().whenComplete { [self] _ in
            done()
            // Nothing is written by it, as the length was announced: it lets the next request come in. Records have the
            // loop in between, however many requests a client sends at once.
            channel.eventLoop.assumeIsolated().scheduleTask(in: ControlLimits.pause) { [self] in
                channel.pipeline.syncOperations.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
        }
        pipeline.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(body))), promise: taken)
    }
}

import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

/// One connection to a control socket, for one request and its answer.
struct ControlConversation: Sendable {
    typealias Answer = NIOHTTPClientResponseFull

    /// A page of dead letters, or the largest record in base64.
    private static let longestAnswer = 256 * 1024 * 1024

    private let path: String
    private let channel: any Channel
    private let answer: EventLoopPromise<Answer>

    /// Connects, and sends the request.
    /// - Parameter body: JSON.
    /// - Throws: `ControlFailure`
    static func open(
        _ path: String, method: HTTPMethod, _ target: String, body: [UInt8]?
    ) async throws -> ControlConversation {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let answer = loop.makePromise(of: Answer.self)
        do {
            let channel = try await ClientBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let pipeline = channel.pipeline.syncOperations
                        try pipeline.addHTTPClientHandlers()
                        try pipeline.addHandler(NIOHTTPClientResponseAggregator(maxContentLength: longestAnswer))
                        try pipeline.addHandler(AnswerHandler(path, answer))
                    }
                }
                .connect(unixDomainSocketPath: path).get()
            let conversation = ControlConversation(path: path, channel: channel, answer: answer)
            conversation.send(method, target, body)
            return conversation
        } catch {
            answer.fail(error)
            throw unreachable(path, error)
        }
    }

    /// - Parameter patience: `nil`: as long as the connection lasts.
    func answer(within patience: TimeAmount?) async throws -> Answer {
        let deadline = patience.map { time in
            channel.eventLoop.scheduleTask(in: time) {
                answer.fail(ControlFailure.silent(path, after: time.nanoseconds / 1_000_000_000))
            }
        }
        defer { deadline?.cancel() }
        return try await answer.futureResult.get()
    }

    func close() { channel.close(promise: nil) }

    private func send(_ method: HTTPMethod, _ target: String, _ body: [UInt8]?) {
        var fields = HTTPHeaders([("Host", "localhost"), ("Connection", "close")])
        if let body {
            fields.add(name: "Content-Type", value: "application/json")
            fields.add(name: "Content-Length", value: "\(body.count)")
        }
        let head = HTTPRequestHead(version: .http1_1, method: method, uri: target, headers: fields)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if let body { channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil) }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }

    private static func unreachable(_ path: String, _ error: any Error) -> ControlFailure {
        if error is SocketAddressError {
            return ControlFailure(
                "\(path) is too long to be a socket's path", hint: "Unix sockets allow 107 bytes", status: .usage)
        }
        switch (error as? IOError)?.errnoCode {
        case ENOENT?, ENOTDIR?: return .nobody(at: path)
        case ECONNREFUSED?: return isSocket(path) ? .stale(path) : .stranger(path, "it is no socket")
        case EACCES?, EPERM?: return .denied(path)
        default: return ControlFailure("cannot connect to \(path): \(error)")
        }
    }

    private static func isSocket(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }
}

/// Completes the promise, one way or the other: a promise takes the first only.
private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = NIOHTTPClientResponseFull

    private let path: String
    private let answer: EventLoopPromise<NIOHTTPClientResponseFull>

    init(_ path: String, _ answer: EventLoopPromise<NIOHTTPClientResponseFull>) {
        self.path = path
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { answer.succeed(unwrapInboundIn(data)) }

    func channelInactive(context: ChannelHandlerContext) {
        answer.fail(ControlFailure.vanished(path))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Cut off in the middle of an answer, or before it.
        let isEnd = error is IOError || error as? HTTPParserError == .invalidEOFState
        answer.fail(isEnd ? ControlFailure.vanished(path) : .stranger(path, "\(error)"))
        context.close(promise: nil)
    }
}

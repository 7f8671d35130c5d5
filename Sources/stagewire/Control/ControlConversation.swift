import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

/// One connection to a control socket: requests that are sent at once, and their answers one by one.
struct ControlConversation: Sendable {
    struct Request: Sendable {
        var method: HTTPMethod
        var target: String
        /// JSON.
        var body: [UInt8]?
    }

    typealias Answer = NIOHTTPClientResponseFull

    /// A page of dead letters, or the largest record in base64.
    private static let longestAnswer = 256 * 1024 * 1024

    private let path: String
    private let channel: any Channel
    private let answers: [EventLoopPromise<Answer>]

    /// Connects, and sends all requests.
    static func open(_ path: String, _ requests: [Request]) async throws -> ControlConversation {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let answers = requests.map { _ in loop.makePromise(of: Answer.self) }
        do {
            let channel = try await ClientBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let pipeline = channel.pipeline.syncOperations
                        try pipeline.addHTTPClientHandlers()
                        try pipeline.addHandler(NIOHTTPClientResponseAggregator(maxContentLength: longestAnswer))
                        try pipeline.addHandler(AnswerHandler(path, answers))
                    }
                }
                .connect(unixDomainSocketPath: path).get()
            for request in requests { send(request, to: channel) }
            return ControlConversation(path: path, channel: channel, answers: answers)
        } catch {
            for answer in answers { answer.fail(error) }
            throw unreachable(path, error)
        }
    }

    /// The answer to the request of that number.
    /// - Parameter patience: `nil`: as long as the connection lasts.
    func answer(_ number: Int, within patience: TimeAmount?) async throws -> Answer {
        let promise = answers[number]
        let deadline = patience.map { time in
            channel.eventLoop.scheduleTask(in: time) {
                promise.fail(ControlFailure.silent(path, after: time.nanoseconds / 1_000_000_000))
            }
        }
        defer { deadline?.cancel() }
        return try await promise.futureResult.get()
    }

    func close() { channel.close(promise: nil) }

    private static func send(_ request: Request, to channel: any Channel) {
        var fields = HTTPHeaders([("Host", "localhost")])
        if let body = request.body {
            fields.add(name: "Content-Type", value: "application/json")
            fields.add(name: "Content-Length", value: "\(body.count)")
        }
        let head = HTTPRequestHead(
            version: .http1_1, method: request.method, uri: request.target, headers: fields)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if let body = request.body {
            channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil)
        }
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

/// Gives each answer to whom it is for.
private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = NIOHTTPClientResponseFull

    private let path: String
    private var waiting: ArraySlice<EventLoopPromise<NIOHTTPClientResponseFull>>

    init(_ path: String, _ answers: [EventLoopPromise<NIOHTTPClientResponseFull>]) {
        self.path = path
        waiting = answers[...]
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        waiting.popFirst()?.succeed(unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(.vanished(path))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Cut off in the middle of an answer, or before it.
        let isEnd = error is IOError || error as? HTTPParserError == .invalidEOFState
        fail(isEnd ? .vanished(path) : .stranger(path, "\(error)"))
        context.close(promise: nil)
    }

    private func fail(_ failure: ControlFailure) {
        while let answer = waiting.popFirst() { answer.fail(failure) }
    }
}

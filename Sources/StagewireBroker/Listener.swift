import Glibc
import Logging
import NIOCore
import NIOPosix
import StagewireModel
import StagewireWire

/// The listening socket, and the decision who may come in.
final class Listener {
    private let path: SocketPath
    private let channel: any Channel
    private let bound: SocketPath.Identity?
    private let guardian: Guardian

    private init(path: SocketPath, channel: any Channel, bound: SocketPath.Identity?, guardian: Guardian) {
        self.path = path
        self.channel = channel
        self.bound = bound
        self.guardian = guardian
        if let bound { guardian.add(socket: path, bound) }
    }

    /// Reads of this many bytes at most: what a Unix socket holds with Linux's default buffer.
    private static let readSize = 208 * 1024

    /// Asked of the kernel for what waits to be read by a worker, bytes; it counts twice as much, with what surrounds them. With
    /// Linux's default a turn's deliveries seldom fit, and what does not fit is copied. `net.core.wmem_max` may make it less.
    private static let sendBuffer: SocketOptionValue = 1024 * 1024

    /// Binds the socket. Blocks for the moment that it takes, and is called outside the event loop.
    static func bind(
        _ path: SocketPath, group: any EventLoopGroup, switchboard: NIOLoopBound<Switchboard>,
        guardian: NIOLoopBound<Guardian>, logger: Logger
    ) throws -> NIOLoopBound<Listener> {
        let bootstrap = ServerBootstrap(group: group)
            // When descriptors run out, accept rests for a second; who waits in the backlog loses nothing.
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        AcceptBackoffHandler(), AcceptFailureHandler(logger: logger))
                }
            }
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.socketOption(.so_sndbuf), value: sendBuffer)
            .childChannelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 4096, maximum: readSize)
            )
            .childChannelInitializer { channel in
                PeerCredentials.of(channel).flatMapThrowing { peer in
                    try admit(channel, peer, switchboard: switchboard.value)
                }
            }
        let loop = group.any()
        let (descriptor, identity) = try path.claim()
        let channel = try bootstrap.withBoundSocket(descriptor).wait()
        return try loop.submit {
            let listener = Listener(path: path, channel: channel, bound: identity, guardian: guardian.value)
            return NIOLoopBound(listener, eventLoop: loop)
        }.wait()
    }

    private static func admit(
        _ channel: any Channel, _ peer: PeerCredentials, switchboard: Switchboard
    ) throws {
        guard !switchboard.isStopped else { throw EnvironmentError("the broker ends") }
        let connection = switchboard.connected(channel, uid: peer.uid)
        try channel.pipeline.syncOperations.addHandler(ConnectionHandler(connection, switchboard: switchboard))
    }

    /// Stops listening and removes the socket, unless somebody has put another in its place.
    func close() {
        if let bound {
            path.release(bound)
            guardian.remove(socket: path, bound)
        }
        channel.close(promise: nil)
    }
}

/// Says, at most every ten seconds, that connections cannot be accepted. `AcceptBackoffHandler` in
/// front of it pauses accepting after an error, so that a full descriptor table does not become a busy loop.
final class AcceptFailureHandler: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private static let interval: UInt64 = 10_000_000_000
    private let logger: Logger
    private var reportedAt: UInt64?

    init(logger: Logger) { self.logger = logger }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let now = Clock.uptime()
        if let reportedAt, now - reportedAt < Self.interval { return }
        reportedAt = now
        logger.warning("cannot accept a connection: \(error). Raise the limit of open files (ulimit -n)?")
    }
}

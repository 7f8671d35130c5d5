import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import StagewireControl

/// The control API's listening socket and its clients: beside the workers' socket, on the same event loop, so that an
/// answer shows one consistent state. Confined to that loop.
final class ControlServer {
    private let path: SocketPath
    private let bound: SocketPath.Identity?
    private let channel: any Channel
    private let guests: ControlGuests
    private let guardian: Guardian

    private init(
        path: SocketPath, bound: SocketPath.Identity?, channel: any Channel, guests: ControlGuests, guardian: Guardian
    ) {
        self.path = path
        self.bound = bound
        self.channel = channel
        self.guests = guests
        self.guardian = guardian
        if let bound { guardian.add(socket: path, bound) }
    }

    /// Requests are small, and few clients are in a hurry.
    private static let readSize = 16 * 1024

    /// Binds the socket. Blocks for the moment that it takes, and is called outside the event loop.
    static func bind(
        _ path: SocketPath, group: any EventLoopGroup, guardian: NIOLoopBound<Guardian>, patience: TimeAmount,
        desk: @escaping @Sendable () -> ControlDesk, logger: Logger
    ) throws -> NIOLoopBound<ControlServer> {
        let loop = group.any()
        let names = ControlCaller.permittedNames()
        let guests = try loop.submit {
            NIOLoopBound(ControlGuests(desk(), names: names, patience: patience), eventLoop: loop)
        }.wait()
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        AcceptBackoffHandler(), AcceptFailureHandler(logger: logger))
                }
            }
            // Who asks and shuts down its side, like `nc -N`, still gets its answer.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: readSize))
            .childChannelInitializer { channel in
                PeerCredentials.of(channel).flatMapThrowing { peer in try guests.value.admit(channel, peer) }
            }
        let (descriptor, identity) = try path.claim(mode: 0o600)
        let channel = try bootstrap.withBoundSocket(descriptor).wait()
        return try loop.submit {
            let server = ControlServer(
                path: path, bound: identity, channel: channel, guests: guests.value, guardian: guardian.value)
            return NIOLoopBound(server, eventLoop: loop)
        }.wait()
    }

    /// Clients that are connected.
    var clients: Int { guests.count }

    /// Removes the socket, then tells who waits for the end how it came. Completes when all clients are gone, a second
    /// later at most: their last answers are in the kernel by then.
    func close(_ end: EndAnswer) -> EventLoopFuture<Void> {
        if let bound {
            path.release(bound)
            guardian.remove(socket: path, bound)
        }
        channel.close(promise: nil)
        return guests.leave(end)
    }
}

/// The clients that are connected. Confined to the event loop.
final class ControlGuests {
    private let desk: ControlDesk
    private let names: [UInt32: String]
    /// `ControlLimits.patience`, or a test's.
    let patience: TimeAmount
    /// In order of arrival.
    private var connections: [ControlConnection] = []
    private var moves: UInt64 = 0
    private var emptied: EventLoopPromise<Void>?

    init(_ desk: ControlDesk, names: [UInt32: String], patience: TimeAmount) {
        self.desk = desk
        self.names = names
        self.patience = patience
    }

    func admit(_ channel: any Channel, _ peer: PeerCredentials) throws {
        guard emptied == nil else { throw EnvironmentError("the broker ends") }
        if connections.count >= ControlLimits.connections { leaveRoom() }
        let caller = ControlCaller(credentials: peer, userName: names[peer.uid])
        let connection = ControlConnection(channel, caller: caller, desk: desk, guests: self)
        connections.append(connection)
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = ControlLimits.head
        limits.maxHeaderListSize = ControlLimits.head
        limits.maxHeaderFieldCount = ControlLimits.headerFields
        // Errors are answered by the connection itself, as JSON.
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(
            withErrorHandling: false, withEncoderConfiguration: .init(), withDecoderLimitConfiguration: limits)
        try channel.pipeline.syncOperations.addHandler(connection)
    }

    /// Idle ones go first, then half-sent requests, then whoever waits; within each the one that moved last longest ago.
    private func leaveRoom() {
        let victim = connections.min { ($0.busyness, $0.movedAt) < ($1.busyness, $1.movedAt) }
        victim?.drop()
    }

    var count: Int { connections.count }

    /// Numbers what connections do, to tell which has been still for longest.
    func nextMove() -> UInt64 {
        moves += 1
        return moves
    }

    func left(_ connection: ControlConnection) {
        connections.removeAll { $0 === connection }
        if connections.isEmpty { emptied?.succeed(()) }
    }

    func leave(_ end: EndAnswer) -> EventLoopFuture<Void> {
        let promise = desk.loop.makePromise(of: Void.self)
        emptied = promise
        for connection in connections { connection.closeAfterAnswer() }
        desk.tellEnd(end)
        if connections.isEmpty { promise.succeed(()) }
        let deadline = desk.loop.assumeIsolated().scheduleTask(in: ControlLimits.farewell) { [self] in
            for connection in connections { connection.drop() }
        }
        promise.futureResult.whenComplete { _ in deadline.cancel() }
        return promise.futureResult
    }
}

import NIOCore
import StagewireModel

/// The inbound half of a connection: bytes to frames to the switchboard.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let connection: Connection
    private let switchboard: Switchboard
    private var assembler = FrameAssembler()

    init(_ connection: Connection, switchboard: Switchboard) {
        self.connection = connection
        self.switchboard = switchboard
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard connection.state == .open else { return }
        var read = unwrapInboundIn(data)
        do {
            let (connection, switchboard) = (connection, switchboard)
            try assembler.take(&read, limit: { switchboard.frameLimit(of: connection) }) {
                frame throws(CloseReason) in try switchboard.receive(frame, from: connection)
            }
        } catch {
            assembler = FrameAssembler()
            switchboard.violated(connection, error)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent { switchboard.disconnected(connection) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        switchboard.disconnected(connection)
        context.fireChannelInactive()
    }

    /// A broken connection, such as a peer that closed with unread data: the channel closes, and
    /// `channelInactive` reports it.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

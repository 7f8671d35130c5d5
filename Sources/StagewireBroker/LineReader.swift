import NIOCore
import NIOPosix

/// Drains one pipe of a worker. Reading never stops, whatever becomes of the lines: a full pipe would
/// block the worker.
final class LineReader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private var splitter = LineSplitter()
    private let line: ([UInt8]) -> Void

    init(line: @escaping ([UInt8]) -> Void) { self.line = line }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        splitter.append(unwrapInboundIn(data).readableBytesView, line: line)
    }

    func channelInactive(context: ChannelHandlerContext) {
        splitter.finish(line: line)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// Takes over `descriptor`, the reading end of a pipe.
    static func attach(
        _ descriptor: CInt, to loop: any EventLoop, line: @escaping ([UInt8]) -> Void
    ) -> EventLoopFuture<any Channel> {
        let reader = NIOLoopBound(LineReader(line: line), eventLoop: loop)
        return NIOPipeBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(reader.value)
                }
            }
            .takingOwnershipOfDescriptor(input: descriptor)
            .map { $0 as any Channel }
    }
}

import Glibc
import Testing

@testable import StagewireStage

/// What is asked of the kernel for a connection.
@Suite struct SocketTests {
    @Test func aLargeSendBufferIsAskedFor() throws {
        let broker = try FakeBroker()
        let descriptor = try Socket.connect(broker.path)
        defer { close(descriptor) }
        let other = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(other) }
        var buffer = Socket.sendBuffer
        setsockopt(other, SOL_SOCKET, SO_SNDBUF, &buffer, socklen_t(MemoryLayout<Int32>.size))
        #expect(sendBuffer(of: descriptor) == sendBuffer(of: other))
    }

    private func sendBuffer(of descriptor: Int32) -> Int32 {
        var size: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, &length)
        return size
    }
}

import Foundation
import StagewireModel
import Testing

@testable import StagewireBroker

/// Where the broker listens, and what stands in the way.
@Suite struct SocketPathTests {
    private func inDirectory(_ body: (String) async throws -> Void) async throws {
        let directory = try BrokerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await body(directory)
    }

    private func broker(_ path: String) throws -> Broker {
        var settings = Broker.Settings(directory: "/", environment: [:])
        settings.socketPath = path
        return try Broker(.chain(), settings, logger: LogRecorder().logger)
    }

    private func mode(_ path: String) -> UInt32 {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    private func end(_ broker: Broker) async throws {
        broker.abandon()
        _ = try await broker.finished()
    }

    @Test func directoryIsCreatedForItsOwnerAlone() async throws {
        try await inDirectory { directory in
            let path = directory + "/a/b/x.sock"
            let broker = try broker(path)
            #expect(mode(directory + "/a") == 0o700 && mode(directory + "/a/b") == 0o700)
            _ = try Peer(path)
            try await end(broker)
            #expect(access(path, F_OK) != 0)
        }
    }

    @Test func secondBrokerIsRefusedAndTheFirstStays() async throws {
        try await inDirectory { directory in
            let path = directory + "/x.sock"
            let first = try broker(path)
            let error = #expect(throws: EnvironmentError.self) { _ = try broker(path) }
            #expect(error?.description.contains("in use") == true)
            _ = try Peer(path)
            try await end(first)
        }
    }

    @Test func staleSocketIsReplaced() async throws {
        try await inDirectory { directory in
            let path = directory + "/x.sock"
            // A socket whose owner died: bound, and nobody listens.
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            let bound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            #expect(bound == 0)
            close(descriptor)
            let broker = try broker(path)
            _ = try Peer(path)
            try await end(broker)
        }
    }

    @Test func successorsSocketIsNotRemoved() async throws {
        try await inDirectory { directory in
            let path = directory + "/x.sock"
            let first = try broker(path)
            unlink(path)
            unlink(first.controlPath)
            let second = try broker(path)
            try await end(first)
            _ = try Peer(path)
            _ = try Peer(second.controlPath)
            try await end(second)
        }
    }

    @Test func whatIsNotASocketStays() async throws {
        try await inDirectory { directory in
            let path = directory + "/x.sock"
            _ = FileManager.default.createFile(atPath: path, contents: Data("mine".utf8))
            let error = #expect(throws: EnvironmentError.self) { _ = try broker(path) }
            #expect(error?.description.contains("is not a socket") == true)
            #expect(FileManager.default.contents(atPath: path) == Data("mine".utf8))
        }
    }

    @Test func directoryThatOthersMayWriteToIsRefused() async throws {
        try await inDirectory { directory in
            chmod(directory, 0o777)
            let error = #expect(throws: EnvironmentError.self) { _ = try broker(directory + "/x.sock") }
            #expect(error?.description.contains("chmod 700") == true)
            chmod(directory, 0o1777)
            try await end(try broker(directory + "/x.sock"))
        }
    }

    @Test func lengthIsChecked() throws {
        let longest = "/tmp/" + String(repeating: "x", count: SocketPath.longest - 5)
        #expect(throws: Never.self) { _ = try SocketPath(longest) }
        let error = #expect(throws: EnvironmentError.self) { _ = try SocketPath(longest + "y") }
        #expect(error?.description.contains("has 108 bytes; Unix sockets allow 107") == true)
        #expect(throws: EnvironmentError.self) { _ = try SocketPath("") }
    }

    @Test func standardPlace() {
        let path = SocketPath.standard(pipeline: "p", environment: ["XDG_RUNTIME_DIR": "/run/user/7"])
        #expect(path == "/run/user/7/stagewire/p.sock")
        #expect(SocketPath.standard(pipeline: "p", environment: [:]) == "/tmp/stagewire-\(geteuid())/p.sock")
        #expect(SocketPath.absolute("/a/b") == "/a/b")
        #expect(SocketPath.absolute("./b").hasSuffix("/b") && !SocketPath.absolute("./b").contains("./"))
    }
}

import Foundation
import StagewireControl
import StagewireModel
import Testing

@testable import StagewireBroker

/// Where the control socket lies, who may use it, and what stands in its way.
@Suite struct ControlSocketTests {
    @Test func itIsTheOwnersAndGoesWithTheBroker() async throws {
        try await BrokerFixture.with(.chain()) { fixture in
            #expect(fixture.broker.controlPath == fixture.directory + "/run/test.control.sock")
            var status = stat()
            #expect(stat(fixture.broker.controlPath, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o600 && status.st_mode & S_IFMT == S_IFSOCK)
        }
    }

    @Test func whatStandsInItsWayStopsTheRun() async throws {
        let directory = try BrokerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var settings = Broker.Settings(directory: directory, environment: [:])
        settings.socketPath = directory + "/x.sock"
        _ = FileManager.default.createFile(atPath: directory + "/x.control.sock", contents: Data("mine".utf8))
        let error = #expect(throws: EnvironmentError.self) {
            _ = try Broker(.chain(), settings, logger: LogRecorder().logger)
        }
        #expect(error?.description.contains("\(directory)/x.control.sock exists and is not a socket") == true)
        // Nothing is left behind, and nothing that was there is gone.
        #expect(access(directory + "/x.sock", F_OK) != 0)
        #expect(FileManager.default.contents(atPath: directory + "/x.control.sock") == Data("mine".utf8))
    }

    @Test func itsPathHasToFit() throws {
        let directory = try BrokerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var settings = Broker.Settings(directory: directory, environment: [:])
        settings.socketPath = "\(directory)/" + String(repeating: "x", count: 102 - directory.utf8.count - 1)
        let error = #expect(throws: EnvironmentError.self) {
            _ = try Broker(.chain(), settings, logger: LogRecorder().logger)
        }
        #expect(error?.description.contains("has 110 bytes") == true && error?.description.contains("control") == true)
    }

    /// A mode that somebody has changed does not open the pipeline to others. Needs root to become somebody else.
    @Test(
        .enabled(
            if: geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0 && access("/usr/bin/curl", X_OK) == 0,
            "only root can become another user, with setpriv, and ask with curl"))
    func otherUsersAreRefused() async throws {
        try await BrokerFixture.with(.chain()) { fixture in
            let path = fixture.broker.controlPath
            for directory in [fixture.directory, fixture.directory + "/run"] { chmod(directory, 0o755) }
            // By its mode alone the kernel refuses.
            #expect(try await Self.ask(path).hasSuffix("000"))
            chmod(path, 0o666)
            let answer = try await Self.ask(path)
            #expect(answer.hasSuffix("403") && answer.contains("belongs to another user"))
            let own = ControlPeer.self
            #expect(try await onThread { try own.init(path).get("/v1").status } == 200)
        }
    }

    /// What user 65534 (nobody) is answered, and HTTP's status behind it.
    private static func ask(_ path: String) async throws -> String {
        let command = [
            "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/curl", "-s", "-w", "%{http_code}",
            "--unix-socket", path, "http://localhost/v1/status",
        ]
        return try await onThread {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
            process.arguments = command
            let pipe = Pipe()
            process.standardOutput = pipe
            try process.run()
            let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            return String(decoding: data, as: UTF8.self)
        }
    }
}

import Foundation
import NIOCore
import StagewireControl
import StagewireModel
import Testing

@testable import StagewireBroker

/// The control socket as HTTP: what is answered, what is refused, and what a misbehaving client costs.
@Suite struct ControlServerTests {
    /// Runs `body` on a thread with the path of a broker's control socket.
    private func withSocket(
        change: (inout Broker.Settings) -> Void = { _ in }, _ body: @escaping @Sendable (String) throws -> Void
    ) async throws {
        let fixture = try BrokerFixture(.chain(), change: change)
        let path = fixture.broker.controlPath
        do {
            try await onThread { try body(path) }
        } catch {
            _ = try await fixture.end()
            throw error
        }
        _ = try await fixture.end()
        #expect(access(path, F_OK) != 0)
    }

    @Test func connectionsAreKeptAndRequestsMayBePipelined() async throws {
        try await withSocket { path in
            let peer = try ControlPeer(path)
            for _ in 0..<3 { #expect(try peer.get("/v1").status == 200) }
            try peer.send(
                "GET /v1 HTTP/1.1\r\n\r\nGET /v1/nothing HTTP/1.1\r\nHost:\r\n\r\nHEAD /v1/status HTTP/1.1\r\n\r\n"
                    + "GET /v1?x=1 HTTP/1.1\r\nConnection: close\r\n\r\n")
            let first = try #require(try peer.answer())
            let information = try first.decode(BrokerInformation.self)
            #expect(information.pipeline == "test" && information.pid == getpid() && information.api == 1)
            #expect(information.stagewire == Release.version && information.protocol == "1.0")
            #expect(first.fields["content-type"] == "application/json" && first.body.last == UInt8(ascii: "\n"))
            #expect(first.fields["stagewire-api"] == "1")
            #expect(try peer.answer()?.status == 404)
            let head = try #require(try peer.answer(isHead: true))
            #expect(head.status == 200 && (Int(head.fields["content-length"] ?? "") ?? 0) > 100)
            #expect(try peer.answer()?.fields["connection"] == "close")
            #expect(try peer.hasEnded())
        }
    }

    @Test func oldClientsAndHalfClosedOnesAreAnswered() async throws {
        try await withSocket { path in
            let old = try ControlPeer(path)
            try old.send("GET /v1 HTTP/1.0\r\n\r\n")
            #expect(try old.answer()?.status == 200)
            #expect(try old.hasEnded())
            let half = try ControlPeer(path)
            try half.send("GET /v1/status HTTP/1.1\r\n\r\n")
            half.peer.endOutput()
            #expect(try half.answer()?.status == 200)
            #expect(try half.hasEnded())
        }
    }

    private static let json = "Content-Type: application/json\r\n"

    private static func post(_ path: String, _ body: String, _ fields: String = json) -> String {
        "POST \(path) HTTP/1.1\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    @Test(arguments: [
        ("GET /v2/status HTTP/1.1\r\n\r\n", 404, "version 1"),
        ("GET /v1/dead-letters/nobody/1 HTTP/1.1\r\n\r\n", 404, "there are source, transform, sink"),
        ("GET /v1/dead-letters/sink/1 HTTP/1.1\r\n\r\n", 404, "any more"),
        ("GET /v1/dead-letters/sink/x HTTP/1.1\r\n\r\n", 400, "sink/17"),
        ("GET /v1/dead-letters?stage=nobody HTTP/1.1\r\n\r\n", 404, "no stage nobody"),
        ("GET /v1/dead-letters?reason=BORING HTTP/1.1\r\n\r\n", 400, "ATTEMPTS_EXHAUSTED"),
        ("GET /v1/dead-letters?limit=0 HTTP/1.1\r\n\r\n", 400, "1 to 1000"),
        ("GET /v1/dead-letters?limit=1001 HTTP/1.1\r\n\r\n", 400, "1 to 1000"),
        ("GET /v1/dead-letters?limit=-1 HTTP/1.1\r\n\r\n", 400, "whole number"),
        ("GET /v1/dead-letters?after=1 HTTP/1.1\r\n\r\n", 400, "without a stage"),
        ("GET /v1/dead-letters?stag=sink HTTP/1.1\r\n\r\n", 400, "stage, after, limit, reason, key"),
        ("GET /v1/dead-letters?limit HTTP/1.1\r\n\r\n", 400, "has no value"),
        ("GET /v1/dead-letters?limit=1&limit=2 HTTP/1.1\r\n\r\n", 400, "stands twice"),
        ("GET /v1/%ff HTTP/1.1\r\n\r\n", 400, "percent-encoded"),
        ("GET http://localhost/v1 HTTP/1.1\r\n\r\n", 400, "slash"),
        ("GET /v1 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "evil.example"),
        ("GET /v1 HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403, "localhost.evil.example"),
        ("GET /v1 HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400, "stands twice"),
        ("GET /v1 HTTP/1.1\r\nOrigin: http://localhost\r\n\r\n", 403, "web pages"),
        ("GET /v1 HTTP/1.1\r\nOrigin: null\r\n\r\n", 403, "web pages"),
        ("POST /v1/status HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405, "use GET"),
        ("GET /v1/stop HTTP/1.1\r\n\r\n", 405, "use POST"),
        ("PUT /v1/stop HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405, "use POST"),
        (post("/v1/dead-letters/drop", "{}", ""), 415, "Content-Type: application/json"),
        (post("/v1/dead-letters/drop", ""), 400, "not right"),
        (post("/v1/dead-letters/drop", "{\"stage\": \"sink\",\n x}"), 400, "around character"),
        (post("/v1/dead-letters/drop", "[]"), 400, "not right"),
        (post("/v1/dead-letters/drop", "{\"all\": true}"), 400, "the key stage is missing"),
        (post("/v1/dead-letters/drop", "{\"stage\": \"sink\", \"numbers\": [1, \"x\"]}"), 400, "numbers[1]"),
        (post("/v1/dead-letters/drop", "{\"stage\": \"sink\", \"number\": [1], \"all\": true}"), 400, "no key number"),
        (post("/v1/dead-letters/drop", "{\"stage\": \"sink\"}"), 400, "nothing says"),
        (post("/v1/dead-letters/drop", "{\"stage\": \"sink\", \"all\": false}"), 400, "nothing says"),
        (
            post("/v1/dead-letters/drop", "{\"stage\": \"sink\", \"all\": true, \"numbers\": [1]}"), 400,
            "one or the other"
        ),
        (post("/v1/dead-letters/retry", "{\"stage\": \"nobody\", \"all\": true}"), 404, "no stage nobody"),
        (post("/v1/stop", "{\"mode\": \"later\"}"), 400, "mode"),
        (post("/v1/stop?now", "{}"), 400, "has no value"),
        (post("/v1/dead-letters/drop", String(repeating: "[", count: 100_000)), 400, "not right"),
    ]) func refusal(_ request: String, _ status: Int, _ words: String) async throws {
        try await withSocket { path in
            let peer = try ControlPeer(path)
            try peer.send(request)
            let answer = try #require(try peer.answer())
            let problem = try #require(answer.problem)
            #expect(answer.status == status && ControlProblem.Code(rawValue: problem.code)?.status == status)
            #expect("\(problem.message) \(problem.hint ?? "")".contains(words), "\(problem)")
            #expect((answer.fields["allow"] != nil) == (status == 405))
            // What was refused is refused, and the connection goes on.
            #expect(try peer.get("/v1").status == 200)
        }
    }

    @Test func requestsOfTooManyBytes() async throws {
        try await withSocket { path in
            let calm = try ControlPeer(path)
            #expect(try calm.get("/v1").status == 200)
            let filler = String(repeating: "x", count: ControlLimits.head)
            for head in ["X: \(filler)", filler + ": x"] {
                let peer = try ControlPeer(path)
                try peer.send("GET /v1 HTTP/1.1\r\n\(head)\r\n\r\n")
                #expect(try peer.answer()?.status == 431)
                #expect(try peer.hasEnded())
            }
            let many = (0...ControlLimits.headerFields).map { "X\($0): y\r\n" }.joined()
            let fields = try ControlPeer(path)
            try fields.send("GET /v1 HTTP/1.1\r\n\(many)\r\n")
            #expect(try fields.answer()?.status == 431)
            let long = try ControlPeer(path)
            try long.send("GET /\(filler) HTTP/1.1\r\n\r\n")
            #expect(try long.answer()?.status == 431)
            let announced = try ControlPeer(path)
            try announced.send("POST /v1/stop HTTP/1.1\r\nContent-Length: \(ControlLimits.body + 1)\r\n\r\n")
            #expect(try announced.answer()?.problem?.code == "too_large")
            let chunked = try ControlPeer(path)
            try chunked.send("POST /v1/stop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            let chunk = "10000\r\n" + String(repeating: "x", count: 65_536) + "\r\n"
            for _ in 0...(ControlLimits.body / 65_536) { try chunked.send(chunk) }
            try chunked.send("0\r\n\r\n")
            #expect(try chunked.answer()?.status == 413)
            #expect(try chunked.hasEnded())
            #expect(try calm.status().state == .running)
        }
    }

    @Test func whatTheLimitsAllow() async throws {
        try await withSocket { path in
            let peer = try ControlPeer(path)
            try peer.send("GET /v1 HTTP/1.1\r\nX: \(String(repeating: "x", count: ControlLimits.head - 1000))\r\n\r\n")
            #expect(try peer.answer()?.status == 200)
            let body = "{\"mode\":\"later\"" + String(repeating: " ", count: ControlLimits.body - 16) + "}"
            #expect(body.utf8.count == ControlLimits.body)
            try peer.send(Self.post("/v1/stop", body, Self.json + "Expect: 100-continue\r\n"))
            #expect(try peer.answer()?.status == 400)
        }
    }

    @Test(arguments: [
        "nonsense\r\n\r\n", "\0\0\0\u{4}HELO", "GET /v1 HTTP/9.9\r\n\r\n", "GET /v1 HTTP/1.1\r\nA B: c\r\n\r\n",
        "POST /v1/stop HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/stop HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /v1/stop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ]) func garbageCostsOneConnection(_ garbage: String) async throws {
        try await withSocket { path in
            let other = try ControlPeer(path)
            let peer = try ControlPeer(path)
            try peer.send(garbage)
            let answer = try #require(try peer.answer())
            #expect(answer.status == 400 && answer.problem?.code == "bad_request")
            #expect(try peer.hasEnded())
            #expect(try other.get("/v1").status == 200)
        }
    }

    /// The one that has been idle longest makes room; those who wait for an answer stay.
    @Test func connectionsAreLimited() async throws {
        try await withSocket { path in
            let waiting = try (0..<3).map { _ in try ControlPeer(path) }
            for peer in waiting { try peer.send("GET /v1/end HTTP/1.1\r\n\r\n") }
            let idle = try (3..<ControlLimits.connections).map { _ in try ControlPeer(path) }
            for peer in idle { _ = try peer.get("/v1") }
            // Now the second of them has been still for longest.
            _ = try idle[0].get("/v1")
            let late = try ControlPeer(path)
            #expect(try late.get("/v1").status == 200)
            #expect(try idle[1].hasEnded())
            #expect(try idle[0].get("/v1").status == 200 && idle[2].get("/v1").status == 200)
            _ = try late.post("/v1/stop", StopRequest(mode: .drain))
            for peer in waiting { #expect(try peer.answer()?.status == 200) }
        }
    }

    /// A client that sends a byte now and then, one that sends nothing, and one that asks and does not read.
    @Test func slowClientsHaveToGo() async throws {
        try await withSocket(change: { $0.controlPatience = .milliseconds(300) }) { path in
            let silent = try ControlPeer(path)
            let dripping = try Peer(path)
            var status = 1
            for byte in "GET /v1 HTTP/1.1\r\nX: ".utf8 + [UInt8](repeating: 0x78, count: 1000) where status == 1 {
                status = send(dripping.descriptor, [byte], 1, Int32(MSG_NOSIGNAL))
                usleep(20_000)
            }
            #expect(status == -1)
            #expect(try silent.hasEnded())
            #expect(try ControlPeer(path).get("/v1").status == 200)
        }
    }

    /// One answer at most is kept for whoever asks and does not read: then nothing more is read from them.
    @Test func unreadAnswersAreBounded() async throws {
        try await withSocket { path in
            let greedy = try Peer(path, patience: 1)
            let requests = Array(String(repeating: "GET /v1/status HTTP/1.1\r\n\r\n", count: 1000).utf8)
            var sent = 0
            while sent < 64 << 20 {
                let count = send(greedy.descriptor, requests, requests.count, Int32(MSG_NOSIGNAL))
                guard count > 0 else { break }
                sent += count
            }
            // The kernel's buffers, and one read of ours.
            #expect(sent > 0 && sent < 4 << 20)
            #expect(try ControlPeer(path).status().state == .running)
        }
    }

    /// Who waits for the end and goes away is not kept until it comes.
    @Test func vanishedClientsAreForgotten() async throws {
        try await BrokerFixture.with(.chain()) { fixture in
            let path = fixture.broker.controlPath
            try await onThread {
                let waiting = try (0..<5).map { _ in try ControlPeer(path) }
                for peer in waiting { try peer.send("GET /v1/end HTTP/1.1\r\n\r\n") }
                let half = try ControlPeer(path)
                try half.send("POST /v1/stop HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")
                // Whatever they have sent is known by now.
                #expect(try ControlPeer(path).get("/v1").status == 200)
            }
            for _ in 0..<500 where await fixture.broker.controlClients() > 0 {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(await fixture.broker.controlClients() == 0)
        }
    }
}

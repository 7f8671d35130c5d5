import StagewireModel
import Testing

@testable import StagewireBroker

/// What happens between connecting and `Welcome`, and that nobody else notices a peer's mistakes.
@Suite struct HandshakeTests {
    private func onBroker(
        _ pipeline: PipelineDefinition = .chain(), _ body: @escaping @Sendable (String) throws -> Void
    ) async throws {
        try await BrokerFixture.with(pipeline) { fixture in
            let path = fixture.path
            try await onThread {
                try body(path)
                // Whatever came before: the next worker is served.
                let next = try Peer(path)
                #expect(try next.attach("source", instance: "next").instance == "next")
            }
        }
    }

    @Test func welcome() async throws {
        try await onBroker { path in
            let peer = try Peer(path)
            let welcome = try peer.attach("transform", instance: "a", offered: ["holds", "x-other"])
            #expect(welcome.pipeline == "test")
            #expect(welcome.instance == "a")
            #expect(welcome.features == ["holds"])
            #expect(welcome.inputs.map(\.stage) == ["source"])
            #expect(welcome.outputs.map(\.port) == ["out"])
            try peer.barrier()
        }
    }

    @Test func instanceIsNamedByTheBroker() async throws {
        try await onBroker { path in
            let (first, second) = (try Peer(path), try Peer(path))
            let names = [try first.attach("transform").instance, try second.attach("transform").instance]
            #expect(Set(names).count == 2 && !names.contains(""))
        }
    }

    @Test func helloInSingleBytes() async throws {
        try await onBroker { path in
            let peer = try Peer(path)
            let hello = ProtoWriter.frame(2) { hello in
                hello.varint(1, 1000)
                hello.varint(2, 1000)
                hello.bytes(3, "transform".utf8)
            }
            for byte in hello { try peer.send([byte]) }
            guard case .welcome = try peer.receiveControl() else {
                Issue.record("no Welcome")
                return
            }
        }
    }

    @Test(arguments: [
        (Array(repeating: UInt8(0xff), count: 64), Code.frameTooLarge),
        (Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), .frameTooLarge),
        ([0, 0, 0, 0], .malformedFrame),
        ([0, 0, 0x40, 1], .frameTooLarge),
        ([0x7f, 0xff, 0xff, 0xff, 1], .frameTooLarge),
        ([0, 0, 0, 3, 0xff, 0xff, 0xff], .malformedFrame),
        // Protocol 2.0, and a frame without any version.
        (ProtoWriter.prefixed([0x08, 0xd0, 0x0f]), .unsupportedVersion),
        (ProtoWriter.prefixed([0x2a, 0x00]), .unsupportedVersion),
        // A Ping, and an Emit, before Hello.
        (ProtoWriter.frame(5) { $0.varint(1, 1) }, .unexpectedMessage),
        (ProtoWriter.frame(8) { $0.varint(1, 1) }, .unexpectedMessage),
    ])
    func badBytes(_ bytes: [UInt8], _ code: Code) async throws {
        try await onBroker { path in
            let peer = try Peer(path)
            try peer.send(bytes)
            #expect(try peer.closingCode() == code)
        }
    }

    @Test func httpIsNamedInTheAnswer() async throws {
        try await onBroker { path in
            let peer = try Peer(path)
            try peer.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
            #expect(try peer.receiveClose().message.contains("HTTP"))
        }
    }

    @Test func unknownStageListsTheStages() async throws {
        try await onBroker { path in
            let peer = try Peer(path)
            let reason = #expect(throws: CloseReason.self) { _ = try peer.attach("transfrom") }
            #expect(reason?.code == Code.unknownStage.rawValue)
            #expect(reason?.message.contains("source, transform, sink") == true)
        }
    }

    @Test func secondInstanceIsRefusedAndTheFirstStays() async throws {
        try await onBroker { path in
            let (first, second) = (try Peer(path), try Peer(path))
            _ = try first.attach("transform", instance: "a")
            let reason = #expect(throws: CloseReason.self) { _ = try second.attach("transform", instance: "a") }
            #expect(reason?.code == Code.duplicateInstance.rawValue)
            try first.barrier()
        }
    }

    @Test func tokensAreChecked() async throws {
        let pipeline = PipelineDefinition.chain {
            $0.stages[1].launch = Launch(command: ["sleep", "60"])
        }
        try await onBroker(pipeline) { path in
            for token in [[], [1, 2, 3], Array(repeating: UInt8(0), count: 16)] as [[UInt8]] {
                let peer = try Peer(path)
                let reason = #expect(throws: CloseReason.self) { _ = try peer.attach("transform", token: token) }
                #expect(reason?.code == Code.unauthenticated.rawValue)
            }
        }
    }

    @Test func halfAFrameThenSilence() async throws {
        let pipeline = PipelineDefinition.chain { $0.limits.handshake = .milliseconds(100) }
        try await onBroker(pipeline) { path in
            let peer = try Peer(path)
            try peer.send([0, 0, 0, 40, 0x08])
            #expect(try peer.closingCode() == .handshakeTimeout)
        }
    }

    /// More strangers than there may be: the oldest have to go, and a worker is served at once all the same.
    @Test func twoHundredHalfSentHandshakes() async throws {
        try await onBroker { path in
            let peers = try (0..<200).map { _ in
                let peer = try Peer(path)
                try peer.send([0, 0, 0, 40, 0x08])
                return peer
            }
            let worker = try Peer(path)
            _ = try worker.attach("transform", instance: "a")
            try worker.barrier()
            // 201 have come, one of them has left the crowd.
            let refused = 201 - Limits.unauthenticated
            for peer in peers.prefix(refused) { #expect(try peer.closingCode() == .tooManyConnections) }
            try worker.barrier()
        }
    }

    /// The frame that a worker ends its side with is processed, and the answer still arrives.
    @Test func halfClosedConnectionGetsItsAnswer() async throws {
        try await onBroker { path in
            let peer = try Peer(path)
            _ = try peer.attach("transform", instance: "a")
            try peer.send(.ping(nonce: 9))
            try peer.send(.close(CloseReason(.ok, "")))
            peer.endOutput()
            try peer.skip(to: .pong(nonce: 9))
            #expect(try peer.closingCode() == .ok)
            // The name is free again.
            let next = try Peer(path)
            _ = try next.attach("transform", instance: "a")
        }
    }
}

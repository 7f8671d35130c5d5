import Glibc
import StagewireModel
import Testing

@testable import StagewireBroker

/// Attached workers that break the rules: they go, and the pipeline goes on.
@Suite struct HostilePeerTests {
    /// A peer that asks and never reads the answers.
    @Test func pingFlood() async throws {
        try await BrokerFixture.with(.chain()) { fixture in
            let path = fixture.path
            try await onThread {
                let flooder = try Peer(path)
                _ = try flooder.attach("transform", instance: "flooder")
                let other = try Peer(path)
                _ = try other.attach("transform", instance: "other")
                let pings = (0..<4096).flatMap { _ in ProtoWriter.frame(5) { $0.varint(1, .max) } }
                // A Pong is as long as a Ping: the ceiling, what the kernel holds, and some.
                var sent = 0
                while sent < 4 * Limits.unwrittenCeiling {
                    do { try flooder.send(pings) } catch { break }
                    sent += pings.count
                }
                #expect(sent > Limits.unwrittenCeiling)
                try other.barrier()
            }
            #expect(fixture.log.lines.contains { $0.contains("[transform/flooder] closed: More than") })
        }
    }

    /// A peer that grants everything and stops reading: what the broker encodes for it is bounded.
    @Test func endlessCreditWithoutReading() async throws {
        let pipeline = PipelineDefinition.chain {
            $0.limits.unsettledBytes = 1 << 30
            $0.limits.unsettledRecords = 1 << 24
            $0.limits.windowBytes = 64 << 20
        }
        try await BrokerFixture.with(pipeline) { fixture in
            let path = fixture.path
            let greedy = try Peer(path)
            _ = try greedy.attach("transform", instance: "greedy")
            try greedy.send(.credit(CreditLimit(records: .max, bytes: .max)))
            try await onThread {
                let source = try TestWorker(path, stage: "source")
                _ = try source.claim("p")
                let payload = [UInt8](repeating: 7, count: 60_000)
                for id in 1...500 as ClosedRange<UInt64> {
                    try source.emit("p", id: id, [TestRecord(payload: payload)])
                }
                try source.awaitCommitted(through: 500)
                try source.peer.barrier()
            }
            let unwritten = await fixture.broker.unwrittenBytes()
            // The last Deliver may begin just under the limit; the kernel's own buffer is not counted.
            #expect(unwritten <= Limits.unwritten + Limits.deliverTarget + 65_536)
            #expect(unwritten >= Limits.unwritten)
            let summary = await fixture.broker.summary()
            #expect((summary?.stages[1].inFlight ?? 0) < 60)
            withExtendedLifetime(greedy) {}
        }
    }

    @Test func creditOvershoot() async throws {
        let pipeline = PipelineDefinition.chain {
            $0.limits.windowRecords = 100
            $0.limits.maxStepRecords = 10
        }
        try await BrokerFixture.with(pipeline) { fixture in
            let path = fixture.path
            try await onThread {
                let source = try Peer(path)
                _ = try source.attach("source")
                try source.send(.claim(partition: "p"))
                // More records in one frame than the window and every step of 16 workers have room for.
                try source.send(
                    ProtoWriter.frame(10) { emit in
                        emit.bytes(1, "p".utf8)
                        emit.varint(2, 1)
                        for _ in 0..<1000 { emit.message(3) { $0.bytes(3, TestRecord(payload: [1]).output) } }
                    })
                #expect(try source.closingCode() == .creditExceeded)
                let next = try Peer(path)
                _ = try next.attach("source")
                try next.barrier()
            }
        }
    }

    @Test(arguments: [
        (
            ProtoWriter.frame(9) {
                $0.message(1) {
                    $0.varint(1, 1); $0.varint(3, 1)
                }
            }, Code.unknownDelivery
        ),
        (
            ProtoWriter.frame(9) {
                $0.message(1) {
                    $0.varint(1, 1); $0.varint(3, 0)
                }
            }, .invalidOutcome
        ),
        (ProtoWriter.frame(9) { $0.bytes(1, [0x0a, 0xff]) }, .malformedFrame),
        (
            ProtoWriter.frame(10) {
                $0.bytes(1, "p".utf8); $0.varint(2, 1)
            }, .notClaimed
        ),
        (ProtoWriter.frame(8) { $0.varint(2, 1) }, .unexpectedMessage),
        (ProtoWriter.frame(3) { $0.varint(1, 1000) }, .unexpectedMessage),
        ([0x04, 0, 0, 1], .frameTooLarge),
    ])
    func brokenRules(_ frame: [UInt8], _ code: Code) async throws {
        try await BrokerFixture.with(.chain()) { fixture in
            let path = fixture.path
            try await onThread {
                let peer = try Peer(path)
                _ = try peer.attach("transform", instance: "a")
                try peer.send(frame)
                #expect(try peer.closingCode() == code)
                let next = try Peer(path)
                _ = try next.attach("transform", instance: "a")
            }
        }
    }

    /// A closed peer that neither reads nor leaves is cut off after the grace.
    @Test func closedPeerThatStays() async throws {
        try await BrokerFixture.with(.chain()) { fixture in
            let path = fixture.path
            try await onThread {
                let peer = try Peer(path)
                _ = try peer.attach("transform", instance: "a")
                try peer.send(ProtoWriter.frame(8) { $0.varint(2, 1) })
                _ = try peer.receiveClose()
                // Writing goes on working until the broker's own end is gone.
                var status: Int32 = 0
                repeat {
                    status = Int32(Glibc.send(peer.descriptor, [0], 1, Int32(MSG_NOSIGNAL)))
                    usleep(100_000)
                } while status == 1
            }
        }
    }
}

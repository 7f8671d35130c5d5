import StagewireModel
import Testing

@testable import StagewireStage

/// Windows that were given back, as the broker delivers them again.
@Suite struct WindowRetryTests {
    private static let second: Int64 = 1_000_000

    private static func record(_ id: UInt8, _ key: String, _ seconds: Int64, _ text: String) -> [UInt8] {
        FakeSession.record(text, key: key, eventTime: seconds * second, id: id)
    }

    /// Gives back a window whose first record is "again" at its first attempt; else joins the texts.
    @Sendable private static func join(_ window: Window, _ out: inout Emitter) throws {
        let texts = try window.records.map { try $0.text() }
        if window.records[0].attempt == 1, texts.first == "again" { throw Verdict.release }
        out.emit(text: texts.joined(separator: "+"))
    }

    private static func text(_ outcomes: [SeenOutcome], _ delivery: UInt64) -> String? {
        outcomes.first { $0.deliveries.contains(delivery) }?.emissions.first?.text
    }

    private static func kind(_ outcomes: [SeenOutcome], _ delivery: UInt64) -> UInt64? {
        outcomes.first { $0.deliveries.contains(delivery) }?.kind
    }

    /// While a key waits for what it gave back, the others move the watermark.
    @Test func aKeyThatLagsIsNotLate() async throws {
        let bounds = WindowBounds.eventTime(size: .seconds(10), idle: .zero)
        let exit = try await FakeBroker.play(.window(bounds, byKey: true, Self.join)) { broker, _ in
            let session = try broker.attach { $0.inputs[0].ordering = .key }
            try session.deliver(records: [
                Self.record(1, "k", 1, "again"), Self.record(2, "k", 11, "b"), Self.record(3, "l", 12, "x"),
            ])
            var seen = try session.outcomes(2)
            #expect([1, 2].map { Self.kind(seen, $0) } == [4, 4], "2 is void with 1")
            // 5 is under way and void too: no Pong has been sent. The watermark is far ahead when the key comes again.
            try session.deliver(records: [Self.record(4, "l", 95, "y"), Self.record(5, "k", 13, "c")])
            seen += try session.outcomes(2)
            #expect(Self.text(seen, 3) == "x")
            #expect(Self.kind(seen, 5) == 4)
            try session.readPings()
            let back = [Self.record(1, "k", 1, "again"), Self.record(6, "k", 9, "new"), Self.record(2, "k", 11, "b")]
            try session.deliver(records: [back[0]], attempts: [2])
            try session.deliver(records: Array(back[1...]))
            try session.deliver(records: [Self.record(5, "k", 13, "c"), Self.record(7, "k", 96, "d")])
            try session.deliver(records: [Self.record(8, "k", 19, "late")])
            try session.send(.drain(.inputEnded, deadlineMS: 0))
            seen += try session.outcomes(11 - seen.reduce(0) { $0 + $1.deliveries.count })
            #expect(Self.text(seen, 6) == "again+new")
            #expect(Self.kind(seen, 11) == 2, "it has caught up")
            #expect(Self.text(seen, 8) == "b+c")
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    /// Windows that have ended already and wait for the handler are void as well.
    @Test func voidDeliveriesAreNotHandled() async throws {
        let exit = try await FakeBroker.play(.window(.records(1), byKey: true, Self.join)) { broker, _ in
            let session = try broker.attach { $0.inputs[0].ordering = .key }
            try session.deliver(records: [
                Self.record(1, "k", 0, "again"), Self.record(2, "l", 0, "x"), Self.record(3, "k", 0, "b"),
            ])
            let seen = try session.outcomes(3)
            #expect([1, 2, 3].map { Self.kind(seen, $0) } == [4, 1, 4])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }
}

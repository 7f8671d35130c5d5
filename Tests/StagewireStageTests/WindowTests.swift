import Foundation
import StagewireModel
import Testing

@testable import StagewireStage

@Suite struct WindowTests {
    /// Emits the texts of a window, joined, and how it ended.
    @Sendable private static func join(_ window: Window, _ out: inout Emitter) throws {
        let text = try window.records.map { try $0.text() }.joined(separator: "+")
        out.emit(text: text + (window.isComplete ? "" : "!"))
    }

    private static func texts(_ outcomes: [SeenOutcome]) -> [String] { outcomes.flatMap(\.emissions).map(\.text) }

    @Test func aWindowOfRecordsIsOneStep() async throws {
        let exit = try await FakeBroker.play(.window(.records(3), Self.join)) { broker, _ in
            let session = try broker.attach()
            #expect(session.hello.required == ["holds"])
            try session.deliver(["a", "b", "c", "d"])
            let seen = try session.outcomes(3)
            #expect(seen.map(\.deliveries) == [[1, 2, 3]])
            #expect(Self.texts(seen) == ["a+b+c"])
            try session.send(.drain(.inputEnded, deadlineMS: 0))
            #expect(Self.texts(try session.outcomes(1)) == ["d"], "at Drain every window ends")
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func windowsByKeySettleTheirOwnRecords() async throws {
        let exit = try await FakeBroker.play(.window(.records(2), byKey: true, Self.join)) { broker, _ in
            let session = try broker.attach()
            let records = [("a", "k"), ("b", "l"), ("c", "k"), ("d", "l")]
            try session.deliver(records: records.map { FakeSession.record($0.0, key: $0.1) })
            let seen = try session.outcomes(4)
            #expect(seen.map(\.deliveries) == [[1, 3], [2, 4]])
            #expect(Self.texts(seen) == ["a+c", "b+d"])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func theConfigurationMaySayHowLargeAWindowIs() async throws {
        struct Settings: Decodable { var count: Int }
        let stage = Stage.window(configuration: Settings.self) { settings in
            (WindowBounds(records: settings.count, byKey: true), Self.join)
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach { $0.config = Array(#"{"count": 2}"#.utf8) }
            let records = [("a", "k"), ("b", "l"), ("c", "k")]
            try session.deliver(records: records.map { FakeSession.record($0.0, key: $0.1) })
            #expect(try session.outcomes(2).map(\.deliveries) == [[1, 3]])
            try session.send(.drain(.inputEnded, deadlineMS: 0))
            #expect(Self.texts(try session.outcomes(1)) == ["b"])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func timeEndsAWindow() async throws {
        let exit = try await FakeBroker.play(.window(.seconds(0.05), Self.join)) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["a", "b"])
            #expect(Self.texts(try session.outcomes(2)) == ["a+b"])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aShutdownReleasesWhatIsHeld() async throws {
        let exit = try await FakeBroker.play(.window(.records(100), Self.join)) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["a", "b"])
            try session.send(.drain(.shutdown, deadlineMS: 1000))
            let seen = try session.outcomes(2)
            #expect(seen.allSatisfy { $0.kind == 4 && $0.emissions.isEmpty })
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func theOldestEndsEarlyWhereTheBrokerLetsASessionHoldNoMore() async throws {
        let exit = try await FakeBroker.play(.window(.records(100), byKey: true, Self.join)) { broker, _ in
            let session = try broker.attach { $0.inputs[0].maxUnsettledRecords = 3 }
            let records = [("a", "k"), ("b", "l"), ("c", "k")]
            try session.deliver(records: records.map { FakeSession.record($0.0, key: $0.1) })
            #expect(Self.texts(try session.outcomes(2)) == ["a+c!"])
            try session.send(.drain(.inputEnded, deadlineMS: 0))
            #expect(Self.texts(try session.outcomes(1)) == ["b"])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func singleRecordsOfAWindowCanBeRejected() async throws {
        let stage = Stage.window(.records(3)) { window, out in
            out.reject(window.records[1], 1007, "bad")
            out.emit(Output(text: "first"), parents: [window.records[0]])
            out.emit(text: "all")
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["a", "b", "c"])
            let seen = try session.outcomes(3)
            #expect(seen[0] == SeenOutcome(deliveries: [2], kind: 2, code: 1007, message: "bad"))
            #expect(seen[1].deliveries == [1, 3])
            #expect(seen[1].emissions.map(\.parents) == [[1], []])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func leasesAreExtendedWhileAWindowWaits() async throws {
        let exit = try await FakeBroker.play(.window(.records(100), Self.join)) { broker, _ in
            let session = try broker.attach { $0.leaseMS = 90 }
            try session.deliver(["a"])
            #expect(try session.nextControl() == .extend)
            #expect(try session.nextControl() == .extend)
            try session.send(.drain(.inputEnded, deadlineMS: 0))
            _ = try session.outcomes(1)
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }
}

/// The sorter alone: no clock, no connection.
@Suite struct WindowSorterTests {
    private static func record(_ time: Int64, _ text: String = "x", key: String = "") -> Record {
        var output = Output(text: text)
        output.eventTime = time
        output.key = Array(key.utf8)
        return Record(testing: output)
    }

    private static let second: Int64 = 1_000_000

    @Test func windowsByEventTimeAreAlignedAndCloseAtTheWatermark() {
        var sorter = WindowSorter(.eventTime(size: .seconds(10), lateness: .seconds(5)), byKey: false)
        for time in [1, 9, 11, 14] {
            #expect(sorter.add(Self.record(Int64(time) * Self.second), now: 0) == .held)
        }
        #expect(sorter.takeEnded().isEmpty, "the watermark stands at 9 s")
        #expect(sorter.add(Self.record(15 * Self.second), now: 0) == .held)
        let ended = sorter.takeEnded()
        #expect(ended.map(\.span) == [0..<(10 * Self.second)])
        #expect(ended.map(\.records.count) == [2])
        #expect(sorter.add(Self.record(3 * Self.second), now: 0) == .late(end: 10 * Self.second))
        #expect(sorter.add(Self.record(0), now: 0) == .timeless)
    }

    @Test func timesBefore1970BelongToTheWindowBelow() {
        var sorter = WindowSorter(.eventTime(size: .seconds(10)), byKey: false)
        #expect(sorter.add(Self.record(-1), now: 0) == .held)
        sorter.endEverything()
        #expect(sorter.takeEnded().map(\.span) == [(-10 * Self.second)..<0])
    }

    @Test func aQuietStreamEndsItsWindows() {
        var sorter = WindowSorter(.eventTime(size: .seconds(10), idle: .seconds(2)), byKey: false)
        _ = sorter.add(Self.record(Self.second), now: 5 * Uptime.second)
        #expect(sorter.nextDeadline == 7 * Uptime.second)
        sorter.advance(to: 6 * Uptime.second)
        #expect(!sorter.hasEnded)
        sorter.advance(to: 7 * Uptime.second)
        #expect(sorter.takeEnded().count == 1)
        #expect(sorter.add(Self.record(2 * Self.second), now: 8 * Uptime.second) == .late(end: 10 * Self.second))
    }

    @Test func bytesEndAWindowBeforeItHasMore() {
        var sorter = WindowSorter(WindowBounds(bytes: 5), byKey: false)
        for text in ["abc", "de", "f"] { _ = sorter.add(Self.record(1, text), now: 0) }
        #expect(sorter.takeEnded().map { $0.records.map(\.payloadSize) } == [[3, 2]])
        _ = sorter.add(Self.record(1, "0123456789"), now: 0)
        #expect(sorter.takeEnded().map { $0.records.count } == [1], "one that is larger goes alone")
    }

    @Test func aBatchOfManyKeysEndsOldestFirst() {
        var sorter = WindowSorter(WindowBounds(time: .seconds(1)), byKey: true)
        for key in ["c", "a", "b"] { _ = sorter.add(Self.record(1, key: key), now: 0) }
        sorter.advance(to: Uptime.second)
        #expect(sorter.takeEnded().map { String(decoding: $0.key, as: UTF8.self) } == ["c", "a", "b"])
    }
}

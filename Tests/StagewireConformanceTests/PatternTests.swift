import StagewireWire
import Testing

@testable import StagewireConformance

struct PatternTests {
    struct Pair: Sendable {
        var pattern: FrameLiteral
        var value: FrameLiteral

        init(_ pattern: FrameLiteral, _ value: FrameLiteral) {
            self.pattern = pattern
            self.value = value
        }
    }

    private static let yes = FrameLiteral.flag(true)
    private static let abc = FrameLiteral.bytes(Array("abc".utf8))

    static let holding: [Pair] = [
        Pair(5, 5), Pair(["a": 1], ["a": 1, "b": 2]), Pair(0, .null), Pair("", .bytes([])),
        Pair("0x00ff", .bytes([0, 255])), Pair("ACCEPTED", "OUTCOME_KIND_ACCEPTED"), Pair(["min": 2, "max": 4], 3),
        Pair(["one_of": [1, 2]], 2), Pair(["not": 3], 4), Pair(["absent": yes], .null), Pair(["present": yes], 1),
        Pair(["contains": "b"], abc), Pair(["starts": "ab"], abc), Pair(["size": 2], [1, 2]),
        Pair(["has": [["a": 1]]], [["a": 2], ["a": 1]]), Pair(["fill": "abc", "size": 3], abc), Pair([1, 2], [1, 2]),
        Pair(["any": yes], .null), Pair(["size": ["max": 3]], abc),
    ]

    static let failing: [Pair] = [
        Pair(5, 6), Pair(["a": 1], ["a": 2]), Pair(["a": 1], [:]), Pair(1, .null), Pair("0x00ff", .bytes([0, 254])),
        Pair("ACCEPTED", "OUTCOME_KIND_REJECTED"), Pair(["min": 2], 1), Pair(["max": 4], 5),
        Pair(["one_of": [1, 2]], 3), Pair(["not": 3], 3), Pair(["absent": yes], 1), Pair(["present": yes], 0),
        Pair(["contains": "x"], abc), Pair(["starts": "b"], abc), Pair(["size": 2], [1]),
        Pair(["has": [["a": 1]]], [["a": 2]]), Pair([1, 2], [1]), Pair([1, 2], [2, 1]),
        Pair(["fill": "ab", "size": 3], abc), Pair(["size": ["max": 2]], abc),
    ]

    @Test(arguments: holding)
    func holds(pair: Pair) { #expect(Pattern.mismatch(pair.pattern, pair.value) == nil) }

    @Test(arguments: failing)
    func fails(pair: Pair) { #expect(Pattern.mismatch(pair.pattern, pair.value) != nil) }

    @Test("The message names the place and both values")
    func message() {
        let pattern: FrameLiteral = ["a": ["b": [1, 2]]]
        let value: FrameLiteral = ["a": ["b": [1, 3]]]
        #expect(Pattern.mismatch(pattern, value) == "a.b[1] is 3, 2 is expected")
    }
}

struct MurmurTests {
    @Test("The suite's own hash gives PROTOCOL.md's examples")
    func examples() throws {
        let origin = Murmur.hash(Array("sensors\0ingest\0readings.csv".utf8))
        #expect(hex(origin) == "a730acc74a26adc2e3f06ee4d65cd527")
        #expect(hex(Murmur.hash(origin + Murmur.little(1) + Murmur.little(0))) == "ad0463b0d8404c62c36d38447d3c52ab")
        #expect(hex(Array(Murmur.hash(Array("sensor-7".utf8))[..<8].reversed())) == "ca6f58db4dc8a0a1")
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}

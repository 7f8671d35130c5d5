import StagewireWire
import Testing

@testable import StagewireConformance

struct PatternTests {
    @Test(arguments: [
        (FrameLiteral.integer(5), FrameLiteral.integer(5)), (["a": 1], ["a": 1, "b": 2]), (0, .null), ("", .bytes([])),
        ("0x00ff", .bytes([0, 255])), ("ACCEPTED", "OUTCOME_KIND_ACCEPTED"), (["min": 2, "max": 4], 3),
        (["one_of": [1, 2]], 2), (["not": 3], 4), (["absent": .flag(true)], .null), (["present": .flag(true)], 1),
        (["contains": "b"], .bytes(Array("abc".utf8))), (["starts": "ab"], "abc"), (["size": 2], [1, 2]),
        (["has": [["a": 1]]], [["a": 2], ["a": 1]]), (["fill": "ab", "size": 3], .bytes(Array("aba".utf8))),
        ([1, 2], [1, 2]), (["any": .flag(true)], .null), (["size": ["max": 3]], "abc"),
    ])
    func holds(pattern: FrameLiteral, value: FrameLiteral) {
        #expect(Pattern.mismatch(pattern, value) == nil)
    }

    @Test(arguments: [
        (FrameLiteral.integer(5), FrameLiteral.integer(6)), (["a": 1], ["a": 2]), (["a": 1], [:]), (1, .null),
        ("0x00ff", .bytes([0, 254])), ("ACCEPTED", "OUTCOME_KIND_REJECTED"), (["min": 2], 1), (["max": 4], 5),
        (["one_of": [1, 2]], 3), (["not": 3], 3), (["absent": .flag(true)], 1), (["present": .flag(true)], 0),
        (["contains": "x"], "abc"), (["starts": "b"], "abc"), (["size": 2], [1]), (["has": [["a": 1]]], [["a": 2]]),
        ([1, 2], [1]), ([1, 2], [2, 1]), (["fill": "ab", "size": 3], .bytes(Array("abb".utf8))),
        (["size": ["max": 2]], "abc"),
    ])
    func fails(pattern: FrameLiteral, value: FrameLiteral) {
        #expect(Pattern.mismatch(pattern, value) != nil)
    }

    @Test("The message names the place and both values")
    func message() {
        let problem = Pattern.mismatch(["a": ["b": [1, 2]]], ["a": ["b": [1, 3]]])
        #expect(problem == "a.b[1] is 3, 2 is expected")
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

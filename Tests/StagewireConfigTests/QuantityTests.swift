import Foundation
import Testing

@testable import StagewireConfig

@Suite struct QuantityTests {
    @Test(arguments: [
        ("200ms", Duration.milliseconds(200)), ("0s", .zero), ("10m", .seconds(600)), ("1h30m", .seconds(5400)),
        ("2d1h1m1s1ms", .seconds(176_461) + .milliseconds(1)), ("90s", .seconds(90)), ("007s", .seconds(7)),
    ])
    func durations(_ text: String, _ expected: Duration) { #expect(Quantity.duration(text) == expected) }

    @Test(arguments: [
        "", "1", "s", "-1s", "+1s", "1.5s", "1 s", " 1s", "1s ", "1S", "1sec", "30m1h", "1s1s", "1ms1s", "1h30", "1hm",
        "m1",
        "1us", "1é", "99999999999999999999s", "9223372036854775807d", "3200000000001ms", "37038d", "１s",
    ])
    func noDurations(_ text: String) { #expect(Quantity.duration(text) == nil) }

    @Test(arguments: [
        ("0", 0), ("1", 1), ("4096B", 4096), ("64KiB", 65_536), ("64 KiB", 65_536), ("1MiB", 1_048_576),
        ("4MB", 4_000_000), ("1kB", 1000), ("1KB", 1000), ("2GiB", 2_147_483_648), ("3GB", 3_000_000_000),
    ])
    func sizes(_ text: String, _ expected: Int) { #expect(Quantity.size(text) == expected) }

    @Test(arguments: [
        "", "KiB", "-1", "1.5MiB", "1mib", "1M", "1  MiB", "1 ", "1MiB ", "1MiBB", "9223372036854775808",
        "9223372036854775807KiB", "8796093022208MiB", "0x10",
    ])
    func noSizes(_ text: String) { #expect(Quantity.size(text) == nil) }

    /// What is printed in a sentence can be copied into the file.
    @Test(arguments: 0..<200 as Range<UInt64>) func printAndParse(_ seed: UInt64) {
        var random = Random(seed: seed)
        let milliseconds = Int64.random(in: 0...(1 << Int64.random(in: 1...40, using: &random)), using: &random)
        let duration = Duration.milliseconds(milliseconds)
        #expect(Quantity.duration(Quantity.text(duration)) == duration, "seed \(seed)")
        let size = Int.random(in: 0...(1 << Int.random(in: 1...40, using: &random)), using: &random)
        for size in [size, size << 10, size << 20] {
            #expect(Quantity.size(Quantity.text(size)) == size, "seed \(seed)")
        }
    }
}

@Suite struct NumeralTests {
    /// Every text of these characters up to this length is a number for JSON, or none, or has the same value in both.
    @Test func jsonHasTheSameValue() throws {
        let characters = Array("-+0123.e")
        var texts = [""]
        var checked = 0
        for _ in 1...4 {
            texts = texts.flatMap { text in characters.map { text + String($0) } }
            for text in texts {
                guard let numeral = Numeral(text), numeral.kind == .integer || numeral.kind == .number else { continue }
                let value = try JSONSerialization.jsonObject(with: Data(numeral.json.utf8), options: .fragmentsAllowed)
                #expect((value as? NSNumber)?.doubleValue == Double(text), "\(text) became \(numeral.json)")
                #expect((numeral.kind == .integer) == (Int(text) != nil), "\(text)")
                checked += 1
            }
        }
        #expect(checked > 300)
    }

    @Test func textsThatAreNoNumbers() {
        for text in [
            "", "-", "+", ".", "-.", "e1", "1e", "1e+", "1e5.5", "--1", "0x", "0o8", "0xg", "1_0", "½", "٣", ".nanx",
            "inf", "nan",
        ] {
            #expect(Numeral(text) == nil, "\(text)")
        }
    }
}

@Suite struct SuggestionTests {
    @Test func near() {
        let names = ["workers", "max_workers", "from", "retry", "run"]
        #expect(nearest(to: "wokers", in: names) == "workers")
        #expect(nearest(to: "WORKERS", in: names) == "workers")
        #expect(nearest(to: "form", in: names) == "from")
        #expect(nearest(to: "retyr", in: names) == "retry")
        #expect(nearest(to: "nur", in: names) == nil)
        #expect(nearest(to: "zebra", in: names) == nil)
        #expect(nearest(to: "", in: names) == nil)
        #expect(nearest(to: String(repeating: "x", count: 100_000), in: names) == nil)
        #expect(nearest(to: "x", in: []) == nil)
    }

    /// The definition, word for word and exponentially slow.
    static func distance(_ a: ArraySlice<Unicode.Scalar>, _ b: ArraySlice<Unicode.Scalar>) -> Int {
        guard let x = a.last, let y = b.last else { return max(a.count, b.count) }
        var best = min(
            distance(a.dropLast(), b) + 1, distance(a, b.dropLast()) + 1,
            distance(a.dropLast(), b.dropLast()) + (x == y ? 0 : 1))
        if a.count > 1, b.count > 1, a[a.endIndex - 2] == y, b[b.endIndex - 2] == x {
            best = min(best, distance(a.dropLast(2), b.dropLast(2)) + 1)
        }
        return best
    }

    @Test func distanceIsTheDefinitions() {
        var words: [[Unicode.Scalar]] = [[]]
        let letters: [Unicode.Scalar] = ["a", "b", "c"]
        var last = words
        for _ in 0..<4 {
            last = last.flatMap { word in letters.map { word + [$0] } }
            words += last
        }
        for a in words {
            for b in words where (a.count + b.count) < 8 && a.count <= b.count {
                #expect(editDistance(a, b) == Self.distance(a[...], b[...]))
            }
        }
    }
}

import StagewireModel
import Testing

@Suite struct PredicateMeaningTests {
    private static func matches(_ predicate: Predicate, _ attributes: [String: AttributeValue]) -> Bool {
        predicate.matches { attributes[$0] }
    }

    @Test func absentAttributesAreNeverEqualNorDifferent() {
        for comparison in Predicate.Comparison.allCases {
            #expect(!Self.matches(.compare("a", comparison, .integer(1)), [:]))
        }
        #expect(Self.matches(.not(.compare("a", .equal, .integer(1))), [:]))
        #expect(!Self.matches(.isIn("a", [.integer(1)]), [:]))
        #expect(!Self.matches(.exists("a"), [:]))
        #expect(Self.matches(.exists("a"), ["a": .flag(false)]))
    }

    @Test func kindsDoNotMixButNumbersDo() {
        let values: [AttributeValue] = [.text("1"), .integer(1), .number(1), .flag(true)]
        for (i, a) in values.enumerated() {
            for (j, b) in values.enumerated() {
                let areNumbers = (1...2).contains(i) && (1...2).contains(j)
                #expect(Self.matches(.compare("a", .equal, b), ["a": a]) == (i == j || areNumbers))
                #expect(!Self.matches(.compare("a", .notEqual, b), ["a": a]))
            }
        }
    }

    @Test func order() {
        let record: [String: AttributeValue] = [
            "a": .integer(2), "t": .text("b"), "f": .flag(true), "n": .number(.nan),
        ]
        #expect(Self.matches(.compare("a", .less, .number(2.5)), record))
        #expect(Self.matches(.compare("a", .greaterOrEqual, .integer(2)), record))
        #expect(!Self.matches(.compare("a", .greater, .integer(2)), record))
        #expect(Self.matches(.compare("t", .lessOrEqual, .text("b")), record))
        for comparison in [Predicate.Comparison.less, .lessOrEqual, .greater, .greaterOrEqual] {
            #expect(!Self.matches(.compare("f", comparison, .flag(true)), record))
            #expect(!Self.matches(.compare("n", comparison, .number(1)), record))
        }
        #expect(!Self.matches(.compare("n", .equal, .number(.nan)), record))
    }

    @Test func connectives() {
        let yes = Predicate.exists("a")
        let no = Predicate.exists("b")
        for (a, x) in [(yes, true), (no, false)] {
            for (b, y) in [(yes, true), (no, false)] {
                #expect(Self.matches(.and(a, b), ["a": .flag(true)]) == (x && y))
                #expect(Self.matches(.or(a, b), ["a": .flag(true)]) == (x || y))
            }
            #expect(Self.matches(.not(a), ["a": .flag(true)]) == !x)
        }
    }
}

@Suite struct ValueTests {
    @Test func durations() {
        #expect(Duration.milliseconds(1).nanoseconds == 1_000_000)
        #expect((Duration.seconds(1) + .nanoseconds(5)).nanoseconds == 1_000_000_005)
        #expect(Duration.seconds(-1).nanoseconds == 0)
        #expect(Duration.nanoseconds(-1).nanoseconds == 0)
        #expect(Duration.seconds(Int64.max).nanoseconds == .max)
        #expect(Duration.seconds(18_446_744_073).nanoseconds == 18_446_744_073_000_000_000)
        #expect((Duration.seconds(18_446_744_073) + .milliseconds(999)).nanoseconds == .max)
        #expect(Duration.seconds(30).milliseconds == 30_000)
        #expect(Duration.seconds(Int64.max).milliseconds == .max)
    }

    @Test func recordIDs() {
        #expect(RecordID(low: 0, high: 0).description == String(repeating: "0", count: 32))
        // The first byte on the wire is the lowest of `low`.
        let id = RecordID(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908)
        #expect(id.description == "000102030405060708090a0b0c0d0e0f")
        #expect(RecordID(low: .max, high: 1).description == "ffffffffffffffff0100000000000000")
    }

    @Test func codes() {
        #expect(Set(Code.allCases.map(\.name)).count == Code.allCases.count)
        for code in Code.allCases {
            #expect(code.name == code.name.uppercased())
            switch code.scope {
            case .none: #expect(code == .ok)
            case .connection: #expect((100..<200).contains(code.rawValue))
            case .session: #expect((200..<300).contains(code.rawValue))
            case .delivery: #expect((300..<400).contains(code.rawValue))
            }
        }
    }

    @Test func versions() {
        #expect(ProtocolVersion.text(1000) == "1.0")
        #expect(ProtocolVersion.text(2013) == "2.13")
        #expect(ProtocolVersion.major(1999) == 1)
    }
}

@Suite struct PipelineDefinitionTests {
    private static func pipeline(_ inputs: [[Int]]) -> PipelineDefinition {
        PipelineDefinition(
            name: "p",
            stages: inputs.enumerated().map { index, inputs in
                StageDefinition(
                    name: "s\(index)", isSource: inputs.isEmpty, inputs: inputs.map { InputDefinition(stage: $0) })
            })
    }

    @Test func depths() {
        #expect(Self.pipeline([]).depths() == [])
        #expect(Self.pipeline([[]]).depths() == [1])
        #expect(Self.pipeline([[], [0], [1], [0, 2], []]).depths() == [1, 2, 3, 4, 1])
    }

    @Test func stampReserveGrowsWithDepth() {
        let flat = Self.pipeline([[]]).stampReserve
        let deep = Self.pipeline([[], [0], [1]]).stampReserve
        #expect(deep > flat)
        #expect((deep - flat) % 2 == 0)
        let deepest = Self.pipeline((0..<Limits.depth).map { $0 == 0 ? [] : [$0 - 1] })
        #expect(deepest.stampReserve < 4096, "the smallest `max_record` that a configuration may set")
    }

    @Test func budgets() {
        let limits = PipelineLimits()
        #expect(limits.streamBytes(workers: 16) == 32 * 1024 * 1024)
        #expect(limits.parkingBytes(workers: 16) == 8 * 1024 * 1024)
        #expect(limits.streamRecords(workers: 16) == 131_072)
        #expect(limits.parkingRecords(workers: 16) == 32_768)
    }

    @Test func featuresDoNotOverlap() { #expect(Set(Feature.supported).isDisjoint(with: Feature.reserved)) }
}

import StagewireConfig
import StagewireModel
import Testing

@Suite struct PredicateTests {
    // MARK: Examples

    @Test func precedence() throws {
        let a = Predicate.exists("a")
        let b = Predicate.exists("b")
        let c = Predicate.exists("c")
        let cases: [(String, Predicate)] = [
            ("exists a or exists b and exists c", .or(a, .and(b, c))),
            ("(exists a or exists b) and exists c", .and(.or(a, b), c)),
            ("not exists a and exists b", .and(.not(a), b)),
            ("not (exists a and exists b)", .not(.and(a, b))),
            ("exists a and exists b and exists c", .and(.and(a, b), c)),
            ("exists a or (exists b or exists c)", .or(a, .or(b, c))),
            ("not not exists a", .not(.not(a))),
            ("((exists a))", a),
        ]
        for (text, expected) in cases { #expect(try Predicate(parsing: text) == expected, "\(text)") }
    }

    @Test func literals() throws {
        let cases: [(String, Predicate)] = [
            ("a=='x'", .compare("a", .equal, .text("x"))),
            (#"a != "it's \"so\"\\ \n""#, .compare("a", .notEqual, .text("it's \"so\"\\ \n"))),
            ("a<-5", .compare("a", .less, .integer(-5))),
            ("a <= 9223372036854775807", .compare("a", .lessOrEqual, .integer(.max))),
            ("a <= -9223372036854775808", .compare("a", .lessOrEqual, .integer(.min))),
            ("a > 1.5e-3", .compare("a", .greater, .number(0.0015))),
            ("a >= 2E3", .compare("a", .greaterOrEqual, .number(2000))),
            ("a == true", .compare("a", .equal, .flag(true))),
            (
                "sensor.unit-id_2 in [1, 'x', 2.5, false]",
                .isIn("sensor.unit-id_2", [.integer(1), .text("x"), .number(2.5), .flag(false)])
            ),
            (
                "`in` == 1 and exists `größe \\` x`",
                .and(.compare("in", .equal, .integer(1)), .exists("größe ` x"))
            ),
        ]
        for (text, expected) in cases { #expect(try Predicate(parsing: text) == expected, "\(text)") }
    }

    @Test func bounds() throws {
        let deep = { (count: Int) in
            String(repeating: "(", count: count) + "exists a" + String(repeating: ")", count: count)
        }
        #expect(throws: Never.self) { try Predicate(parsing: deep(63)) }
        let error = #expect(throws: PredicateError.self) { try Predicate(parsing: deep(64)) }
        #expect(error?.offset == 64)
        #expect(throws: PredicateError.self) {
            try Predicate(parsing: String(repeating: "not ", count: 64) + "exists a")
        }
        let long = "a == '" + String(repeating: "x", count: 4096 - 7) + "'"
        #expect(throws: Never.self) { try Predicate(parsing: long) }
        #expect(throws: PredicateError.self) { try Predicate(parsing: long + " ") }
        let list = (0...256).map(String.init).joined(separator: ",")
        #expect(throws: PredicateError.self) { try Predicate(parsing: "a in [\(list)]") }
    }

    /// `@` stands at the place that the error must point to; it is no character of an expression.
    @Test(arguments: [
        "when: a == @",
        "when: 'a == ''x'' or b == @'",
        "when: \"a == \\\"\\u00e9\\x41\\U0001F600\\\\\\\\\\\" or @\"",
        "when: \"a == '\u{1F600}é' @\"",
        "when: |\n  a == 1\n\n    and @\n",
        "when: |2-\n    a ==  @",
        "when: >\n  @ == 1\n  and b == 2\n",
    ]) func places(_ lines: String) throws {
        try Self.pointsAtMark(lines)
    }

    /// The same for random layouts of every style of scalar: words, folds, blank lines, escapes, indentation.
    @Test(arguments: 0..<500 as Range<UInt64>) func randomPlaces(_ seed: UInt64) throws {
        var random = Random(seed: seed)
        try Self.pointsAtMark(Self.layout(&random), "seed \(seed)")
    }

    static func pointsAtMark(_ lines: String, _ name: String = "") throws {
        let text =
            "pipeline: p\nstages:\n  s: {run: [x], source: true}\n  a:\n    run: [x]\n    from:\n      stage: s\n"
            + lines.split(separator: "\n", omittingEmptySubsequences: false).map { "      " + $0 }.joined(
                separator: "\n")
        let error = try #require(throws: ConfigurationErrors.self) { try parse(text) }.errors[0]
        let line = text.split(separator: "\n", omittingEmptySubsequences: false)[error.line - 1]
        let rest = line.unicodeScalars.dropFirst(error.column - 1)
        #expect(rest.first == "@", "\(name): \(error) in\n\(text)")
    }

    /// `when:` with a text that has one `@`, in some style of YAML.
    static func layout(_ random: inout Random) -> String {
        let style = random.pick(["plain", "'", "\"", "|", "|-", ">", ">-", ">2"])
        let isBlock = style.hasPrefix("|") || style.hasPrefix(">")
        var words: [String] = ["a", "==", "1", "and", "level", "2.5", "(", ")"]
        if isBlock || style == "plain" { words += ["'é x'", "'it'"] }
        if style == "'" { words += ["''x''"] }
        if style == "\"" { words += ["\\\"x\\\"", "\\x61", "'\\u00e9\\U0001F600'", "\\t"] }
        var breaks = [" ", " ", " ", "  ", "\n  ", "\n  ", "\n\n  ", "\n\n\n  "]
        if isBlock { breaks += ["\n    ", "\n\n     ", " \n  "] } else { breaks += [" \t \n  ", "\n      "] }
        if style == "\"" { breaks += ["\\\n  ", " \\\n    ", "\\\n  \\  "] }
        let count = Int.random(in: 0..<12, using: &random)
        let mark = Int.random(in: 0...count, using: &random)
        // A plain scalar cannot begin with the mark itself.
        var text = style == "plain" ? "a " : ""
        for index in 0...count {
            text += (index == mark ? "@" : random.pick(words)) + (index == count ? "" : random.pick(breaks))
        }
        switch style {
        case "plain": return "when: " + text
        case "'", "\"": return "when: " + style + text + style
        default: return "when: " + style + "\n" + random.pick(["", "\n", "  \n"]) + "  " + text + "\n"
        }
    }

    // MARK: Properties

    @Test(arguments: 0..<2000 as Range<UInt64>) func printAndParse(_ seed: UInt64) throws {
        var random = Random(seed: seed)
        let predicate = Self.predicate(&random, depth: 5)
        let text = predicate.expression
        guard text.utf8.count <= 4096 else { return }
        #expect(try Predicate(parsing: text) == predicate, "seed \(seed): \(text)")
        // Spaces between tokens mean nothing.
        #expect(try Predicate(parsing: " \(text)\n") == predicate, "seed \(seed)")
        for _ in 0..<8 {
            let record = Self.record(&random)
            #expect(
                predicate.matches { record[$0] } == Self.holds(predicate, record), "seed \(seed): \(text) \(record)")
        }
    }

    /// Texts that are nearly expressions: an error inside the text or a predicate, never a crash.
    @Test(arguments: 0..<500 as Range<UInt64>) func mutations(_ seed: UInt64) {
        var random = Random(seed: seed)
        var scalars = Array(Self.predicate(&random, depth: 3).expression.unicodeScalars)
        for _ in 0..<Int.random(in: 1...4, using: &random) where !scalars.isEmpty {
            let index = Int.random(in: 0..<scalars.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: scalars.remove(at: index)
            case 1: scalars[index] = random.pick(Array("()[]\"'`\\=<>! a1.-é\0".unicodeScalars))
            default: scalars.removeLast(scalars.count - index)
            }
        }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        do {
            let predicate = try Predicate(parsing: String(view))
            #expect((try? Predicate(parsing: predicate.expression)) == predicate, "seed \(seed)")
        } catch {
            #expect((0...scalars.count).contains(error.offset), "seed \(seed)")
        }
    }

    // MARK: Generators and the oracle

    static let names = ["a", "b", "level", "x.y-z", "in", "true", "größe", "it's"]

    static func value(_ random: inout Random) -> AttributeValue {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: .text(random.pick(["", "a", "b", "é", "\"", "'`\\", "\n\t\r", "zz"]))
        case 1: .integer(random.pick([0, 1, -1, 2, 10, .max, .min]))
        case 2: .number(random.pick([0, 1, -1, 0.5, 1e300, .leastNonzeroMagnitude, 1e16, 2.0]))
        default: .flag(Bool.random(using: &random))
        }
    }

    static func predicate(_ random: inout Random, depth: Int) -> Predicate {
        let name = random.pick(names)
        switch Int.random(in: 0..<(depth == 0 ? 3 : 8), using: &random) {
        case 0: return .exists(name)
        case 1: return .isIn(name, (0..<Int.random(in: 1...4, using: &random)).map { _ in value(&random) })
        case 2:
            let value = value(&random)
            if case .flag = value { return .compare(name, random.pick([.equal, .notEqual]), value) }
            return .compare(name, random.pick(Predicate.Comparison.allCases), value)
        case 3: return .not(predicate(&random, depth: depth - 1))
        case 4, 5: return .and(predicate(&random, depth: depth - 1), predicate(&random, depth: depth - 1))
        default: return .or(predicate(&random, depth: depth - 1), predicate(&random, depth: depth - 1))
        }
    }

    static func record(_ random: inout Random) -> [String: AttributeValue] {
        var record: [String: AttributeValue] = [:]
        for name in names where random.chance(70) { record[name] = value(&random) }
        return record
    }

    /// The meaning once more, as plainly as possible: -1, 0, 1 or not comparable.
    static func order(_ a: AttributeValue, _ b: AttributeValue) -> Int? {
        switch (a, b) {
        case (.text(let a), .text(let b)): a < b ? -1 : a == b ? 0 : 1
        case (.flag(let a), .flag(let b)): a == b ? 0 : 1
        case (.integer(let a), .integer(let b)): a < b ? -1 : a == b ? 0 : 1
        default:
            if let a = number(a), let b = number(b) { a < b ? -1 : a == b ? 0 : 1 } else { nil }
        }
    }

    static func number(_ value: AttributeValue) -> Double? {
        switch value {
        case .integer(let integer): Double(integer)
        case .number(let number): number
        case .text, .flag: nil
        }
    }

    static func holds(_ predicate: Predicate, _ record: [String: AttributeValue]) -> Bool {
        switch predicate {
        case .exists(let name): return record.keys.contains(name)
        case .isIn(let name, let values):
            return values.map { holds(.compare(name, .equal, $0), record) }.contains(true)
        case .not(let inner): return holds(inner, record) ? false : true
        case .and(let a, let b): return [a, b].map { holds($0, record) } == [true, true]
        case .or(let a, let b): return [a, b].map { holds($0, record) } != [false, false]
        case .compare(let name, let comparison, let literal):
            guard let value = record[name], let order = order(value, literal) else { return false }
            return ["==": [0], "!=": [-1, 1], "<": [-1], "<=": [-1, 0], ">": [1], ">=": [0, 1]][comparison.rawValue]!
                .contains(order)
        }
    }
}

import StagewireModel

/// Walks the file's values, collects what is wrong with them, and goes on as far as it can. A method that
/// returns `nil` has reported why.
struct Reader {
    let source: SourceText
    private(set) var errors: [ConfigurationError] = []
    /// What the file starts, in its order.
    var commands: [CommandSite] = []
    /// The stages whose workers have the broker's own standard streams, and where the file says so.
    var streamOwners: [StandardStream: (stage: String, position: Position)] = [:]

    init(source: SourceText) { self.source = source }

    mutating func report(_ position: Position, _ message: String, hint: String? = nil) {
        errors.append(
            ConfigurationError(
                file: source.name, line: position.line, column: position.column, message: message, hint: hint))
    }

    /// The candidate that was probably meant. Nothing once there are more errors than anybody is shown: distances
    /// of thousands of wrong names to thousands of right ones take long.
    func suggestion(for word: String, in candidates: [String]) -> String? {
        guard errors.count < ConfigurationErrors.shown, let near = nearest(to: word, in: candidates) else { return nil }
        return "did you mean `\(near)`?"
    }

    mutating func mismatch(_ value: Value, _ what: String, expected: String, hint: String? = nil) {
        guard !value.isInvalid else { return }
        report(value.position, "\(what): expected \(expected), found \(value.description)", hint: hint)
    }
}

/// A mapping whose keys are known.
struct Fields {
    var position: Position
    private var values: [String: Entry]

    init(position: Position, entries: [Entry]) {
        self.position = position
        values = Dictionary(entries.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    }

    subscript(key: any KeyRow) -> Value? { values[key.name]?.value }

    func keyPosition(_ key: any KeyRow) -> Position? { values[key.name]?.keyPosition }

    /// Where a relation between several values is reported: at the first of them that the file sets.
    func position(of keys: any KeyRow...) -> Position {
        keys.compactMap { values[$0.name]?.value.position }.min() ?? position
    }
}

extension Reader {
    /// A mapping with no keys but those of `rows`; `advice` has a sentence for keys that are likely for a reason.
    mutating func fields(
        _ value: Value, _ what: String, known rows: [any KeyRow], advice: [String: String] = [:]
    ) -> Fields? {
        let known = rows.map(\.name)
        guard case .mapping(let entries) = value.content else {
            mismatch(value, what, expected: "a mapping (\(known.map { "`\($0)`" }.joined(separator: ", ")))")
            return nil
        }
        for entry in entries where !known.contains(entry.key) {
            let hint = advice[entry.key] ?? suggestion(for: entry.key, in: known)
            report(
                entry.keyPosition, "unknown key \(quoted(entry.key)) in \(what)",
                hint: hint ?? "expected \(alternatives(known))")
        }
        return Fields(position: value.position, entries: entries)
    }

    mutating func list(_ value: Value, _ what: String, of elements: String) -> [Value]? {
        guard case .sequence(let values) = value.content else {
            mismatch(value, what, expected: "a list of \(elements)")
            return nil
        }
        guard !values.isEmpty else {
            report(value.position, "\(what): expected a list of \(elements), found an empty one")
            return nil
        }
        return values
    }

    /// Any scalar but null, as it is written: `5` and `true` are texts where a text is expected.
    mutating func text(_ value: Value, _ what: String, expected: String = "a text") -> String? {
        guard let scalar = value.scalar, scalar.kind != .null else {
            let hint = value.scalar.map { $0.text.isEmpty ? nil : "quote it if the text itself is meant" } ?? nil
            mismatch(value, what, expected: expected, hint: hint)
            return nil
        }
        return scalar.text
    }

    /// A name of a pipeline, stage or port. It goes into lineage, metrics, file names and command lines.
    mutating func name(_ value: Value, _ what: String) -> String? {
        guard let text = text(value, what, expected: "a name") else { return nil }
        return checkName(text, at: value.position, what) ? text : nil
    }

    mutating func checkName(_ text: String, at position: Position, _ what: String) -> Bool {
        let bytes = text.utf8
        guard !bytes.isEmpty, bytes.count <= Limits.name else {
            report(position, "\(what): a name has 1 to \(Limits.name) characters, this one has \(bytes.count)")
            return false
        }
        let form = "letters (a to z, A to Z), digits, `-`, `_` and `.`, and begins with a letter, a digit or `_`"
        let isWord = { (byte: UInt8) in
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 95
        }
        guard bytes.allSatisfy({ isWord($0) || $0 == 45 || $0 == 46 }), bytes.first.map(isWord) ?? false else {
            report(position, "\(what): \(quoted(text)) is not a name", hint: "a name consists of " + form)
            return false
        }
        return true
    }

    mutating func flag(_ value: Value, _ what: String) -> Bool? {
        if case .flag(let flag)? = value.scalar?.kind { return flag }
        mismatch(value, what, expected: "`true` or `false`")
        return nil
    }

    mutating func integer(_ value: Value, _ what: String, in range: ClosedRange<Int>) -> Int? {
        if let scalar = value.scalar, scalar.kind == .integer, let numeral = Numeral(scalar.text),
            let number = Int(numeral.json), range.contains(number)
        {
            return number
        }
        mismatch(value, what, expected: "an integer from \(range.lowerBound) to \(range.upperBound)")
        return nil
    }

    mutating func duration(_ value: Value, _ what: String, in range: ClosedRange<Duration>) -> Duration? {
        guard let scalar = value.scalar, let duration = Quantity.duration(scalar.text) else {
            let isBare = value.scalar?.kind == .integer
            mismatch(value, what, expected: Quantity.durationForm, hint: isBare ? "add a unit: ms, s, m, h or d" : nil)
            return nil
        }
        return check(duration, value, what, in: range) ? duration : nil
    }

    mutating func check(_ duration: Duration, _ value: Value, _ what: String, in range: ClosedRange<Duration>) -> Bool {
        if range.contains(duration) { return true }
        let bounds = "from \(Quantity.text(range.lowerBound)) to \(Quantity.text(range.upperBound))"
        mismatch(value, what, expected: "a duration \(bounds)")
        return false
    }

    mutating func size(_ value: Value, _ what: String, in range: ClosedRange<Int>) -> Int? {
        guard let scalar = value.scalar, let size = Quantity.size(scalar.text) else {
            var hint: String?
            if let written = value.scalar?.text, let near = Self.nearSize(written) { hint = "did you mean `\(near)`?" }
            mismatch(value, what, expected: Quantity.sizeForm, hint: hint)
            return nil
        }
        guard range.contains(size) else {
            let bounds = "from \(Quantity.text(range.lowerBound)) to \(Quantity.text(range.upperBound))"
            mismatch(value, what, expected: "a size \(bounds)")
            return nil
        }
        return size
    }

    /// `4mb` or `64K` with the unit that exists.
    private static func nearSize(_ written: String) -> String? {
        let digits = written.prefix { $0.isASCII && $0.isNumber }
        let unit = written.dropFirst(digits.count).lowercased()
        guard !digits.isEmpty, let first = unit.first, let letter = ["k": "K", "m": "M", "g": "G"][first] else {
            return nil
        }
        return unit.dropFirst() == "b" ? "\(digits)\(letter == "K" ? "k" : letter)B" : "\(digits)\(letter)iB"
    }

    /// One of a few words.
    mutating func choice<Choice>(_ value: Value, _ what: String, among choices: [(word: String, choice: Choice)])
        -> Choice?
    {
        let names = choices.map(\.word)
        if let text = value.scalar?.text {
            if let found = choices.first(where: { $0.word == text }) { return found.choice }
            mismatch(value, what, expected: alternatives(names), hint: suggestion(for: text, in: names))
        } else {
            mismatch(value, what, expected: alternatives(names))
        }
        return nil
    }
}

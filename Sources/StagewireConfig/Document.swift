import Yams

/// Reads YAML into `Value`s. The only file that knows the parser.
///
/// The parser resolves aliases while it reads and compares whole subtrees to find duplicate keys, so a
/// few hundred bytes of nested aliases can keep it busy for ever; and it stops at the first duplicate
/// key. Both are avoided by what it is given: every `*` is replaced by a marker character first (one for one, so
/// that all marks stay right), and a duplicate key's first letter by another one before the next try.
/// A plain scalar that begins with the marker was an alias; all other markers turn back into `*`.
struct Document {
    private(set) var errors: [(position: Position, message: String, hint: String?)] = []
    private(set) var root: Value?
    private var aliases = 0
    private var masks: [Unicode.Scalar: Unicode.Scalar] = [:]
    private var text: [Unicode.Scalar]

    /// Bytes of the largest file that is read.
    static let size = 1024 * 1024
    /// Depth of nesting that is followed.
    static let depth = 32
    /// Duplicate keys that are found one by one before the reader gives up.
    private static let duplicates = 32

    /// Aliases that are reported.
    private static let shownAliases = 8

    private static let aliasMarker: Unicode.Scalar = "\u{10F000}"
    private static let firstMask: UInt32 = 0x10F001
    /// Private-use characters that must not stand in the file itself.
    private static let reserved: ClosedRange<Unicode.Scalar> = "\u{10F000}"..."\u{10FFFD}"

    init(_ source: String) {
        text = Array(source.unicodeScalars)
        guard checkCharacters() else { return }
        for index in text.indices where text[index] == "*" { text[index] = Self.aliasMarker }
        guard let node = compose() else {
            if errors.isEmpty {
                errors.append((.start, "the file is empty", "a pipeline needs `pipeline: <name>` and `stages:`"))
            }
            return
        }
        root = convert(node, depth: 0)
    }

    // MARK: Characters

    /// What libYAML would refuse at a byte offset is refused here, at a line and a column.
    private mutating func checkCharacters() -> Bool {
        var position = Position.start
        var previous: Unicode.Scalar?
        for scalar in text {
            guard Self.isReadable(scalar) else {
                let digits = String(scalar.value, radix: 16, uppercase: true)
                let code = String(repeating: "0", count: max(0, 4 - digits.count)) + digits
                errors.append((position, "the character U+\(code) cannot stand in this file", nil))
                return false
            }
            switch scalar {
            case "\n" where previous == "\r": break
            case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}": position = Position(line: position.line + 1, column: 1)
            default: position.column += 1
            }
            previous = scalar
        }
        return true
    }

    private static func isReadable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A, 0x0D, 0x20...0x7E, 0x85, 0xA0...0xFEFE, 0xFF00...0xFFFD, 0x10000...0x10FFFF:
            !reserved.contains(scalar)
        default: false
        }
    }

    // MARK: Composing

    private mutating func compose() -> Node? {
        while true {
            do {
                var view = String.UnicodeScalarView()
                view.append(contentsOf: text)
                return try Parser(yaml: String(view), resolver: .basic, encoding: .utf8).singleRoot()
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                let position = Position(context.mark)
                if masks.count < Self.duplicates, mask(at: position) { continue }
                errors.append(Self.duplicate(keys.map(restored), at: position))
                return nil
            } catch let error as YamlError {
                report(error)
                return nil
            } catch {
                errors.append((.start, "the file cannot be read as YAML: \(error)", nil))
                return nil
            }
        }
    }

    /// What cannot be told apart by a mask. Keys that are no texts come in no order, and so do their places.
    private static func duplicate(_ keys: [String], at position: Position) -> (Position, String, String?) {
        guard let key = keys.min(), !keys.contains(noText) else {
            return (.start, "a list or a mapping stands as a key more than once", "keys are texts")
        }
        return (position, "the key \(quoted(key)) stands more than once in this mapping", nil)
    }

    /// What Yams calls a key that is a list or a mapping.
    private static let noText = "<uncovertable>"

    /// Replaces the first letter or digit of the key at `position`; false where there is none, or it has a meaning of its own.
    private mutating func mask(at position: Position) -> Bool {
        guard var index = index(of: position) else { return false }
        // Of a list or a mapping that stands as a key it is a letter within that.
        let end = text[index...].firstIndex { $0.isLetterOrDigit || "\\:,]}#&*!|>\n".unicodeScalars.contains($0) }
        index = end ?? index
        guard index < text.count, text[index].isLetterOrDigit,
            let mask = Unicode.Scalar(Self.firstMask + UInt32(masks.count))
        else { return false }
        masks[mask] = text[index]
        text[index] = mask
        return true
    }

    private func index(of position: Position) -> Int? {
        var (line, column) = (1, 1)
        for (index, scalar) in text.enumerated() {
            if line == position.line, column == position.column { return index }
            switch scalar {
            case "\r" where index + 1 < text.count && text[index + 1] == "\n": break
            case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}": (line, column) = (line + 1, 1)
            default: column += 1
            }
        }
        return nil
    }

    private mutating func report(_ error: YamlError) {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            if problem == "but found another document" {
                let hint = "one file describes one pipeline: move what follows `---` to a file of its own"
                errors.append((Position(mark), "a second document begins here", hint))
            } else {
                let reason = context.map { Self.text($0, mark) + ", " } ?? ""
                errors.append((Position(mark), "broken YAML: \(reason)\(problem)", Self.hint(for: problem)))
            }
        case .no, .memory, .reader, .writer, .emitter, .representer, .dataCouldNotBeDecoded,
            .duplicatedKeysInMapping:
            errors.append((.start, "the file cannot be read as YAML: \(error)", nil))
        }
    }

    /// What was being read, and where that began: for a bracket that is never closed this is the line to look at.
    private static func text(_ context: YamlError.Context, _ mark: Mark) -> String {
        // Other contexts carry no mark of their own.
        let hasMark = context.text.hasPrefix("while parsing a") || context.text.hasPrefix("while scanning a")
        guard hasMark, context.mark.line != mark.line else { return context.text }
        return "\(context.text) that begins on line \(context.mark.line)"
    }

    private static func hint(for problem: String) -> String? {
        if problem.contains("character that cannot start any token") {
            return "indent with spaces, not tabs; quote a text that begins with a special character"
        }
        if problem.contains("mapping values are not allowed") {
            return "quote a text that contains `: `, and check the indentation of this line"
        }
        return nil
    }

    // MARK: Converting

    private mutating func convert(_ node: Node, depth: Int, isKey: Bool = false) -> Value {
        let position = node.mark.map(Position.init) ?? .start
        let invalid = Value(position: position, content: .invalid)
        guard depth < Self.depth else {
            errors.append((position, "nested deeper than \(Self.depth) levels", nil))
            return invalid
        }
        if isKey, node.scalar == nil {
            errors.append((position, "a key has to be a text", nil))
            return invalid
        }
        if let tag = explicitTag(of: node, isKey: isKey) {
            errors.append((position, "the tag \(quoted(tag)) is not supported", "write the value without it"))
            return invalid
        }
        switch node {
        case .scalar(let scalar):
            guard let scalar = convert(scalar, at: position) else { return invalid }
            return Value(position: position, content: .scalar(scalar))
        case .sequence(let sequence):
            return Value(position: position, content: .sequence(sequence.map { convert($0, depth: depth + 1) }))
        case .mapping(let mapping):
            return Value(position: position, content: .mapping(convert(mapping, depth: depth)))
        case .alias:
            reportAlias(at: position)
            return invalid
        }
    }

    private mutating func convert(_ scalar: Node.Scalar, at position: Position) -> Scalar? {
        let style: Scalar.Style =
            switch scalar.style {
            case .any, .plain: .plain
            case .singleQuoted: .singleQuoted
            case .doubleQuoted: .doubleQuoted
            case .literal: .literal
            case .folded: .folded
            }
        if style == .plain, scalar.string.unicodeScalars.first == Self.aliasMarker {
            reportAlias(at: position)
            return nil
        }
        return Scalar(text: restored(scalar.string), style: style)
    }

    private mutating func convert(_ mapping: Node.Mapping, depth: Int) -> [Entry] {
        var entries: [Entry] = []
        var seen: [String: Position] = [:]
        for (keyNode, valueNode) in mapping {
            let key = convert(keyNode, depth: depth + 1, isKey: true)
            let value = convert(valueNode, depth: depth + 1)
            guard let name = key.scalar?.text else { continue }
            if let first = seen.updateValue(key.position, forKey: name) {
                let message = "the key \(quoted(name)) stands more than once in this mapping"
                errors.append((key.position, message, "it is on line \(first.line) already"))
                continue
            }
            entries.append(Entry(key: name, keyPosition: key.position, value: value))
        }
        return entries
    }

    private mutating func reportAlias(at position: Position) {
        let hint = "write the value out; a text that begins with `*` needs quotes"
        aliases += 1
        if aliases <= Self.shownAliases { errors.append((position, "aliases are not supported", hint)) }
    }

    private static let coreTags = "tag:yaml.org,2002:"

    private func explicitTag(of node: Node, isKey: Bool) -> String? {
        let tag = node.tagText
        if tag.isEmpty { return nil }
        // The parser itself gives tags to quoted scalars, and to keys when it compares them.
        if isKey, tag.hasPrefix(Self.coreTags) { return nil }
        if case .scalar(let scalar) = node, scalar.style != .plain, tag == Tag.Name.str.rawValue { return nil }
        return tag.hasPrefix(Self.coreTags) ? "!!" + tag.dropFirst(Self.coreTags.count) : tag
    }

    private func restored(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: Self.reserved.contains) else { return text }
        var view = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { view.append(scalar == Self.aliasMarker ? "*" : masks[scalar] ?? scalar) }
        return String(view)
    }
}

extension Position {
    fileprivate init(_ mark: Mark) { self.init(line: mark.line, column: mark.column) }
}

extension Node {
    /// The tag as written, expanded; empty where there is none.
    fileprivate var tagText: String {
        switch self {
        case .scalar(let scalar): scalar.tag.description
        case .sequence(let sequence): sequence.tag.description
        case .mapping(let mapping): mapping.tag.description
        case .alias(let alias): alias.tag.description
        }
    }
}

extension Unicode.Scalar {
    fileprivate var isLetterOrDigit: Bool { properties.isAlphabetic || ("0"..."9").contains(self) }
}

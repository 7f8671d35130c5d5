/// A node of the file: what YAML says, before anything is known about its meaning.
struct Value {
    enum Content {
        case scalar(Scalar)
        case sequence([Value])
        case mapping([Entry])
        /// Reported already; whoever meets it says nothing more.
        case invalid
    }

    var position: Position
    var content: Content
}

struct Entry {
    var key: String
    var keyPosition: Position
    var value: Value
}

struct Scalar {
    enum Style { case plain, singleQuoted, doubleQuoted, literal, folded }

    var text: String
    var style: Style

    /// What the text stands for by the core schema of YAML 1.2 (section 10.3.2): so `yes` and `on` are
    /// texts, and a number with a leading zero is `ambiguous`, for YAML 1.1 read it as octal.
    enum Kind: Equatable { case null, flag(Bool), integer, number, notFinite, ambiguous, text }

    var kind: Kind {
        guard style == .plain else { return .text }
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE": return .flag(true)
        case "false", "False", "FALSE": return .flag(false)
        default: return Numeral(text)?.kind ?? .text
        }
    }
}

extension Value {
    var scalar: Scalar? {
        if case .scalar(let scalar) = content { return scalar }
        return nil
    }

    var isInvalid: Bool {
        if case .invalid = content { return true }
        return false
    }

    /// For a sentence: "found …".
    var description: String {
        switch content {
        case .sequence: return "a list"
        case .mapping: return "a mapping"
        case .invalid: return "something invalid"
        case .scalar(let scalar):
            switch scalar.kind {
            case .null: return "nothing"
            case .flag(let flag): return "`\(flag)`"
            case .integer, .number, .notFinite, .ambiguous: return "the number \(quoted(scalar.text))"
            case .text: return "the text \(quoted(scalar.text))"
            }
        }
    }
}

/// A plain scalar that is a number, and the same number as JSON writes it: digit by digit, so that nothing
/// is rounded on the way.
struct Numeral {
    var kind: Scalar.Kind
    var json: String

    init?(_ text: String) {
        var digits = Substring(text)
        var sign = ""
        if let first = digits.first, first == "-" || first == "+" {
            sign = first == "-" ? "-" : ""
            digits.removeFirst()
        }
        if [".inf", ".Inf", ".INF"].contains(digits) || [".nan", ".NaN", ".NAN"].contains(text) {
            (kind, json) = (.notFinite, "")
        } else if let radix = Self.radix(of: text) {
            guard let value = UInt64(text.dropFirst(2), radix: radix) else { return nil }
            (kind, json) = (.integer, String(value))
        } else {
            guard let parts = Decimal(digits) else { return nil }
            if parts.whole.count > 1, parts.whole.first == "0" {
                (kind, json) = (.ambiguous, "")
            } else if parts.isInteger {
                (kind, json) = (.integer, sign + parts.whole)
            } else {
                let isFinite = Double(text).map(\.isFinite) ?? false
                (kind, json) = isFinite ? (.number, sign + parts.json) : (.notFinite, "")
            }
        }
    }

    private static func radix(of text: String) -> Int? {
        guard text.utf8.count > 2 else { return nil }
        let (radix, digits) = (text.prefix(2), text.dropFirst(2))
        // `UInt64(_:radix:)` would take a sign of its own.
        guard digits.first != "-", digits.first != "+" else { return nil }
        return radix == "0x" ? 16 : radix == "0o" ? 8 : nil
    }

    /// `12`, `12.5`, `.5`, `12.`, each with or without an exponent.
    private struct Decimal {
        var whole = ""
        var fraction = ""
        var exponent = ""
        var isInteger = true

        init?(_ text: Substring) {
            var rest = text.utf8[...]
            func digits() -> String {
                let run = rest.prefix { (48...57).contains($0) }
                rest = rest.dropFirst(run.count)
                return String(decoding: run, as: UTF8.self)
            }
            whole = digits()
            if rest.first == UInt8(ascii: ".") {
                rest = rest.dropFirst()
                isInteger = false
                fraction = digits()
            }
            guard !whole.isEmpty || !fraction.isEmpty else { return nil }
            if let mark = rest.first, mark == UInt8(ascii: "e") || mark == UInt8(ascii: "E") {
                rest = rest.dropFirst()
                isInteger = false
                if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
                    rest = rest.dropFirst()
                    exponent = sign == UInt8(ascii: "-") ? "-" : ""
                }
                let power = digits()
                guard !power.isEmpty else { return nil }
                exponent = "e" + exponent + power
            }
            guard rest.isEmpty else { return nil }
        }

        var json: String {
            (whole.isEmpty ? "0" : whole) + (fraction.isEmpty ? "" : "." + fraction) + exponent
        }
    }
}

/// One JSON value and where it stands. Nothing is lost: numbers keep their digits, objects their order.
struct JSONNode {
    enum Content {
        case null
        case flag(Bool)
        /// Its digits stand in the range.
        case number
        case text(String)
        case list([JSONNode])
        case object([(name: String, value: JSONNode)])
    }

    var content: Content
    var range: Range<Int>
}

/// Why bytes are not JSON.
struct JSONError: Error, Equatable, CustomStringConvertible {
    var problem: String
    /// Of the byte, from 0.
    var offset: Int

    var description: String { "\(problem) at byte \(offset + 1)" }
}

/// Reads JSON exactly as RFC 8259 has it: no comments, no trailing commas, no NaN.
struct JSONScanner {
    /// Lists and objects inside of each other.
    static let depth = 256

    private let bytes: [UInt8]
    private var at = 0

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The one value that `bytes` hold.
    ///
    /// - Parameter texts: false: texts are checked but not decoded, so that an escaped half of a surrogate pair,
    ///   which JSON allows and UTF-8 does not, passes.
    static func read(_ bytes: [UInt8], texts: Bool = true) throws(JSONError) -> JSONNode {
        var scanner = JSONScanner(bytes)
        scanner.decodes = texts
        let node = try scanner.value(depth: 0)
        scanner.skipSpace()
        guard scanner.at == bytes.count else { throw scanner.error("something follows the value") }
        return node
    }

    private var decodes = true

    private func error(_ problem: String) -> JSONError { JSONError(problem: problem, offset: at) }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { at += 1 }
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        at += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONNode {
        guard depth <= Self.depth else { throw error("more than \(Self.depth) levels") }
        skipSpace()
        let start = at
        let content: JSONNode.Content
        switch next {
        case UInt8(ascii: "{"): content = try object(depth)
        case UInt8(ascii: "["): content = try list(depth)
        case UInt8(ascii: "\""): content = .text(try text())
        case UInt8(ascii: "t"): content = try word("true", .flag(true))
        case UInt8(ascii: "f"): content = try word("false", .flag(false))
        case UInt8(ascii: "n"): content = try word("null", .null)
        case nil: throw error("the text ends where a value is needed")
        default: content = try number()
        }
        return JSONNode(content: content, range: start..<at)
    }

    private mutating func word(_ word: String, _ content: JSONNode.Content) throws(JSONError) -> JSONNode.Content {
        for scalar in word.unicodeScalars { guard skip(scalar) else { throw error("no JSON value") } }
        return content
    }

    private mutating func object(_ depth: Int) throws(JSONError) -> JSONNode.Content {
        at += 1
        var members: [(String, JSONNode)] = []
        skipSpace()
        if skip("}") { return .object([]) }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw error("a name in quotes is needed") }
            let name = try text()
            skipSpace()
            guard skip(":") else { throw error("a colon is needed") }
            members.append((name, try value(depth: depth + 1)))
            skipSpace()
        } while skip(",")
        guard skip("}") else { throw error("a comma or } is needed") }
        return .object(members)
    }

    private mutating func list(_ depth: Int) throws(JSONError) -> JSONNode.Content {
        at += 1
        var elements: [JSONNode] = []
        skipSpace()
        if skip("]") { return .list([]) }
        repeat {
            elements.append(try value(depth: depth + 1))
            skipSpace()
        } while skip(",")
        guard skip("]") else { throw error("a comma or ] is needed") }
        return .list(elements)
    }

    private mutating func number() throws(JSONError) -> JSONNode.Content {
        _ = skip("-")
        guard let first = next, isDigit(first) else { throw error("no JSON value") }
        at += 1
        if first == UInt8(ascii: "0") {
            if let byte = next, isDigit(byte) { throw error("a number does not begin with 0") }
        } else {
            skipDigits()
        }
        if skip(".") {
            guard let byte = next, isDigit(byte) else { throw error("a digit is needed behind the point") }
            skipDigits()
        }
        if skip("e") || skip("E") {
            if !skip("+") { _ = skip("-") }
            guard let byte = next, isDigit(byte) else { throw error("a digit is needed in the exponent") }
            skipDigits()
        }
        return .number
    }

    private func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

    private mutating func skipDigits() { while let byte = next, isDigit(byte) { at += 1 } }

    // MARK: Texts

    private mutating func text() throws(JSONError) -> String {
        at += 1
        var decoded: [UInt8] = []
        while true {
            guard let byte = next else { throw error("a text does not end") }
            if byte == UInt8(ascii: "\"") { break }
            guard byte >= 0x20 else { throw error("a control character inside of a text, which has to be escaped") }
            at += 1
            if byte == UInt8(ascii: "\\") { try escape(&decoded) } else { decoded.append(byte) }
        }
        at += 1
        guard let text = String(validating: decoded, as: UTF8.self) else { throw error("a text that is not UTF-8") }
        return text
    }

    private mutating func escape(_ decoded: inout [UInt8]) throws(JSONError) {
        guard let byte = next else { throw error("a text does not end") }
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded.append(byte)
        case UInt8(ascii: "b"): decoded.append(0x08)
        case UInt8(ascii: "f"): decoded.append(0x0c)
        case UInt8(ascii: "n"): decoded.append(0x0a)
        case UInt8(ascii: "r"): decoded.append(0x0d)
        case UInt8(ascii: "t"): decoded.append(0x09)
        case UInt8(ascii: "u"): try unicode(&decoded)
        default:
            at -= 1
            throw error("no such escape")
        }
    }

    private mutating func unicode(_ decoded: inout [UInt8]) throws(JSONError) {
        let first = try hexadecimal()
        if let scalar = Unicode.Scalar(first) {
            decoded.append(contentsOf: String(scalar).utf8)
            return
        }
        // D800-DBFF, then DC00-DFFF, stand for one scalar above FFFF.
        let mark = at
        if first < 0xdc00, skip("\\"), skip("u") {
            let second = try hexadecimal()
            if (0xdc00...0xdfff).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (UInt32(first) - 0xd800) << 10 + UInt32(second) - 0xdc00)
            {
                decoded.append(contentsOf: String(scalar).utf8)
                return
            }
        }
        at = mark
        guard !decodes else { throw error("half of a surrogate pair, which no text can hold") }
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(UnicodeScalar(byte)).hexDigitValue, byte < 0x80 else {
                throw error("four hexadecimal digits are needed")
            }
            value = value << 4 | UInt16(digit)
            at += 1
        }
        return value
    }
}

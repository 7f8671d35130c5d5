import StagewireWire

/// What a value is expected to be. A mapping names the members that matter; a list has as many elements as the
/// value; a scalar is equal, where absent stands for zero, empty and false. Bytes are written as in the vectors.
///
/// ```
/// {any: true}            whatever it is
/// {absent: true}         not there, or zero
/// {present: true}        there, and not zero
/// {not: PATTERN}
/// {one_of: [PATTERN, ...]}
/// {min: 1, max: 5}       a number; one of them may be missing
/// {contains: "text"}     text or bytes with that in them
/// {size: 9}              bytes or text of that many bytes, or a list of that many elements; a pattern as well
/// {has: [PATTERN, ...]}  a list with an element for each
/// {starts: "text"}
/// {fill: "x", size: 9}   those bytes repeated
/// ```
enum Pattern {
    /// Nil when the value is as expected, else what is wrong with it.
    static func mismatch(_ pattern: FrameLiteral, _ value: FrameLiteral?, path: String = "") -> String? {
        if case .object(let members) = pattern, let first = members.first, isOperator(first.name) {
            return operation(members, value, path: path)
        }
        switch pattern {
        case .null: return nil
        case .object(let members):
            for member in members {
                let inner = path.isEmpty ? member.name : "\(path).\(member.name)"
                if let problem = mismatch(member.value, value?[member.name], path: inner) { return problem }
            }
            return nil
        case .list(let patterns):
            let elements = value?.elements ?? []
            guard patterns.count == elements.count else {
                return "\(named(path)) has \(elements.count) elements, \(patterns.count) are expected"
            }
            for (index, pattern) in patterns.enumerated() {
                if let problem = mismatch(pattern, elements[index], path: "\(path)[\(index)]") { return problem }
            }
            return nil
        case _:
            return isEqual(pattern, value) ? nil : "\(named(path)) is \(shown(value)), \(shown(pattern)) is expected"
        }
    }

    /// - Throws: when a pattern `{kind: {...}}` names fields that the kind does not have.
    static func check(_ argument: FrameLiteral) throws(FrameForge.Fault) {
        let name = argument.text ?? argument.members.first?.name ?? ""
        guard FrameForge.kinds.contains(name) else {
            let kinds = FrameForge.kinds.joined(separator: ", ")
            throw FrameForge.Fault(path: name, message: "no kind of message; there are \(kinds)")
        }
        guard let pattern = argument.members.first?.value else { return }
        try check(pattern, path: [name])
    }

    private static func check(_ pattern: FrameLiteral, path: [String]) throws(FrameForge.Fault) {
        for element in pattern.elements {
            for member in element.members where !isOperator(member.name) {
                let inner = path + [member.name]
                guard FrameForge.hasField(inner, in: "Envelope") else {
                    throw FrameForge.Fault(path: inner.joined(separator: "."), message: "there is no such field")
                }
                try check(member.value, path: inner)
            }
        }
    }

    // MARK: Operators

    private static func isOperator(_ name: String) -> Bool {
        ["any", "absent", "present", "not", "one_of", "min", "max", "contains", "size", "has", "starts", "fill"]
            .contains(name)
    }

    private static func operation(
        _ members: [FrameLiteral.Member], _ value: FrameLiteral?, path: String
    ) -> String? {
        let all = FrameLiteral.object(members)
        if let fill = all["fill"]?.asBytes, let size = all["size"]?.number {
            return value?.asBytes == FrameLiteral.repeating(fill, size: size)
                ? nil : "\(named(path)) is not \(size) bytes of the expected filling"
        }
        for member in members {
            if let problem = operation(member, value, path: path) { return problem }
        }
        return nil
    }

    private static func operation(
        _ member: FrameLiteral.Member, _ value: FrameLiteral?, path: String
    ) -> String? {
        let operand = member.value
        switch member.name {
        case "any": return nil
        case "absent": return isZero(value) ? nil : "\(named(path)) is \(shown(value)), it is expected to be absent"
        case "present": return isZero(value) ? "\(named(path)) is absent or zero" : nil
        case "not":
            return mismatch(operand, value, path: path) == nil
                ? "\(named(path)) is \(shown(value)), which it must not be" : nil
        case "one_of":
            if operand.elements.contains(where: { mismatch($0, value, path: path) == nil }) { return nil }
            return "\(named(path)) is \(shown(value)), one of \(shown(operand)) is expected"
        case "min", "max":
            let number = value?.signed.map(Double.init) ?? value?.number.map(Double.init) ?? 0
            let bound = operand.signed.map(Double.init) ?? 0
            let holds = member.name == "min" ? number >= bound : number <= bound
            return holds ? nil : "\(named(path)) is \(shown(value)), \(member.name) \(shown(operand)) is expected"
        case "contains":
            let part = operand.asBytes ?? []
            return (value?.asBytes ?? []).contains(part)
                ? nil : "\(named(path)) is \(shown(value)), which does not contain \(shown(operand))"
        case "starts":
            return (value?.asBytes ?? []).starts(with: operand.asBytes ?? [])
                ? nil : "\(named(path)) is \(shown(value)), which does not begin with \(shown(operand))"
        case "size":
            let count = value?.asBytes?.count ?? value?.elements.count ?? 0
            return mismatch(operand, FrameLiteral(count), path: "the size of \(named(path))")
        case "has":
            let elements = value?.elements ?? []
            for wanted in operand.elements where !elements.contains(where: { mismatch(wanted, $0) == nil }) {
                return "\(named(path)) has no element like \(shown(wanted))"
            }
            return nil
        case let other: return "\(other) is no pattern"
        }
    }

    // MARK: Scalars

    static func isZero(_ value: FrameLiteral?) -> Bool {
        switch value {
        case nil, .null: true
        case .flag(let flag): !flag
        case .integer(let number): number == 0
        case .unsigned(let number): number == 0
        case .real(let number): number == 0
        case .text(let text): text.isEmpty
        case .bytes(let bytes): bytes.isEmpty
        case .list(let list): list.isEmpty
        case .object: false
        }
    }

    private static func isEqual(_ pattern: FrameLiteral, _ value: FrameLiteral?) -> Bool {
        guard let value, value != .null else { return isZero(pattern) }
        switch (pattern, value) {
        case (.text(let short), .text(let full)) where full == short || full.hasSuffix("_\(short)"): return true
        case (.real(let left), .real(let right)): return left == right
        case (.integer(let left), .real(let right)): return Double(left) == right
        case (.flag(let left), .flag(let right)): return left == right
        case (.integer, .integer), (.unsigned, .unsigned): return pattern == value
        case _:
            guard let left = pattern.asBytes, let right = value.asBytes else { return false }
            return left == right
        }
    }

    private static func named(_ path: String) -> String { path.isEmpty ? "it" : path }

    /// On one line and cut, for messages.
    ///
    /// - Parameter limit: letters.
    static func shown(_ value: FrameLiteral?, limit: Int = 300) -> String {
        let text =
            switch value {
            case nil, .null: "absent"
            case .flag(let flag): "\(flag)"
            case .integer(let number): "\(number)"
            case .unsigned(let number): "\(number)"
            case .real(let number): "\(number)"
            case .text(let text): "\"\(escaped(text))\""
            case .bytes(let bytes): shown(bytes)
            case .list(let list):
                "[" + list.prefix(8).map { shown($0, limit: limit) }.joined(separator: ", ")
                    + (list.count > 8 ? ", ... \(list.count) in all]" : "]")
            case .object(let members):
                "{" + members.map { "\($0.name): \(shown($0.value, limit: limit))" }.joined(separator: ", ") + "}"
            }
        return text.count > limit ? "\(text.prefix(limit))..." : text
    }

    /// What a peer wrote may not steer the terminal (LM-5).
    private static func escaped(_ text: String) -> String {
        text.unicodeScalars.map { $0.properties.generalCategory == .control ? $0.escaped(asASCII: true) : String($0) }
            .joined()
    }

    private static func shown(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self), !text.unicodeScalars.contains(where: { $0.value < 32 })
        {
            return "\"\(text)\""
        }
        let digits = bytes.prefix(40).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        return "0x\(digits)\(bytes.count > 40 ? "... (\(bytes.count) bytes)" : "")"
    }
}

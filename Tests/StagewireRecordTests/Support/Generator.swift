/// Random messages for the differential test: well-formed ones, and mutations of them.
struct Generator {
    var random: Random

    init(seed: UInt64) { random = Random(seed: seed) }

    // MARK: Well-formed messages

    /// An output that has to be accepted.
    mutating func record() -> [WireField] {
        var fields: [WireField] = []
        if !random.one(in: 6) { fields.append(.message(2, header())) }
        if !random.one(in: 6) { fields.append(.data(3, random.bytes(random.below(random.one(in: 50) ? 20_000 : 120)))) }
        return scatter(fields, unknownFrom: 16)
    }

    private mutating func header() -> [WireField] {
        var fields: [WireField] = []
        if !random.one(in: 4) { fields.append(.data(1, text())) }
        if !random.one(in: 4) { fields.append(.number(2, random.number() >> 32)) }
        if !random.one(in: 3) { fields.append(.data(3, random.bytes(random.below(random.one(in: 30) ? 1025 : 24)))) }
        if !random.one(in: 3) { fields.append(.fixed64(4, random.next())) }
        if random.one(in: 3) { fields.append(.data(5, text())) }
        let attributes = random.one(in: 40) ? 64 : random.below(4)
        for _ in 0..<attributes { fields.append(.message(6, attribute())) }
        return scatter(fields, unknownFrom: 16)
    }

    private mutating func attribute() -> [WireField] {
        var fields: [WireField] = random.one(in: 8) ? [] : [.data(1, text())]
        switch random.below(5) {
        case 0: fields.append(.data(2, text()))
        case 1: fields.append(.number(3, random.number()))
        case 2: fields.append(.fixed64(4, random.next()))
        case 3: fields.append(.number(5, random.next() & 1))
        default: break
        }
        return scatter(fields, unknownFrom: 16)
    }

    /// A trace context that has to be accepted.
    mutating func trace() -> [WireField] {
        var fields: [WireField] = []
        if !random.one(in: 4) { fields.append(.data(1, Array(text().prefix(while: { $0 < 0x80 })))) }
        if !random.one(in: 2) { fields.append(.data(2, Array(text().prefix(while: { $0 < 0x80 })))) }
        return scatter(fields, unknownFrom: 16)
    }

    mutating func settle() -> [WireField] {
        var next: UInt64 = 1 + random.number() >> 20
        var outcomes: [WireField] = []
        for _ in 0..<random.below(5) { outcomes.append(.message(1, outcome(&next))) }
        return scatter(outcomes, unknownFrom: 16)
    }

    private mutating func outcome(_ next: inout UInt64) -> [WireField] {
        let kind = UInt64(random.one(in: 3) ? 2 + random.below(3) : 1)
        var fields: [WireField] = [.number(1, next), .number(3, kind)]
        if random.one(in: 3) {
            next += UInt64(random.below(300))
            fields.append(.number(2, next))
        }
        let first = next
        next += 1
        while random.one(in: 4) {
            next += UInt64(random.below(5))
            fields.append(.message(7, [.number(1, next)]))
            next += 1
        }
        if kind == 1 { for _ in 0..<random.below(4) { fields.append(.message(4, emission(around: first))) } }
        if kind == 3 { fields.append(.number(5, random.number() >> 32)) }
        if kind != 1, random.one(in: 2) {
            fields.append(
                .message(6, [.number(1, random.number() >> 32), .data(2, text()), .number(3, random.next() & 1)]))
        }
        return fields
    }

    mutating func emit() -> [WireField] {
        var fields: [WireField] = [.data(1, [0x70] + text()), .number(2, random.number())]
        for _ in 0..<random.below(4) { fields.append(.message(3, emission(around: 0))) }
        if random.one(in: 2) { fields.append(.data(4, random.bytes(random.below(40)))) }
        return scatter(fields, unknownFrom: 16)
    }

    private mutating func emission(around first: UInt64) -> [WireField] {
        var fields: [WireField] = [.message(3, record())]
        if random.one(in: 3) { fields.append(.number(1, UInt64(random.below(300)))) }
        if random.one(in: 3) {
            fields.append(.data(2, (0..<random.below(5)).flatMap { Message.varint(first + UInt64($0)) }))
        }
        while random.one(in: 4) { fields.append(.number(2, first)) }
        if random.one(in: 4) { fields.append(.message(4, trace())) }
        return scatter(fields, unknownFrom: 16)
    }

    /// Some order, and now and then fields that nobody knows.
    private mutating func scatter(_ fields: [WireField], unknownFrom number: UInt64) -> [WireField] {
        var fields = fields
        if random.one(in: 12) { fields.append(unknown(from: number)) }
        if random.one(in: 3) { fields.shuffle(using: &random) }
        return fields
    }

    private mutating func unknown(from number: UInt64) -> WireField {
        let number = random.one(in: 4) ? (1 << 29) - 1 : number + UInt64(random.below(3000))
        switch random.below(4) {
        case 0: return .number(number, random.number())
        case 1: return .fixed64(number, random.next())
        case 2: return .fixed32(number, random.next())
        default: return .data(number, random.bytes(random.below(20)))
        }
    }

    private mutating func text() -> [UInt8] {
        let pieces = ["sensor", ".raw", "a", "é", "€", "😀", "\u{0}", " ", "\u{10ffff}", "temperature-", "0123456789"]
        var text = ""
        while !random.one(in: 3) { text += random.pick(pieces) }
        return Array(text.utf8.prefix(60).prefix { _ in true }).validPrefix
    }
}

extension [UInt8] {
    /// The longest beginning that is whole UTF-8.
    fileprivate var validPrefix: [UInt8] {
        var bytes = self
        while !bytes.isEmpty, String(validating: bytes, as: UTF8.self) == nil { bytes.removeLast() }
        return bytes
    }
}

extension Generator {
    /// One to three changes somewhere in the tree, then now and then some to the bytes.
    mutating func mutated(_ fields: [WireField]) -> [UInt8] {
        var fields = fields
        let bytesOnly = random.one(in: 4)
        if !bytesOnly { for _ in 0...random.below(3) { mutate(&fields) } }
        var bytes = WireField.encode(fields)
        if bytesOnly || random.one(in: 5) { for _ in 0...random.below(3) { mutate(&bytes) } }
        return bytes
    }

    private mutating func mutate(_ fields: inout [WireField]) {
        guard !fields.isEmpty, !random.one(in: 6) else {
            fields.insert(foreign(), at: random.below(fields.count + 1))
            return
        }
        let index = random.below(fields.count)
        if case .message(var inner) = fields[index].value, !random.one(in: 4) {
            mutate(&inner)
            fields[index].value = .message(inner)
            return
        }
        switch random.below(11) {
        case 0: fields.append(fields[index])
        case 1: fields[index].wire = UInt64(random.below(8))
        case 2: fields[index].tagPadding = 1 + random.below(3)
        case 3: fields[index].lengthPadding = 1 + random.below(9)
        case 4: fields[index].valuePadding = 1 + random.below(12)
        case 5: fields[index].lengthError = random.pick([-1, 1, 2, 100, 1 << 31, 1 << 40])
        case 6: fields[index].number = random.pick([0, 1, 2, 3, 4, 5, 6, 7, 1 << 29, 1 << 32, (1 << 29) - 1])
        case 7: fields[index].value = .number(random.pick([0, 1, 2, 1 << 31, 1 << 32, 1 << 63, .max]))
        case 8: fields[index].value = .data(badText())
        case 9: fields.remove(at: index)
        default: grow(&fields, index)
        }
    }

    /// Over a limit: a long key, many attributes, a long text.
    private mutating func grow(_ fields: inout [WireField], _ index: Int) {
        if random.one(in: 2) {
            fields[index].value = .data(
                [UInt8](repeating: 0x61, count: random.pick([63, 64, 65, 512, 513, 1024, 1025, 17_000])))
            fields[index].wire = 2
        } else {
            fields += [WireField](repeating: fields[index], count: random.pick([1, 2, 63, 64]))
        }
    }

    /// A field that should not be there: a group, lineage, deep nesting, an end without a beginning.
    private mutating func foreign() -> WireField {
        switch random.below(6) {
        case 0: return WireField(number: UInt64(1 + random.below(20)), wire: 3, value: .raw([0x24]))
        case 1: return WireField(number: UInt64(random.below(20)), wire: 4, value: .raw([]))
        case 2: return .message(1, [.data(1, random.bytes(16))])
        case 3:
            var nested = WireField.message(UInt64(1 + random.below(7)), [])
            for _ in 0..<random.pick([2, 10, 120]) { nested = .message(UInt64(1 + random.below(7)), [nested]) }
            return nested
        case 4: return WireField(number: UInt64(random.below(40)), wire: 6 + UInt64(random.below(2)), value: .raw([1]))
        default: return .number(0, 0)
        }
    }

    private mutating func badText() -> [UInt8] {
        let bad: [[UInt8]] = [
            [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0x80],
            [0xf8, 0x88, 0x80, 0x80, 0x80],
        ]
        return [UInt8](repeating: 0x61, count: random.below(20)) + random.pick(bad)
            + [UInt8](repeating: 0x62, count: random.below(9))
    }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else {
            bytes = random.bytes(random.below(8))
            return
        }
        let index = random.below(bytes.count)
        switch random.below(6) {
        case 0: bytes[index] ^= 1 << UInt8(random.below(8))
        case 1: bytes[index] = random.pick([0, 1, 0x7f, 0x80, 0xff])
        case 2: bytes.removeLast(bytes.count - index)
        case 3: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: index)
        case 4: bytes.remove(at: index)
        default: bytes += bytes[index...]
        }
    }
}

import CEnvelope

/// C memory for one message on its way out, freed as a whole when the arena goes out of scope.
struct Arena: ~Copyable {
    private var blocks: [UnsafeMutableRawPointer] = []

    deinit { for block in blocks { block.deallocate() } }

    private mutating func reserve<Element>(_ count: Int, of type: Element.Type) -> UnsafeMutablePointer<Element> {
        let block = UnsafeMutablePointer<Element>.allocate(capacity: count)
        blocks.append(UnsafeMutableRawPointer(block))
        return block
    }

    /// A C string. A NUL inside, which would end it early, is written as U+FFFD.
    mutating func string(_ text: String) -> UnsafeMutablePointer<CChar> {
        let clean = text.utf8.contains(0) ? text.replacingNULs : text
        let block = reserve(clean.utf8.count + 1, of: CChar.self)
        var next = block
        for byte in clean.utf8 {
            next.initialize(to: CChar(bitPattern: byte))
            next += 1
        }
        next.initialize(to: 0)
        return block
    }

    mutating func strings(_ texts: [String]) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
        pointers(texts.map { string($0) })
    }

    mutating func bytes(_ bytes: [UInt8]) -> ProtobufCBinaryData {
        guard !bytes.isEmpty else { return ProtobufCBinaryData(len: 0, data: nil) }
        let block = reserve(bytes.count, of: UInt8.self)
        block.initialize(from: bytes, count: bytes.count)
        return ProtobufCBinaryData(len: bytes.count, data: block)
    }

    /// A message that `initialise` (the generated function) has set to its defaults.
    mutating func message<Message>(
        _ initialise: (UnsafeMutablePointer<Message>?) -> Void
    ) -> UnsafeMutablePointer<Message> {
        let block = reserve(1, of: Message.self)
        initialise(block)
        return block
    }

    /// What a repeated field points to, nil when it is empty.
    mutating func pointers<Element>(
        _ elements: [UnsafeMutablePointer<Element>]
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<Element>?>? {
        guard !elements.isEmpty else { return nil }
        let block = reserve(elements.count, of: UnsafeMutablePointer<Element>?.self)
        block.initialize(from: elements.map(Optional.init), count: elements.count)
        return block
    }
}

extension String {
    fileprivate var replacingNULs: String {
        var scalars = UnicodeScalarView()
        for scalar in unicodeScalars { scalars.append(scalar == "\0" ? "\u{fffd}" : scalar) }
        return String(scalars)
    }
}

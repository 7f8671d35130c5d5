import StagewireModel
import StagewireWire

/// What a record's header says.
struct HeaderFields: Equatable, Sendable {
    var key: [UInt8] = []
    var schema = ""
    var schemaVersion: UInt32 = 0
    var contentType = ""
    var eventTime: Int64 = 0
    var attributes = Attributes()

    init() {}

    /// Decodes a `Header`; the broker has checked what is in it.
    init(_ bytes: [UInt8], _ range: Range<Int>) {
        FieldWalk.each(bytes, range) { field, span in
            switch field.number {
            case 1: schema = Self.text(bytes, field.value)
            case 2: schemaVersion = UInt32(truncatingIfNeeded: field.varint)
            case 3: key = Array(bytes[field.value])
            case 4: eventTime = Int64(bitPattern: FieldWalk.number(field, span))
            case 5: contentType = Self.text(bytes, field.value)
            case 6:
                guard let (name, value) = Self.attribute(bytes, field.value) else { return }
                attributes.append(name, value)
            default: break
            }
        }
    }

    static func text(_ bytes: [UInt8], _ range: Range<Int>) -> String {
        String(decoding: bytes[range], as: UTF8.self)
    }

    /// nil: of a type that this version does not know.
    static func attribute(_ bytes: [UInt8], _ range: Range<Int>) -> (String, AttributeValue)? {
        var name = ""
        var value: AttributeValue?
        FieldWalk.each(bytes, range) { field, span in
            switch field.number {
            case 1: name = text(bytes, field.value)
            case 2: value = .text(text(bytes, field.value))
            case 3: value = .integer(Int64(bitPattern: field.varint >> 1) ^ -Int64(bitPattern: field.varint & 1))
            case 4: value = .number(Double(bitPattern: FieldWalk.number(field, span)))
            case 5: value = .flag(field.varint != 0)
            default: break
            }
        }
        return value.map { (name, $0) }
    }

    func encoded() -> [UInt8] {
        var header = FieldWriter()
        header.content(1, schema.utf8)
        header.number(2, UInt64(schemaVersion))
        header.content(3, key)
        if eventTime != 0 { header.presentFixed64(4, UInt64(bitPattern: eventTime)) }
        header.content(5, contentType.utf8)
        for (name, value) in attributes {
            var attribute = FieldWriter()
            attribute.content(1, name.utf8)
            switch value {
            case .text(let text): attribute.presentContent(2, text.utf8)
            // Zigzag: the sign is the lowest bit.
            case .integer(let integer): attribute.presentNumber(3, UInt64(bitPattern: integer << 1 ^ integer >> 63))
            case .number(let number): attribute.presentFixed64(4, number.bitPattern)
            case .flag(let flag): attribute.presentNumber(5, flag ? 1 : 0)
            }
            header.presentContent(6, attribute.bytes)
        }
        return header.bytes
    }

    /// What the broker would refuse, in words.
    /// - Parameter encoded: bytes of it, encoded
    func flaw(encoded: Int) -> String? {
        if key.count > Limits.key { return "its key has \(key.count) bytes, where \(Limits.key) are allowed" }
        if attributes.count > Limits.attributes {
            return "it has \(attributes.count) attributes, where \(Limits.attributes) are allowed"
        }
        guard encoded > Limits.header else { return nil }
        return "its header takes \(encoded) bytes, where \(Limits.header) are allowed"
    }
}

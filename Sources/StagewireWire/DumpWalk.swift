import CEnvelope
import StagewireModel

/// Walks over a message's bytes along libprotobuf-c's descriptors.
///
/// libprotobuf-c itself is not asked to read them: it gives nothing at all when a single byte is wrong, does not say which,
/// lets a repeated singular field replace the earlier one, and allocates as much as the sender likes.
struct DumpWalk {
    typealias Descriptor = UnsafePointer<ProtobufCMessageDescriptor>
    typealias FieldDescriptor = UnsafePointer<ProtobufCFieldDescriptor>

    private let bytes: [UInt8]
    private(set) var flaws: [FrameDump.Flaw] = []
    private var left = FrameDump.largestTree
    /// In a field that is not whole: that it is incomplete has been said.
    private var isInPart = false

    /// Something was left out.
    private(set) var isCut = false

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    static var envelope: Descriptor {
        var envelope = Stagewire__V1__Envelope()
        stagewire__v1__envelope__init(&envelope)
        return envelope.base.descriptor
    }

    /// `Hello` for field 2 of the Envelope.
    static func typeName(of number: UInt32) -> String? {
        guard let field = protobuf_c_message_descriptor_get_field(envelope, number),
            field.pointee.type == PROTOBUF_C_TYPE_MESSAGE
        else { return nil }
        return String(cString: message(of: field).pointee.short_name)
    }

    static func message(of field: FieldDescriptor) -> Descriptor {
        field.pointee.descriptor.assumingMemoryBound(to: ProtobufCMessageDescriptor.self)
    }

    // MARK: Messages

    mutating func message(_ range: Range<Int>, _ descriptor: Descriptor, depth: Int) -> [FrameDump.Field] {
        let type = String(cString: descriptor.pointee.name)
        guard depth <= Limits.nesting else {
            fault(range.lowerBound, "\(type): messages are nested more than \(Limits.nesting) deep")
            return []
        }
        var fields: [FrameDump.Field] = []
        var seen: Set<UInt32> = []
        var offset = range.lowerBound
        while offset < range.upperBound, takeOne() {
            let start = offset
            // Where one field ends is where the next begins, so behind a broken one nothing more can be read here; the
            // message around it has its own length and goes on.
            var whole = FieldScan.next(in: bytes.span.bytes, at: &offset, end: range.upperBound)
            if whole == nil {
                fault(start, "\(type): no protobuf field here; \(range.upperBound - start) bytes are left of it")
                whole = beginning(at: start, end: range.upperBound)
                offset = range.upperBound
                isInPart = true
            }
            guard let field = whole else { break }
            let known = protobuf_c_message_descriptor_get_field(descriptor, field.number)
            if let known, known.pointee.label != PROTOBUF_C_LABEL_REPEATED, !seen.insert(field.number).inserted {
                fault(start, "\(name(known)) is sent twice")
            }
            let found = values(field, known, depth)
            for value in found {
                fields.append(
                    FrameDump.Field(
                        number: field.number, name: known.map { String(cString: $0.pointee.name) }, message: type,
                        isRepeated: known?.pointee.label == PROTOBUF_C_LABEL_REPEATED, range: field.value,
                        prefix: found.count == 1 ? field.value.lowerBound - start : 0, value: value))
            }
        }
        return fields
    }

    /// A field whose length runs past the end, such as a frame's message when the frame is cut off: as much of it as
    /// there is.
    private func beginning(at start: Int, end: Int) -> WireField? {
        var offset = start
        guard let tag = FieldScan.varint32(in: bytes.span.bytes, at: &offset, end: end), tag & 7 == 2, tag >> 3 > 0,
            let length = FieldScan.varint32(in: bytes.span.bytes, at: &offset, end: end), Int(length) > end - offset
        else { return nil }
        return WireField(number: tag >> 3, type: .bytes, varint: 0, value: offset..<end)
    }

    /// What one field of the wire holds: one value, or those of a packed list.
    private mutating func values(_ field: WireField, _ known: FieldDescriptor?, _ depth: Int) -> [FrameDump.Value] {
        guard let known else { return [raw(field)] }
        let type = known.pointee.type
        let expected = Self.wireType(of: type)
        if field.type == expected {
            return [expected == .bytes ? composite(field, known, depth) : number(field, known)]
        }
        // Encoders may write lists of numbers packed or one by one, and readers take both.
        guard known.pointee.label == PROTOBUF_C_LABEL_REPEATED, field.type == .bytes else {
            fault(field.value.lowerBound, "\(name(known)) is sent as \(field.type.name), not as \(expected.name)")
            return [raw(field)]
        }
        return packed(field, known, expected)
    }

    private func raw(_ field: WireField) -> FrameDump.Value {
        .raw(wireType: field.type.name, copy(field.value))
    }

    // MARK: Values

    private mutating func composite(_ field: WireField, _ known: FieldDescriptor, _ depth: Int) -> FrameDump.Value {
        switch known.pointee.type {
        case PROTOBUF_C_TYPE_MESSAGE: return .message(message(field.value, Self.message(of: known), depth: depth + 1))
        case PROTOBUF_C_TYPE_STRING:
            let content = copy(field.value)
            if let text = String(validating: content, as: UTF8.self) { return .text(text) }
            fault(field.value.lowerBound, "\(name(known)) is not valid UTF-8")
            return .bytes(content)
        default: return .bytes(copy(field.value))
        }
    }

    private func number(_ field: WireField, _ known: FieldDescriptor) -> FrameDump.Value {
        var bits = field.varint
        // Fixed numbers are little-endian.
        if field.type != .varint {
            for byte in copy(field.value).reversed() { bits = bits << 8 | UInt64(byte) }
        }
        return Self.value(bits, known)
    }

    private mutating func packed(
        _ field: WireField, _ known: FieldDescriptor, _ type: WireType
    ) -> [FrameDump.Value] {
        var values: [FrameDump.Value] = []
        var offset = field.value.lowerBound
        while offset < field.value.upperBound, takeOne() {
            let start = offset
            var element = WireField(number: field.number, type: type, varint: 0, value: start..<start)
            if type == .varint {
                guard let varint = FieldScan.varint64(in: bytes.span.bytes, at: &offset, end: field.value.upperBound)
                else {
                    fault(start, "\(name(known)) is not a list of numbers")
                    return values
                }
                element.varint = varint
            } else {
                offset += type == .fixed64 ? 8 : 4
                guard offset <= field.value.upperBound else {
                    fault(start, "\(name(known)) ends in the middle of a number")
                    return values
                }
            }
            element.value = start..<offset
            values.append(number(element, known))
        }
        return values
    }

    /// - Parameter bits: of a varint as it was sent, or of a fixed number, zero-extended.
    private static func value(_ bits: UInt64, _ known: FieldDescriptor) -> FrameDump.Value {
        switch known.pointee.type {
        case PROTOBUF_C_TYPE_INT32, PROTOBUF_C_TYPE_INT64, PROTOBUF_C_TYPE_SFIXED64:
            return .signed(Int64(bitPattern: bits))
        case PROTOBUF_C_TYPE_SINT32, PROTOBUF_C_TYPE_SINT64:
            // ZigZag: 0, -1, 1, -2 are sent as 0, 1, 2, 3.
            return .signed(Int64(bitPattern: bits >> 1) ^ -Int64(bits & 1))
        case PROTOBUF_C_TYPE_SFIXED32: return .signed(Int64(Int32(bitPattern: UInt32(truncatingIfNeeded: bits))))
        case PROTOBUF_C_TYPE_BOOL: return .flag(bits != 0)
        case PROTOBUF_C_TYPE_DOUBLE: return .real(Double(bitPattern: bits))
        case PROTOBUF_C_TYPE_FLOAT: return .real(Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits))))
        case PROTOBUF_C_TYPE_ENUM: return .enumeration(name: enumerator(bits, known), number: bits)
        default: return .unsigned(bits)
        }
    }

    private static func enumerator(_ bits: UInt64, _ known: FieldDescriptor) -> String? {
        guard let number = Int32(exactly: bits), let type = known.pointee.descriptor else { return nil }
        let descriptor = type.assumingMemoryBound(to: ProtobufCEnumDescriptor.self)
        return protobuf_c_enum_descriptor_get_value(descriptor, number).map { String(cString: $0.pointee.name) }
    }

    static func wireType(of type: ProtobufCType) -> WireType {
        switch type {
        case PROTOBUF_C_TYPE_STRING, PROTOBUF_C_TYPE_BYTES, PROTOBUF_C_TYPE_MESSAGE: .bytes
        case PROTOBUF_C_TYPE_FIXED64, PROTOBUF_C_TYPE_SFIXED64, PROTOBUF_C_TYPE_DOUBLE: .fixed64
        case PROTOBUF_C_TYPE_FIXED32, PROTOBUF_C_TYPE_SFIXED32, PROTOBUF_C_TYPE_FLOAT: .fixed32
        default: .varint
        }
    }

    // MARK: Bookkeeping

    private mutating func takeOne() -> Bool {
        guard left > 0 else {
            isCut = true
            return false
        }
        left -= 1
        return true
    }

    private mutating func fault(_ offset: Int, _ problem: String) {
        if !isInPart, flaws.count < FrameDump.mostFlaws {
            flaws.append(FrameDump.Flaw(offset: offset, problem: problem))
        }
    }

    private func name(_ known: FieldDescriptor) -> String { String(cString: known.pointee.name) }

    private func copy(_ range: Range<Int>) -> [UInt8] { Array(bytes[range]) }
}

extension WireType {
    fileprivate var name: String {
        switch self {
        case .varint: "varint"
        case .fixed64: "fixed64"
        case .bytes: "bytes"
        case .fixed32: "fixed32"
        }
    }
}

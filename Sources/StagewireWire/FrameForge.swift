import CEnvelope

/// Makes the bytes of any message out of a literal, along the descriptors that protoc-c made of `proto/`: the
/// counterpart of `FrameDump`. It writes whatever it is told, also what a peer has to refuse, which a real encoder
/// would not: fields in any order and any number of times, invalid UTF-8, unknown fields, other wire types.
///
/// Member names are those of `proto/`. A scalar that has its type's zero value is left out, as proto3 encoders do
/// (not in a `oneof`). Besides:
///
/// ```
/// "#1000": {varint: 7}           an unknown field, or a known one by its number; also bytes, fixed64, fixed32, group
/// attempts: {unpacked: [1, 2]}   a repeated number without packing
/// payload: {fill: "x", size: 9}  that many bytes
/// ```
public enum FrameForge {
    public struct Fault: Error, Equatable, Sendable {
        /// Such as `deliver.records`.
        public var path: String
        public var message: String

        public init(path: String, message: String) {
            self.path = path
            self.message = message
        }
    }

    /// The content of a frame, without its length prefix: members `version` and at most one kind, by its field's name.
    public static func envelope(_ literal: FrameLiteral) throws(Fault) -> [UInt8] {
        try encode(literal, DumpWalk.envelope, path: "")
    }

    /// A message by the name of its type, `Record`.
    public static func message(_ type: String, _ literal: FrameLiteral) throws(Fault) -> [UInt8] {
        guard let descriptor = descriptor(named: type) else {
            throw Fault(path: type, message: "there is no such message")
        }
        return try encode(literal, descriptor, path: "")
    }

    /// The content behind its length prefix.
    public static func framed(_ content: [UInt8]) -> [UInt8] {
        withUnsafeBytes(of: UInt32(content.count).bigEndian, Array.init) + content
    }

    /// Kinds of messages, as the Envelope's fields are named.
    public static let kinds: [String] = names(of: DumpWalk.envelope).filter { $0 != "version" }

    /// Whether a name, or a path of names, is one of a kind's message: `deliver.records.header.key`.
    public static func hasField(_ path: [String], in type: String) -> Bool {
        guard var current = descriptor(named: type) else { return false }
        for (index, name) in path.enumerated() {
            guard let field = protobuf_c_message_descriptor_get_field_by_name(current, name) else { return false }
            guard index + 1 < path.count else { return true }
            guard field.pointee.type == PROTOBUF_C_TYPE_MESSAGE else { return false }
            current = DumpWalk.message(of: field)
        }
        return true
    }

    // MARK: Descriptors

    private static func names(of descriptor: DumpWalk.Descriptor) -> [String] {
        (0..<Int(descriptor.pointee.n_fields)).map { String(cString: descriptor.pointee.fields[$0].name) }
    }

    /// Breadth first through everything that an Envelope can hold.
    private static func descriptor(named type: String) -> DumpWalk.Descriptor? {
        var waiting = [DumpWalk.envelope]
        var seen: Set<String> = []
        while !waiting.isEmpty {
            let next = waiting.removeFirst()
            let name = String(cString: next.pointee.short_name)
            if name == type { return next }
            guard seen.insert(name).inserted else { continue }
            for index in 0..<Int(next.pointee.n_fields) {
                let field = next.pointee.fields + index
                if field.pointee.type == PROTOBUF_C_TYPE_MESSAGE { waiting.append(DumpWalk.message(of: field)) }
            }
        }
        return nil
    }

    // MARK: Encoding

    private static func encode(
        _ literal: FrameLiteral, _ descriptor: DumpWalk.Descriptor, path: String
    ) throws(Fault) -> [UInt8] {
        guard case .object(let members) = literal else {
            throw Fault(path: path, message: "a \(String(cString: descriptor.pointee.short_name)) has fields")
        }
        var bytes: [UInt8] = []
        for member in members where member.value != .null {
            let inner = path.isEmpty ? member.name : "\(path).\(member.name)"
            if member.name.hasPrefix("#") {
                try appendUnknown(member, to: &bytes, path: inner)
                continue
            }
            guard let field = protobuf_c_message_descriptor_get_field_by_name(descriptor, member.name) else {
                let known = names(of: descriptor).joined(separator: ", ")
                throw Fault(path: inner, message: "there is no such field; there are \(known)")
            }
            if field.pointee.label == PROTOBUF_C_LABEL_REPEATED {
                try appendList(member.value, field, to: &bytes, path: inner)
            } else {
                let isOneof = field.pointee.quantifier_offset != 0 && field.pointee.type != PROTOBUF_C_TYPE_MESSAGE
                try append(member.value, field, to: &bytes, path: inner, writesZero: isOneof)
            }
        }
        return bytes
    }

    private static func appendList(
        _ value: FrameLiteral, _ field: DumpWalk.FieldDescriptor, to bytes: inout [UInt8], path: String
    ) throws(Fault) {
        let isComposite = DumpWalk.wireType(of: field.pointee.type) == .bytes
        if isComposite || value["unpacked"] != nil {
            for element in (value["unpacked"] ?? value).elements {
                try append(element, field, to: &bytes, path: path, writesZero: true)
            }
            return
        }
        var packed: [UInt8] = []
        for element in value.elements { packed += try number(element, field, path: path) }
        guard !packed.isEmpty else { return }
        tag(field.pointee.id, .bytes, to: &bytes)
        varint(UInt64(packed.count), to: &bytes)
        bytes += packed
    }

    private static func append(
        _ value: FrameLiteral, _ field: DumpWalk.FieldDescriptor, to bytes: inout [UInt8], path: String,
        writesZero: Bool
    ) throws(Fault) {
        let type = DumpWalk.wireType(of: field.pointee.type)
        guard type == .bytes else {
            let encoded = try number(value, field, path: path)
            guard writesZero || encoded.contains(where: { $0 != 0 }) else { return }
            tag(field.pointee.id, type, to: &bytes)
            bytes += encoded
            return
        }
        let isMessage = field.pointee.type == PROTOBUF_C_TYPE_MESSAGE
        let content: [UInt8]
        if isMessage, case .object = value {
            content = try encode(value, DumpWalk.message(of: field), path: path)
        } else {
            content = try opaque(value, path: path)
        }
        guard writesZero || isMessage || !content.isEmpty else { return }
        tag(field.pointee.id, .bytes, to: &bytes)
        varint(UInt64(content.count), to: &bytes)
        bytes += content
    }

    private static func opaque(_ value: FrameLiteral, path: String) throws(Fault) -> [UInt8] {
        if let fill = value["fill"]?.asBytes, let size = value["size"]?.number, !fill.isEmpty {
            return FrameLiteral.repeating(fill, size: size)
        }
        guard let bytes = value.asBytes else { throw Fault(path: path, message: "text or bytes are expected") }
        return bytes
    }

    private static func number(
        _ value: FrameLiteral, _ field: DumpWalk.FieldDescriptor, path: String
    ) throws(Fault) -> [UInt8] {
        var bytes: [UInt8] = []
        switch (field.pointee.type, value) {
        case (PROTOBUF_C_TYPE_BOOL, .flag(let flag)): varint(flag ? 1 : 0, to: &bytes)
        case (PROTOBUF_C_TYPE_DOUBLE, .real(let real)): fixed(real.bitPattern, to: &bytes)
        case (PROTOBUF_C_TYPE_DOUBLE, .integer(let number)): fixed(Double(number).bitPattern, to: &bytes)
        case (PROTOBUF_C_TYPE_ENUM, .text(let name)):
            guard let number = enumerator(name, field) else {
                throw Fault(path: path, message: "\(name) is not one of its values")
            }
            varint(UInt64(number), to: &bytes)
        case (PROTOBUF_C_TYPE_SINT32, .integer(let number)), (PROTOBUF_C_TYPE_SINT64, .integer(let number)):
            varint(UInt64(bitPattern: number << 1 ^ number >> 63), to: &bytes)
        case (let type, .integer(let number)) where DumpWalk.wireType(of: type) == .fixed64:
            fixed(UInt64(bitPattern: number), to: &bytes)
        case (let type, .unsigned(let number)) where DumpWalk.wireType(of: type) == .fixed64:
            fixed(number, to: &bytes)
        case (_, .integer(let number)): varint(UInt64(bitPattern: number), to: &bytes)
        case (_, .unsigned(let number)): varint(number, to: &bytes)
        case _: throw Fault(path: path, message: "a number is expected")
        }
        return bytes
    }

    /// By its name, or by what stands behind the enumeration's own: `ACCEPTED` for `OUTCOME_KIND_ACCEPTED`.
    private static func enumerator(_ name: String, _ field: DumpWalk.FieldDescriptor) -> Int32? {
        let descriptor = field.pointee.descriptor.assumingMemoryBound(to: ProtobufCEnumDescriptor.self)
        for index in 0..<Int(descriptor.pointee.n_values) {
            let value = descriptor.pointee.values[index]
            let full = String(cString: value.name)
            if full == name || full.hasSuffix("_\(name)") { return value.value }
        }
        return nil
    }

    /// What no descriptor knows: `"#1000": {varint: 7}`.
    private static func appendUnknown(
        _ member: FrameLiteral.Member, to bytes: inout [UInt8], path: String
    ) throws(Fault) {
        guard let id = UInt32(member.name.dropFirst()), case .object(let parts) = member.value,
            let part = parts.first
        else { throw Fault(path: path, message: "write it as \"#NUMBER\": {varint: 7}") }
        switch part.name {
        case "varint" where part.value.number != nil:
            tag(id, .varint, to: &bytes)
            varint(part.value.number ?? 0, to: &bytes)
        case "fixed64" where part.value.number != nil:
            tag(id, .fixed64, to: &bytes)
            fixed(part.value.number ?? 0, to: &bytes)
        case "fixed32" where part.value.number != nil:
            tag(id, .fixed32, to: &bytes)
            bytes += withUnsafeBytes(of: UInt32(truncatingIfNeeded: part.value.number ?? 0).littleEndian, Array.init)
        case "bytes":
            tag(id, .bytes, to: &bytes)
            let content = try opaque(part.value, path: path)
            varint(UInt64(content.count), to: &bytes)
            bytes += content
        case "group":
            // Start and end of an empty group, which proto3 does not have.
            varint(UInt64(id) << 3 | 3, to: &bytes)
            varint(UInt64(id) << 3 | 4, to: &bytes)
        case let other:
            throw Fault(path: path, message: "\(other) is none of varint, fixed64, fixed32, bytes, group")
        }
    }

    private static func tag(_ id: UInt32, _ type: WireType, to bytes: inout [UInt8]) {
        varint(UInt64(id) << 3 | UInt64(type.rawValue), to: &bytes)
    }

    package static func varint(_ value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private static func fixed(_ bits: UInt64, to bytes: inout [UInt8]) {
        bytes += withUnsafeBytes(of: bits.littleEndian, Array.init)
    }
}

import CEnvelope
import StagewireModel

/// Passes the bytes of a control message before libprotobuf-c sees them.
///
/// libprotobuf-c accepts invalid UTF-8, hands strings over as C strings (which end at a NUL), lets a field
/// that is sent twice replace the earlier one, and allocates for every element and every unknown field. So
/// this walk follows its descriptors over the bytes first. What passes it unpacks, and every C string in
/// it is exactly the string that was sent.
struct ControlCheck {
    typealias Descriptor = UnsafePointer<ProtobufCMessageDescriptor>

    let kind: Kind
    /// A Hello has a code of its own.
    var code: Code { kind == .hello ? .malformedHello : .malformedFrame }

    /// Walks `bytes` as a message of `kind`.
    func pass(_ bytes: RawSpan) throws(CloseReason) {
        if let most = kind.largestBody, bytes.byteCount > most {
            throw CloseReason(
                code, "\(kind.name) of \(bytes.byteCount) bytes, where at most \(most) are allowed.")
        }
        try walk(bytes, 0..<bytes.byteCount, kind.descriptor, depth: 1)
    }

    private func walk(
        _ bytes: RawSpan, _ range: Range<Int>, _ descriptor: Descriptor, depth: Int
    ) throws(CloseReason) {
        precondition(depth <= Limits.nesting, "the depth of control messages is that of the proto files")
        var offset = range.lowerBound
        var seen: UInt64 = 0
        while offset < range.upperBound {
            guard let field = FieldScan.next(in: bytes, at: &offset, end: range.upperBound) else {
                throw CloseReason(
                    .malformedFrame,
                    "\(kind.name) is not well-formed: no protobuf field at byte \(offset) of \(bytes.byteCount).")
            }
            guard let known = protobuf_c_message_descriptor_get_field(descriptor, field.number) else { continue }
            if known.pointee.label != PROTOBUF_C_LABEL_REPEATED {
                precondition(field.number < 64, "control messages number their fields below 64")
                let bit = UInt64(1) << UInt64(field.number)
                guard seen & bit == 0 else { throw fault(known, "is sent twice") }
                seen |= bit
            }
            try check(field, known, in: bytes, depth: depth)
        }
    }

    private func check(
        _ field: WireField, _ known: UnsafePointer<ProtobufCFieldDescriptor>, in bytes: RawSpan, depth: Int
    ) throws(CloseReason) {
        switch known.pointee.type {
        case PROTOBUF_C_TYPE_STRING:
            guard field.type == .bytes else { throw fault(known, "is not a string") }
            try checkText(bytes.extracting(field.value), known)
        case PROTOBUF_C_TYPE_BYTES:
            guard field.type == .bytes else { throw fault(known, "is not a byte string") }
        case PROTOBUF_C_TYPE_MESSAGE:
            guard field.type == .bytes else { throw fault(known, "is not a message") }
            let inner = known.pointee.descriptor.assumingMemoryBound(to: ProtobufCMessageDescriptor.self)
            try walk(bytes, field.value, inner, depth: depth + 1)
        case PROTOBUF_C_TYPE_UINT32, PROTOBUF_C_TYPE_ENUM:
            guard field.type == .varint else { throw fault(known, "is not a number") }
            guard field.varint <= UInt64(UInt32.max) else { throw fault(known, "does not fit 32 bits") }
        case PROTOBUF_C_TYPE_UINT64, PROTOBUF_C_TYPE_BOOL:
            guard field.type == .varint else { throw fault(known, "is not a number") }
        default:
            preconditionFailure("control messages have no fields of this type; teach ControlCheck about it")
        }
    }

    private func checkText(_ text: RawSpan, _ known: UnsafePointer<ProtobufCFieldDescriptor>) throws(CloseReason) {
        let problem: String? = text.withUnsafeBytes { raw in
            if raw.contains(0) { return "contains a NUL byte" }
            return String(validating: raw, as: UTF8.self) == nil ? "is not valid UTF-8" : nil
        }
        if let problem { throw fault(known, problem) }
    }

    private func fault(_ known: UnsafePointer<ProtobufCFieldDescriptor>, _ problem: String) -> CloseReason {
        CloseReason(code, "\(kind.name): \(String(cString: known.pointee.name)) \(problem).")
    }
}

extension Kind {
    /// The message's descriptor, found through the envelope's: one table for all kinds.
    var descriptor: ControlCheck.Descriptor {
        var envelope = Stagewire__V1__Envelope()
        stagewire__v1__envelope__init(&envelope)
        guard let field = protobuf_c_message_descriptor_get_field(envelope.base.descriptor, rawValue),
            let descriptor = field.pointee.descriptor
        else { preconditionFailure("\(name) has no field \(rawValue) in the generated Envelope") }
        return descriptor.assumingMemoryBound(to: ProtobufCMessageDescriptor.self)
    }

    /// Bytes that the broker reads as this kind, nil when only the frame limit bounds it. Bounds what
    /// libprotobuf-c allocates for elements and unknown fields: about 64 bytes for each, which may be two
    /// bytes long, hence 2 MiB for one message.
    var largestBody: Int? {
        switch self {
        case .hello: Limits.handshakeFrame
        case .close, .ping, .pong, .credit, .extend, .claim, .finished: Limits.controlMessage
        case .welcome, .committed, .settled, .drain, .runs, .claimed: nil
        case .deliver, .settle, .emit: preconditionFailure("\(name) is scanned, not unpacked")
        }
    }
}

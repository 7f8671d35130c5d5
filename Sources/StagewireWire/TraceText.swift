/// An encoded `TraceContext`, whose texts the scanner has checked.
public struct TraceText: Equatable, Sendable {
    public var traceparent = ""
    public var tracestate = ""

    /// `nil` for no bytes: the source gave none.
    public init?(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return nil }
        var offset = 0
        while let field = FieldScan.next(in: bytes.span.bytes, at: &offset, end: bytes.count) {
            guard field.type == .bytes else { continue }
            let text = String(decoding: bytes[field.value], as: UTF8.self)
            if field.number == 1 { traceparent = text }
            if field.number == 2 { tracestate = text }
        }
    }
}

import StagewireModel

extension StepBatch {
    /// Reads one `Emission` and appends it. Its own structure has to be well-formed; what its `output` and
    /// `trace` hold is the emission's own affair, and a flaw there is noted in it.
    mutating func scanEmission(_ bytes: RawSpan, _ content: Range<Int>) throws(Malformed) {
        guard emissions.count < Self.entryLimit else { throw Malformed(.entries, content.lowerBound) }
        var cursor = FieldCursor(content, in: bytes)
        var seen = SeenFields()
        let parentStart = parents.count
        var port: UInt32 = 0
        var output = content.lowerBound..<content.lowerBound
        var trace = output
        while !cursor.isAtEnd {
            let start = cursor.position
            let tag = try cursor.tag(bytes)
            switch tag {
            case 0x08:
                try seen.insert(tag, at: start)
                port = try cursor.number32(bytes)
            case 0x10:
                try append(parent: try cursor.varint(bytes), at: start)
            case 0x12:  // packed; both forms may be mixed
                var packed = FieldCursor(try cursor.delimited(bytes), in: bytes)
                while !packed.isAtEnd { try append(parent: try packed.varint(bytes), at: start) }
            case 0x1a:
                try seen.insert(tag, at: start)
                output = try cursor.delimited(bytes)
            case 0x22:
                try seen.insert(tag, at: start)
                trace = try cursor.delimited(bytes)
            default:
                try cursor.skip(tag, known: 4, bytes)
            }
        }
        var emission = Emission(
            port: port, parents: parentStart..<parents.count, output: ByteRange(output),
            trace: ByteRange(trace), keyHash: 0, flaw: nil, flawOffset: 0)
        do throws(Malformed) {
            let key = try OutputScanner.scan(bytes, output)
            if !trace.isEmpty { try scanTrace(bytes, trace) }
            if !key.isEmpty { emission.keyHash = RecordIdentity.keyHash(bytes, key) }
        } catch {
            emission.flaw = error.flaw
            emission.flawOffset = UInt32(truncatingIfNeeded: error.offset)
        }
        emissions.append(emission)
    }

    @inline(__always)
    private mutating func append(parent: UInt64, at offset: Int) throws(Malformed) {
        guard parents.count < Self.entryLimit else { throw Malformed(.entries, offset) }
        parents.append(parent)
    }

    /// A trace context is copied into every record downstream, so its size is bounded as a whole: unknown fields
    /// may stand in it as far as the known ones leave room.
    private func scanTrace(_ bytes: RawSpan, _ trace: Range<Int>) throws(Malformed) {
        guard trace.count <= LineageStamp.traceLimit else { throw Malformed(.traceSize, trace.lowerBound) }
        var cursor = FieldCursor(trace, in: bytes)
        var seen = SeenFields()
        while !cursor.isAtEnd {
            let start = cursor.position
            let tag = try cursor.tag(bytes)
            switch tag {
            case Field.traceparent:
                try seen.insert(tag, at: start)
                let text = try cursor.string(bytes)
                guard text.count <= Limits.traceparent else { throw Malformed(.traceSize, start) }
            case Field.tracestate:
                try seen.insert(tag, at: start)
                let text = try cursor.string(bytes)
                guard text.count <= Limits.tracestate else { throw Malformed(.traceSize, start) }
            default:
                try cursor.skip(tag, known: 2, bytes)
            }
        }
    }
}

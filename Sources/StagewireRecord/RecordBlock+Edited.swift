import StagewireModel

extension RecordBlock {
    /// What a person has made of a record: another output, with the way and the root of that record, which is its parent. The id
    /// is a function of both, so that the same change of the same record is the same one.
    /// - Parameter output: an encoded `Record` without lineage
    /// - Throws: what a worker would be told that emits it
    public static func edited(_ parent: RecordRef, output: RawSpan) throws(CloseReason) -> RecordBlock {
        do throws(Malformed) {
            _ = try OutputScanner.scan(output, 0..<output.byteCount)
        } catch {
            throw CloseReason(
                .invalidOutput, "the record is not valid: \(error.flaw.sentence) (at byte \(error.offset))")
        }
        let seed = parent.withWire { bytes in
            let id = bytes.id(LineageView(bytes).id)
            return [id.low, id.high].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
        }
        let bytes = seed + output.withUnsafeBytes { Array($0) }
        let stamp = LineageStamp()
        stamp.edited(id: RecordIdentity.hash(bytes.span.bytes), parent: parent)
        var log = StreamLog()
        let sequence = log.append(stamp, output: output, keyHash: 0)
        // Its key is hashed when it is read again.
        return withExtendedLifetime(log) { log.ref(sequence).withWire { RecordBlock(wire: $0) } }
    }
}

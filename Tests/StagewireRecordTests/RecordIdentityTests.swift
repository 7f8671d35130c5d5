import StagewireModel
import Testing

@testable import StagewireRecord

@Suite struct RecordIdentityTests {
    /// The value by which the algorithm's author identifies this variant: the hashes of the keys {}, {0}, {0, 1} ...
    /// with the seeds 256, 255 ..., hashed once more; its first four bytes.
    @Test func publishedVerificationValue() {
        var hashes: [UInt8] = []
        for length in 0..<256 {
            let key = (0..<length).map { UInt8($0) }
            hashes += bytes(of: RecordIdentity.hash(key.span.bytes, seed: UInt64(256 - length)))
        }
        let last = RecordIdentity.hash(hashes.span.bytes, seed: 0)
        #expect(UInt32(truncatingIfNeeded: last.low) == 0x6384_ba69)
    }

    @Test(
        arguments: [
            ("", 0, 0),
            ("hello", 0xcbd8_a7b3_41bd_9b02, 0x5b1e_906a_48ae_1d19),
            ("The quick brown fox jumps over the lazy dog", 0xe34b_bc7b_bc07_1b6c, 0x7a43_3ca9_c49a_9347),
        ] as [(String, UInt64, UInt64)])
    func knownHashes(text: String, low: UInt64, high: UInt64) {
        let utf8 = Array(text.utf8)
        #expect(RecordIdentity.hash(utf8.span.bytes) == RecordID(low: low, high: high))
        #expect(RecordIdentity.keyHash(utf8.span.bytes) == max(1, low))
    }

    /// The short forms, which resume behind the origin, against the definition: a hash over the concatenated bytes.
    @Test func idsAreHashesOfConcatenatedBytes() {
        let origin = bytes(of: hash(Array("pipe\0stage\0out".utf8)))
        let made = OriginID(pipeline: "pipe", stage: "stage", port: "out")
        let parents = (1...40).map { RecordID(low: UInt64($0) &* 0x9e37_79b9_7f4a_7c15, high: UInt64($0)) }
        for ordinal: UInt64 in [0, 1, 255, 1 << 40, .max] {
            let tail = littleEndian(ordinal)
            #expect(made.derived(parent: parents[0], ordinal: ordinal) == hash(origin + bytes(of: parents[0]) + tail))
            #expect(
                made.derived(parents: [parents[0]], ordinal: ordinal)
                    == made.derived(parent: parents[0], ordinal: ordinal))
            for count in [0, 2, 3, 16, 17, 40] {
                let chosen = Array(parents[..<count])
                #expect(
                    made.derived(parents: chosen, ordinal: ordinal) == hash(origin + chosen.flatMap(bytes(of:)) + tail))
            }
            #expect(made.source(emitID: 7, ordinal: ordinal) == hash(origin + littleEndian(7) + tail))
        }
        let partition = OriginID(pipeline: "pipe", stage: "stage", partition: "out")
        #expect(partition.source(emitID: 1, ordinal: 2) == made.source(emitID: 1, ordinal: 2))
    }

    private func hash(_ input: [UInt8]) -> RecordID { RecordIdentity.hash(input.span.bytes) }

    private func littleEndian(_ word: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }

    private func bytes(of id: RecordID) -> [UInt8] { littleEndian(id.low) + littleEndian(id.high) }
}

import NIOCore
import StagewireModel
import Testing

@testable import StagewireBroker

/// Bytes to frames, however the reads are cut.
@Suite struct FrameAssemblerTests {
    private func stream(_ lengths: [Int]) -> (bytes: [UInt8], frames: [[UInt8]]) {
        var bytes: [UInt8] = []
        var frames: [[UInt8]] = []
        for (index, length) in lengths.enumerated() {
            let frame = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ index) }
            withUnsafeBytes(of: UInt32(length).bigEndian) { bytes.append(contentsOf: $0) }
            bytes += frame
            frames.append(frame)
        }
        return (bytes, frames)
    }

    private func assemble(_ bytes: [UInt8], cuts: [Int], limit: Int = 4096) throws(CloseReason) -> [[UInt8]] {
        var assembler = FrameAssembler()
        var found: [[UInt8]] = []
        var start = 0
        for cut in cuts + [bytes.count] {
            var read = ByteBuffer(bytes: bytes[start..<max(start, cut)])
            start = max(start, cut)
            try assembler.take(&read, limit: { limit }) { span throws(CloseReason) in
                found.append(span.withUnsafeBytes { Array($0) })
            }
            #expect(read.readableBytes == 0)
            #expect(assembler.pendingBytes < limit + Limits.framePrefix)
        }
        return found
    }

    @Test func everyCutIntoTwoReads() throws {
        let (bytes, frames) = stream([1, 5, 300, 2, 1])
        for cut in 0...bytes.count { #expect(try assemble(bytes, cuts: [cut]) == frames) }
    }

    @Test func everyReadSize() throws {
        let (bytes, frames) = stream([3, 1, 700, 9, 64, 1, 4096])
        for size in [1, 2, 3, 4, 5, 7, 64, 1000] {
            #expect(try assemble(bytes, cuts: Array(stride(from: size, to: bytes.count, by: size))) == frames)
        }
    }

    /// The length is judged as soon as its four bytes are there, before anything is kept for it.
    @Test func oversizeIsRefusedAtItsPrefix() {
        let (bytes, _) = stream([3, 4097])
        for end in 11...14 {
            var code: UInt32?
            do { _ = try assemble(Array(bytes[..<end]), cuts: [8, 9, 10]) } catch { code = error.code }
            #expect(code == Code.frameTooLarge.rawValue)
        }
        #expect(throws: Never.self) { try assemble(Array(bytes[..<10]), cuts: [8]) }
    }
}

import StagewireModel
import Testing

@testable import StagewireBroker

@Suite struct LineSplitterTests {
    private func lines(_ pieces: [String]) -> [String] {
        var splitter = LineSplitter()
        var lines: [String] = []
        for piece in pieces { splitter.append(piece.utf8) { lines.append(String(decoding: $0, as: UTF8.self)) } }
        splitter.finish { lines.append(String(decoding: $0, as: UTF8.self)) }
        return lines
    }

    @Test func joinsPiecesAndEndsWithTheRest() {
        #expect(lines(["on", "e\ntwo\r\n", "\n", "three"]) == ["one", "two", "", "three"])
        #expect(lines([]) == [])
        #expect(lines(["x\n"]) == ["x"])
    }

    @Test func dropsTheRestOfALongLine() {
        let long = String(repeating: "a", count: Limits.text)
        #expect(lines([long, "bbb", "\nnext\n"]) == [long + "…", "next"])
        #expect(lines([long, "\n"]) == [long])
    }

    /// A program that never ends its line is heard all the same, once.
    @Test func showsALongLineBeforeItsEnd() {
        var splitter = LineSplitter()
        var count = 0
        for _ in 0..<4 { splitter.append([UInt8](repeating: 97, count: Limits.text)) { _ in count += 1 } }
        #expect(count == 1)
        splitter.append("\nb\n".utf8) { _ in count += 1 }
        splitter.finish { _ in count += 1 }
        #expect(count == 2)
    }
}

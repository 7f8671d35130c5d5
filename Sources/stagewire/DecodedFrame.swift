import StagewireModel
import StagewireWire

/// One frame of an input, taken apart.
struct DecodedFrame {
    /// From 1.
    var number: Int
    /// Of its length prefix, bytes from the start of the input.
    var offset: Int
    /// Bytes behind the prefix, as announced.
    var length: Int
    /// Of these, how many are there.
    var present: Int
    var dump: FrameDump

    init(number: Int, offset: Int, announced: Int, content: [UInt8]) {
        self.number = number
        self.offset = offset
        length = announced
        present = content.count
        dump = FrameDump(content)
    }

    var isTruncated: Bool { present < length }

    /// What is wrong with it, each with its place in the input.
    var problems: [(offset: Int, text: String)] {
        let flaws = dump.flaws.map { (offset: offset + Limits.framePrefix + $0.offset, text: $0.problem) }
        guard isTruncated else { return flaws }
        // The flaws of a part are that it is one.
        let end = offset + Limits.framePrefix + present
        return [(end, "the input ends here, with \(present) of the frame's \(length) bytes")]
    }
}

extension [UInt8] {
    /// As text, when a person can read it as such: UTF-8 without control characters but line ends and tabs.
    var printable: String? {
        guard let text = String(validating: self, as: UTF8.self) else { return nil }
        let isReadable = text.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control: scalar == "\n" || scalar == "\t" || scalar == "\r"
            case .format, .surrogate, .privateUse, .unassigned: false
            default: true
            }
        }
        return isReadable ? text : nil
    }

    var hex: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

extension FrameDump.Field {
    /// Bytes that are a number of their own kind, even when they happen to look like text.
    var isOpaque: Bool {
        switch (message, name) {
        case ("stagewire.v1.Lineage", "id"), ("stagewire.v1.Lineage", "parents"), ("stagewire.v1.Lineage", "root"),
            ("stagewire.v1.Hello", "token"):
            true
        case _: false
        }
    }
}

import StagewireModel

/// Cuts what a worker prints into lines of at most `Limits.text` bytes. A longer line is shown as soon as it is
/// overlong, for its end may never come, and the rest of it is dropped: a program that never ends its line costs no more
/// memory than one that does.
struct LineSplitter {
    private var partial: [UInt8] = []
    /// What comes until the next newline belongs to a line that was shown already.
    private var isOverlong = false

    mutating func append(_ bytes: some Sequence<UInt8>, line: ([UInt8]) -> Void) {
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                if !isOverlong { emit(line) }
                isOverlong = false
            } else if isOverlong {
                continue
            } else if partial.count < Limits.text {
                partial.append(byte)
            } else {
                isOverlong = true
                partial.append(contentsOf: "…".utf8)
                emit(line)
            }
        }
    }

    /// What stands behind the last newline, at the end of the output.
    mutating func finish(line: ([UInt8]) -> Void) {
        if !partial.isEmpty { emit(line) }
    }

    private mutating func emit(_ line: ([UInt8]) -> Void) {
        if partial.last == UInt8(ascii: "\r") { partial.removeLast() }
        line(partial)
        partial.removeAll(keepingCapacity: true)
    }
}

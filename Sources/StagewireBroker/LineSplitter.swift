import StagewireModel

/// Cuts what a worker prints into lines of at most `Limits.text` bytes. The rest of a longer line is
/// dropped, so that a program that never ends its line costs no more memory than one that does.
struct LineSplitter {
    private var partial: [UInt8] = []
    private var isOverlong = false

    mutating func append(_ bytes: some Sequence<UInt8>, line: ([UInt8]) -> Void) {
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                emit(line)
            } else if partial.count < Limits.text {
                partial.append(byte)
            } else {
                isOverlong = true
            }
        }
    }

    /// What stands behind the last newline, at the end of the output.
    mutating func finish(line: ([UInt8]) -> Void) {
        if !partial.isEmpty { emit(line) }
    }

    private mutating func emit(_ line: ([UInt8]) -> Void) {
        if partial.last == UInt8(ascii: "\r") { partial.removeLast() }
        if isOverlong { partial.append(contentsOf: "…".utf8) }
        line(partial)
        partial.removeAll(keepingCapacity: true)
        isOverlong = false
    }
}

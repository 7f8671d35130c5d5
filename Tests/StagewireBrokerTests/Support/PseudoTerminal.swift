import Foundation
import Testing

/// A terminal with a program on its other end. The test reads what the program writes, when it likes.
final class PseudoTerminal {
    /// Of Linux's asm-generic/ioctls.h; the macros that make them are not imported.
    private static let unlock: UInt = 0x4004_5431
    private static let number: UInt = 0x8004_5430

    private let descriptor: Int32
    private var text: [UInt8] = []

    init(columns: UInt16) throws {
        descriptor = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
        try #require(descriptor >= 0)
        var locked: Int32 = 0
        try #require(ioctl(descriptor, Self.unlock, &locked) == 0)
        var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        try #require(ioctl(descriptor, UInt(TIOCSWINSZ), &size) == 0)
    }

    deinit { close(descriptor) }

    /// For a program's standard error.
    func openOtherEnd() throws -> FileHandle {
        var index: UInt32 = 0
        try #require(ioctl(descriptor, Self.number, &index) == 0)
        let end = open("/dev/pts/\(index)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(end >= 0)
        return FileHandle(fileDescriptor: end, closeOnDealloc: true)
    }

    /// Everything that was written so far.
    func read() -> String {
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            // Fails with EIO when the other end is closed, with EAGAIN when there is nothing yet.
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return String(decoding: text, as: UTF8.self) }
            text += chunk.prefix(count)
        }
    }
}

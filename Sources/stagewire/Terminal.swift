import Glibc

/// Writing to descriptors, and what is known about a terminal behind one.
enum Terminal {
    /// Writes all of it, or as much as the other end takes: there is nobody to tell of an error.
    ///
    /// - Returns: false when nobody reads any more.
    @discardableResult
    static func write(_ text: String, to descriptor: Int32) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                bytes = bytes.dropFirst(count)
            } else if errno == EAGAIN {
                // Somebody who shares the descriptor has made it non-blocking.
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wait, 1, -1)
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// A terminal that follows control sequences: colours, moving the cursor.
    static func canControl(_ descriptor: Int32, _ environment: [String: String]) -> Bool {
        isTerminal(descriptor) && environment["TERM"] != "dumb"
    }

    /// Columns, 80 when unknown.
    static func width(_ descriptor: Int32) -> Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}

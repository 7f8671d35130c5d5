import Foundation
import Synchronization

/// Where the handler writes to. Set once, before the handler is installed; a handler can capture nothing.
nonisolated(unsafe) private var wakePipe: Int32 = -1

/// Waits for the signals that end a run, on a thread of its own. The handler only writes the signal's number into a
/// pipe. (A blocked mask and `sigwait` do not do: the concurrency runtime parks the main thread with an empty mask.)
final class SignalThread: Sendable {
    private static let signals = [SIGINT, SIGTERM, SIGHUP]

    private let state = Mutex<(last: Int32?, count: Int)>((nil, 0))
    /// -1 where the system has no pipe for us: then signals do what they do by default.
    private let reading: Int32

    /// The latest signal received.
    var last: Int32? { state.withLock { $0.last } }

    /// From here on signals are kept for `start`. To be called before anybody can see that the process runs: a signal
    /// in between would end it without a word.
    init() {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            reading = -1
            return
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        wakePipe = ends[1]
        reading = ends[0]
        Self.install()
    }

    /// Calls `action` with each signal and its ordinal, from 1, on the signals' thread. Those that came before are first.
    func start(_ action: @escaping @Sendable (_ signal: Int32, _ count: Int) -> Void) {
        guard reading >= 0 else { return }
        Thread.detachNewThread { [self] in listen(reading, action) }
    }

    private static func install() {
        var handling = sigaction()
        handling.__sigaction_handler.sa_handler = { signal in
            let saved = errno
            var number = UInt8(truncatingIfNeeded: signal)
            _ = write(wakePipe, &number, 1)
            errno = saved
        }
        handling.sa_flags = SA_RESTART
        for signal in signals { sigaction(signal, &handling, nil) }
    }

    private func listen(_ reading: Int32, _ action: (_ signal: Int32, _ count: Int) -> Void) {
        var number: UInt8 = 0
        while true {
            let length = read(reading, &number, 1)
            if length < 0 && errno == EINTR { continue }
            guard length == 1 else { return }
            let count = state.withLock { state in
                state = (Int32(number), state.count + 1)
                return state.count
            }
            action(Int32(number), count)
        }
    }
}

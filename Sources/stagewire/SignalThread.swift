import Foundation
import Synchronization

/// Waits for the signals that end a run, on a thread of its own: no handler interrupts anybody.
final class SignalThread: Sendable {
    private static let signals = [SIGINT, SIGTERM, SIGHUP]

    private let state = Mutex<(last: Int32?, count: Int)>((nil, 0))

    /// The latest signal received.
    var last: Int32? { state.withLock { $0.last } }

    /// Has to come before the process has a second thread: threads inherit the mask. Workers get an empty one.
    static func blockSignals() {
        var set = mask()
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Calls `action` with each signal and its ordinal, from 1, on the signals' thread.
    static func start(_ action: @escaping @Sendable (_ signal: Int32, _ count: Int) -> Void) -> SignalThread {
        let signals = SignalThread()
        Thread.detachNewThread {
            var set = mask()
            var received: Int32 = 0
            while sigwait(&set, &received) == 0 {
                let count = signals.state.withLock { state in
                    state = (received, state.count + 1)
                    return state.count
                }
                action(received, count)
            }
        }
        return signals
    }

    private static func mask() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        return set
    }
}

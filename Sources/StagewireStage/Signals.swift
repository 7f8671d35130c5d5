import Foundation
import Glibc
import Synchronization

/// SIGTERM and SIGINT mean: finish what is at hand, give back the rest, exit 0. The second one ends the process at
/// once, as if nobody had caught the first.
enum Signals {
    /// Where the handler writes; -1: nowhere. A handler may do little more than that.
    private static let descriptor = Atomic<Int32>(-1)

    /// Installs the handlers, for the life of the process.
    static func install(_ hub: Hub) {
        let waker = Waker()
        descriptor.store(waker.writing, ordering: .sequentiallyConsistent)
        // A peer that is gone is an error of `write`, not the end.
        signal(SIGPIPE, SIG_IGN)
        for number in [SIGTERM, SIGINT] {
            signal(number) { number in
                var byte: UInt8 = 0
                let target = Signals.descriptor.load(ordering: .sequentiallyConsistent)
                if target >= 0 { _ = write(target, &byte, 1) }
                signal(number, SIG_DFL)
            }
        }
        Thread.detachNewThread {
            var waiting = pollfd(fd: waker.reading, events: Int16(POLLIN), revents: 0)
            while poll(&waiting, 1, -1) < 1 {}
            hub.leave()
        }
    }
}

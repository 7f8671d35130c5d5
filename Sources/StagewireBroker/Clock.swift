import Glibc
import StagewireModel

/// The shell's two clocks. The core never reads one: every event carries its `Moment`.
enum Clock {
    static func now() -> Moment {
        Moment(uptime: read(CLOCK_MONOTONIC), wall: read(CLOCK_REALTIME) / 1000)
    }

    /// Nanoseconds of the monotonic clock, the one that `NIODeadline` counts by as well.
    static func uptime() -> UInt64 { read(CLOCK_MONOTONIC) }

    /// Nanoseconds for which this process has had a processor, with all its threads.
    static func processTime() -> UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        let status = clock_gettime(clock, &time)
        precondition(status == 0, "every Linux kernel has this clock")
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

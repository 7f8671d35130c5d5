import NIOCore

/// The patience of host and lifecycle. Tests have less of it.
struct HostTiming: Sendable {
    /// From a worker's first exit to its next start; longer after each further one (`RestartPolicy`).
    var firstRestart = RestartPolicy.first
    /// A worker that has not attached after this long is mentioned, and from then on at each interval.
    var attachReminder = TimeAmount.seconds(10)
    var attachReminderInterval = TimeAmount.seconds(60)
    /// From the end of its session to SIGTERM, and from SIGTERM to SIGKILL.
    var leaveGrace = TimeAmount.seconds(10)
    var killGrace = TimeAmount.seconds(5)
    /// How long workers of a completed pipeline have to end after their Close(0).
    var farewell = TimeAmount.seconds(5)
    /// How long the end of a dead worker's session may take to be read: its socket is closed already.
    var sessionNews = TimeAmount.seconds(1)
    /// How often the stages are looked at for one that stands still, and how long it may.
    var stallLook = TimeAmount.seconds(5)
    var stallPatience = TimeAmount.seconds(10)
}

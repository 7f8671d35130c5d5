import Logging
import NIOCore
import StagewireModel

/// The place of one worker: `workers: 3` makes three, named "1" to "3". Processes come and go in it.
final class Slot {
    enum Phase {
        /// To be started at once, or when the scheduled time has come.
        case waiting(Scheduled<Void>?)
        case running(Occupant)
        /// Ended as it should, or given up: not started again.
        case stopped
    }

    let stage: Int
    let name: String
    let instance: String
    let launch: Launch
    var phase = Phase.waiting(nil)
    var policy: RestartPolicy
    /// The exits that count against the worker, oldest first, for the message when there are too many.
    private(set) var failures: [String] = []
    /// Processes that had this place so far.
    var starts = 0
    /// How the last one ended.
    var lastExit: ExitStatus?

    init(stage: Int, name: String, instance: String, launch: Launch, firstRestart: Duration) {
        self.stage = stage
        self.name = name
        self.instance = instance
        self.launch = launch
        policy = RestartPolicy(first: firstRestart)
    }

    /// What each log line about it carries.
    var metadata: Logger.Metadata { ["stage": .string(name), "instance": .string(instance)] }

    var occupant: Occupant? {
        if case .running(let occupant) = phase { occupant } else { nil }
    }

    func note(_ exit: WorkerProcess.Exit) {
        var text = "the worker \(exit.status)"
        for line in exit.lines { text += "\n    \(line)" }
        note(text)
    }

    func note(_ failure: String) {
        failures.append(failure)
        if failures.count > RestartPolicy.breakerExits { failures.removeFirst() }
    }
}

/// A process in its slot.
final class Occupant {
    enum Farewell { case none, broker, worker }

    let process: WorkerProcess
    let token: WorkerToken
    /// Uptime, nanoseconds.
    let startedAt: UInt64
    var hasAttached = false
    var isAttached = false
    /// The session ended without a goodbye.
    var isLost = false
    /// The process has ended, and what became of its session is not known yet.
    var exit: WorkerProcess.Exit?
    /// Who sent Close(0) first.
    var farewell = Farewell.none
    /// Its loss brings a poison record closer to being found, and does not count.
    var isShrinking = false
    /// Reminds of a worker that does not attach, or ends one that does not leave.
    var watchdog: Scheduled<Void>?

    init(process: WorkerProcess, token: WorkerToken, startedAt: UInt64) {
        self.process = process
        self.token = token
        self.startedAt = startedAt
    }
}

import Foundation
import Glibc
import StagewireModel
import StagewireWire

/// Reads a connection until it ends, and does what is due at a time: heartbeats, leases, gathered outcomes. A
/// thread of its own, because a handler may block all that Swift's pool has.
///
/// ```
/// poll(socket, waker) -> frames -> Hub -> the handler's task
///          |-> every 10 ms while a handler runs, else when something is due
/// ```
final class ConnectionThread {
    /// Gathered outcomes are written after about this time, even if the handler is still busy.
    private static let tick = 10 * Uptime.millisecond
    private static let idle = 10 * Uptime.second
    /// After our Close we read on at most this long (EN-1).
    static let closing = 5 * Uptime.second

    private let hub: Hub
    private let outbox: Outbox
    private let context: Context
    private var connection: Connection
    private var lease: LeaseKeeper
    /// Records wait unsettled as a rule: nothing is amiss while they do.
    private let holds: Bool
    private var isBusy = false
    /// What has just arrived may not be in a handler's hands yet.
    private var busyUntil: UInt64 = 0

    /// What records need to know.
    struct Context {
        var inputs: [UInt32: Input]
        let runs: RunTable
    }

    init(_ hub: Hub, _ connection: Connection, _ outbox: Outbox, runs: RunTable, stage: Stage) {
        self.hub = hub
        if case .group(holds: true, _) = stage.kind { holds = true } else { holds = false }
        self.outbox = outbox
        self.connection = connection
        let inputs = connection.welcome.inputs.map { input in
            (
                input.number,
                Input(number: input.number, stage: input.stage, port: input.port, ordering: input.ordering)
            )
        }
        context = Context(inputs: Dictionary(inputs) { first, _ in first }, runs: runs)
        lease = LeaseKeeper(leaseMS: connection.welcome.leaseMS, timeout: stage.timeout)
    }

    /// Returns when the connection is over; the descriptor is the caller's to close.
    func run() {
        let fault = serve()
        if case .closed(let reason, byBroker: false) = fault {
            outbox.close(.close(reason))
            Socket.discard(connection.descriptor, for: Self.closing)
        }
        outbox.close(nil)
        hub.change { $0.ended = fault }
    }

    private func serve() -> Fault {
        do {
            while true {
                while let frame = try connection.reader.next() { try handle(frame) }
                if let fault = read() { return fault }
                lookAfter(now: Uptime.now)
            }
        } catch let reason as CloseReason {
            return .closed(reason, byBroker: false)
        } catch let fault as Fault {
            return fault
        } catch {
            return .broken("\(error)")
        }
    }

    /// Waits for bytes or for what is due next.
    private func read() -> Fault? {
        let now = Uptime.now
        let due = isBusy ? now + Self.tick : min(now + Self.idle, hub.look { $0.wakeAt } ?? .max, lease.next)
        var waiting = [
            pollfd(fd: connection.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: hub.waker.reading, events: Int16(POLLIN), revents: 0),
        ]
        let milliseconds = due > now ? (due - now + Uptime.millisecond - 1) / Uptime.millisecond : 0
        _ = poll(&waiting, 2, Int32(clamping: milliseconds))
        if waiting[1].revents != 0 { hub.waker.drain() }
        guard waiting[0].revents != 0 else { return nil }
        switch connection.reader.fill(from: connection.descriptor) {
        case .bytes:
            busyUntil = Uptime.now + 2 * Self.tick
            return nil
        case .nothing: return nil
        case .end: return .endOfStream
        case .failure(let problem): return .broken("the connection broke: \(problem)")
        }
    }

    private func lookAfter(now: UInt64) {
        let hasGathered = outbox.tick()
        let (received, wakeAt) = hub.look { ($0.received, $0.wakeAt) }
        let progress = hub.progress.load(ordering: .acquiring)
        switch lease.judge(now: now, received: received, settled: outbox.settled, progress: progress) {
        case .nothing: break
        case .extend: outbox.send(.extend)
        case .overdue:
            let lane = hub.change { state in
                state.isOverdue = true
                return state.lane
            }
            // Not under the lock, which cancellation takes to wake who waits.
            lane?.cancel()
        }
        let isDue = wakeAt.map { $0 <= now } ?? false
        if isDue { hub.change { $0.wakeAt = nil } }
        // A handler that is between two records now may be in the middle of a long one in a moment.
        let isWorking = !progress.isMultiple(of: 2) || (!holds && received > outbox.settled)
        if isDue { busyUntil = now + 2 * Self.tick }
        isBusy = hasGathered || isWorking || now < busyUntil
    }

    private func handle(_ frame: [UInt8]) throws {
        switch try FrameDecoder.decode(frame) {
        case .deliver(let body): try receive(frame, body)
        case .control(let message): try handle(message)
        case .settle, .emit: throw CloseReason(.unexpectedMessage, "The broker sent what only a worker sends.")
        case .unknown: break
        }
    }

    private func receive(_ frame: [UInt8], _ body: Range<Int>) throws {
        let deliver = try DeliverScan(frame.span.bytes, body)
        guard let input = context.inputs[deliver.input] else {
            throw CloseReason(.unknownPort, "A delivery to input \(deliver.input), which Welcome did not name.")
        }
        let batch = Batch(
            bytes: frame, input: input, firstDelivery: deliver.firstDelivery, attempts: deliver.attempts,
            records: deliver.records, runs: context.runs, outbox: outbox)
        let charge = Charge(records: UInt64(batch.records.count), bytes: UInt64(batch.size))
        let isWithin = hub.change { state in
            guard let index = state.inputs.firstIndex(where: { $0.number == deliver.input }) else { return false }
            state.received += charge.records
            if charge.records > 0 { state.append(batch) }
            return state.inputs[index].receive(charge)
        }
        guard isWithin else {
            throw CloseReason(
                .creditExceeded, "The broker delivered more to input \(deliver.input) than this worker granted.")
        }
    }

    private func handle(_ message: ControlMessage) throws {
        switch message {
        case .ping(let nonce): outbox.send(.pong(nonce: nonce))
        case .credit(let limit):
            hub.change { state in
                guard let index = state.outputs.firstIndex(where: { $0.number == limit.number }) else { return }
                state.outputs[index].raise(to: limit)
            }
        case .runs(let runs): context.runs.learn(runs)
        case .drain(let reason, _):
            let task = hub.change { state in
                state.drain = reason
                return reason == .shutdown ? state.source.stop() : nil
            }
            task?.cancel()
        case .close(let reason): throw Fault.closed(reason, byBroker: true)
        case .claimed(let partition, _, let last, let checkpoint):
            hub.change { $0.source.claimed(partition, last: last, checkpoint: checkpoint, session: $0.session) }
        case .committed(let partition, let through, let refused):
            hub.change { $0.source.committed(partition, through: through, refused: refused) }
        case .pong(let nonce): hub.look { $0.pongs.append(nonce) }
        case .settled(let through, let refused):
            for refusal in refused { complain(refusal) }
            outbox.confirm(through: through, refused: refused)
        case .hello, .welcome, .extend, .claim, .finished:
            throw CloseReason(.unexpectedMessage, "The broker sent a message that it sends only once, or never.")
        }
    }
}

extension ConnectionThread {
    /// An outcome that the handler had accepted is a dead letter: nobody else in this process learns of it.
    private func complain(_ refusal: Refusal) {
        let code = Code(rawValue: refusal.error.code)?.name ?? "code \(refusal.error.code)"
        Complaint.write(
            "the broker refused what delivery \(refusal.id) emitted, which is a dead letter now: "
                + "\(Text.cut(refusal.error.message, bytes: Limits.text)) [\(code)]")
    }
}

/// Decides when a lease is to be extended: every third of it while deliveries are held and nothing was settled
/// meanwhile, but not for a handler that has had its time.
struct LeaseKeeper {
    enum Judgement: Equatable {
        case nothing
        case extend
        case overdue
    }

    /// When `judge` has something to say, unless a handler runs.
    private(set) var next: UInt64 = .max
    private let third: UInt64
    private let timeout: UInt64
    private var settledBefore: UInt64 = 0
    private var progressBefore: UInt64 = 0
    private var since: UInt64 = 0
    private var isOverdue = false

    /// - Parameter timeout: of a handler; zero: none.
    init(leaseMS: UInt32, timeout: Duration) {
        third = max(1, UInt64(leaseMS)) * Uptime.millisecond / 3
        self.timeout = timeout.nanoseconds
    }

    mutating func judge(now: UInt64, received: UInt64, settled: UInt64, progress: UInt64) -> Judgement {
        if progress != progressBefore {
            progressBefore = progress
            since = now
            isOverdue = false
        }
        let isRunning = !progress.isMultiple(of: 2)
        if isRunning, timeout > 0, !isOverdue, now - since > timeout {
            isOverdue = true
            return .overdue
        }
        guard received > settled else {
            next = .max
            return .nothing
        }
        if next == .max || settled != settledBefore {
            settledBefore = settled
            next = now + third
            return .nothing
        }
        guard now >= next else { return .nothing }
        next = now + third
        return isOverdue ? .nothing : .extend
    }
}

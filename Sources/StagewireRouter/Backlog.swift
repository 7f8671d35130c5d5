import StagewireLedger
import StagewireModel
import StagewireRecord

/// What a subscription reads apart from its stream's memory, because it is too far behind for that: records that were
/// copied out of the memory, or read back from the disk, in order.
///
/// ```
/// sequence   low ......... cursor ..... end            tail .............. stream's end
///            |  with workers | read back |   on the disk |  in the stream's memory
///            `---------- backlog --------'
/// ```
/// It is entered when a slow subscription would hold up its stream, and left when it has caught up with it.
struct Backlog {
    /// The records from `progress.low` on.
    var log: StreamLog
    /// The stream does not wait for this subscription: what it reads there is copied first.
    var isBehind = true
    /// Records from here on were asked for and are not there yet.
    var reading: UInt64?
    /// About how many bytes lie between `end` and the stream's memory.
    var bytesOnDisk = 0

    init(from sequence: UInt64) { log = StreamLog(from: sequence) }

    /// The next record to be copied or read.
    var end: UInt64 { log.end }

    /// Bytes of one reading: large enough that the disk is read in long pieces.
    static let portion = 1024 * 1024
    /// While it has so many bytes nothing more is read: two portions beyond what is handed out, as a rule.
    static let bytes = 8 * 1024 * 1024
}

/// How fast a subscription goes through its stream, for telling a slow one from one that merely has much to do.
struct Pace {
    private var sequence: UInt64 = 0
    private var since: UInt64 = 0

    /// The stream has room: there is no hurry.
    mutating func rest() { since = 0 }

    /// How long the last `window` records have taken at least, nanoseconds.
    mutating func time(for window: Int, low: UInt64, at uptime: UInt64) -> UInt64 {
        if since == 0 || low - sequence >= UInt64(window) {
            sequence = low
            since = uptime
        }
        return uptime - since
    }
}

extension Router {
    /// A record on a subscription's straight way; nil when it has to be read from the disk first.
    mutating func ahead(_ index: Int, _ sequence: UInt64) -> RecordRef? {
        let stream = subscriptions[index].stream
        guard subscriptions[index].hasBacklog else { return streams[stream].log.ref(sequence) }
        if sequence < subscriptions[index].backlog!.end { return subscriptions[index].backlog!.log.ref(sequence) }
        guard sequence >= streams[stream].memoryStart else {
            read(index)
            return nil
        }
        let record = streams[stream].log.ref(sequence)
        guard subscriptions[index].backlog!.isBehind else { return record }
        // The stream's memory may go on at any time without asking this subscription.
        subscriptions[index].backlog!.log.append(copying: record)
        return subscriptions[index].backlog!.log.ref(sequence)
    }

    /// From where on a subscription needs its stream's memory; nil: it does not.
    func needed(_ index: Int) -> UInt64? {
        guard subscriptions[index].hasBacklog, let backlog = subscriptions[index].backlog else {
            return subscriptions[index].progress.low
        }
        guard backlog.isBehind else { return max(subscriptions[index].progress.low, backlog.end) }
        // With its share of the disk used up the stream waits again, for what is not in its own memory.
        let isAtLimit = isDiskTight || backlog.bytesOnDisk >= pipeline.limits.backlogBytes
        return isAtLimit ? max(streams[subscriptions[index].stream].log.tail, backlog.end) : nil
    }

    /// Lets a slow subscription fall behind, so that the stream can go on without it. False: it is not slow, or has its
    /// share of the disk already.
    mutating func fallBehind(_ index: Int, at now: Moment) -> Bool {
        let isPossible = options.isRecording && !isDiskTight && pipeline.limits.backlogBytes > 0
        guard isPossible, subscriptions[index].overflow == .block else { return false }
        let stream = subscriptions[index].stream
        let low = subscriptions[index].progress.low
        if subscriptions[index].hasBacklog, subscriptions[index].backlog!.isBehind { return false }
        let time = subscriptions[index].pace.time(for: streams[stream].log.count / 2, low: low, at: now.uptime)
        guard time >= options.patience.nanoseconds else {
            lookAgain(at: now.uptime + options.patience.nanoseconds - time)
            return false
        }
        if !subscriptions[index].hasBacklog {
            subscriptions[index].backlog = Backlog(from: low)
            subscriptions[index].hasBacklog = true
            effects.append(
                .log(
                    Notice(
                        .info, stage: subscriptions[index].stage,
                        "is slow: what it cannot take yet waits on the disk")))
        }
        subscriptions[index].backlog!.isBehind = true
        subscriptions[index].backlog!.bytesOnDisk = 0
        // What is with workers, or waits in front of the cursor, is still to be referred to.
        let end = subscriptions[index].backlog!.end
        for sequence in end..<max(end, subscriptions[index].progress.cursor) {
            if subscriptions[index].progress.isNeeded(sequence) {
                subscriptions[index].backlog!.log.append(copying: streams[stream].log.ref(sequence))
            } else {
                subscriptions[index].backlog!.log.appendNothing()
            }
        }
        return true
    }

    /// Perhaps nothing else happens until then.
    mutating func lookAgain(at due: UInt64) {
        guard nextLook == 0 else { return }
        nextLook = due
        timers.arm(.look, at: due)
    }

    /// Gives memory back, reads on, and notices that a subscription has caught up.
    mutating func tend(_ index: Int, at now: Moment) {
        let stream = subscriptions[index].stream
        relieveBacklog(index, at: now)
        // Nothing is between its own records and the stream's memory: as soon as that has room it is one reader of many.
        let hasCaughtUp = subscriptions[index].backlog!.end >= streams[stream].memoryStart
        if hasCaughtUp {
            subscriptions[index].backlog!.bytesOnDisk = 0
            if !isUnderPressure(stream) { subscriptions[index].backlog!.isBehind = false }
        }
        leaveBacklog(index)
        guard subscriptions[index].hasBacklog else { return }
        let end = subscriptions[index].backlog!.end
        subscriptions[index].backlog!.log.release(before: min(subscriptions[index].progress.low, end))
        if !hasCaughtUp, end - subscriptions[index].progress.cursor < 1024 { read(index) }
    }

    /// One that has caught up and needs nothing of its own memory is a reader of its stream like any other, before that
    /// gives back what lies behind both.
    mutating func leaveBacklog(_ index: Int) {
        guard let backlog = subscriptions[index].backlog, !backlog.isBehind,
            subscriptions[index].progress.low >= backlog.end
        else { return }
        subscriptions[index].backlog = nil
        subscriptions[index].hasBacklog = false
    }

    /// One record that is tried again and again does not keep all behind it in memory.
    private mutating func relieveBacklog(_ index: Int, at now: Moment) {
        while subscriptions[index].backlog!.log.bytes >= Backlog.bytes / 2,
            subscriptions[index].progress.low < subscriptions[index].progress.cursor,
            isStraggler(index), moveIntoParking(subscriptions[index].progress.low, index, at: now)
        {
            subscriptions[index].backlog!.log.release(
                before: min(subscriptions[index].progress.low, subscriptions[index].backlog!.end))
        }
    }

    private mutating func read(_ index: Int) {
        guard subscriptions[index].backlog!.reading == nil, subscriptions[index].backlog!.log.bytes < Backlog.bytes
        else {
            return
        }
        let end = subscriptions[index].backlog!.end
        subscriptions[index].backlog!.reading = end
        effects.append(.read(subscription: index, from: end, bytes: Backlog.portion))
    }

    /// Records that an effect `read` asked for: consecutive ones from there on, at least one. What was asked for before the
    /// subscription went back is nobody's any more.
    public mutating func take(_ records: [StoredRecord], subscription index: Int, from sequence: UInt64) {
        guard subscriptions[index].hasBacklog, subscriptions[index].backlog!.reading == sequence else { return }
        subscriptions[index].backlog!.reading = nil
        for record in records {
            precondition(record.sequence >= subscriptions[index].backlog!.end, "records are read in order")
            // What this subscription does not need may be gone.
            while subscriptions[index].backlog!.end < record.sequence {
                subscriptions[index].backlog!.log.appendNothing()
            }
            subscriptions[index].backlog!.log.append(wire: record.bytes.span.bytes)
            subscriptions[index].backlog!.bytesOnDisk -= record.bytes.count
        }
        subscriptions[index].backlog!.bytesOnDisk = max(0, subscriptions[index].backlog!.bytesOnDisk)
    }
}

/// What a repair has done.
public struct Repair: Equatable, Sendable {
    /// A file that is set aside.
    public struct Aside: Equatable, Sendable {
        /// The segment, and the name that it, or its copy, has now.
        public let segment: String
        public let name: String
    }

    public let found: ScanReport
    /// What was planned for it. Without steps nothing was changed.
    public let plan: RepairPlan
    /// One for each step.
    public let asides: [Aside]
    /// What was found afterwards.
    public let report: ScanReport

    /// Looks, plans, carries the plan out and looks again, all under the writer's lock: nothing changes between the look and the deed.
    /// After an error, or a crash, begin again.
    public static func run<D: Disk>(_ disk: D, _ request: ScanRequest = ScanRequest()) throws(JournalError) -> Repair {
        let lock = try disk.lockForRepair()
        defer { disk.close(lock) }
        let found = try Verification.verify(disk, request)
        let plan = RepairPlan(found)
        if plan.steps.isEmpty { return Repair(found: found, plan: plan, asides: [], report: found) }
        let asides = try plan.carryOut(on: disk)
        return Repair(found: found, plan: plan, asides: asides, report: try Verification.verify(disk, request))
    }
}

extension RepairPlan {
    /// Carries the plan out, under the writer's lock. The journal must be what it was when the plan was made (`Repair.run`
    /// sees to that). After an error, or a crash, scan and plan again.
    public func apply<D: Disk>(to disk: D) throws(JournalError) {
        let lock = try disk.lockForRepair()
        defer { disk.close(lock) }
        _ = try carryOut(on: disk)
    }

    fileprivate func carryOut<D: Disk>(on disk: D) throws(JournalError) -> [Repair.Aside] {
        var asides: [Repair.Aside] = []
        do throws(DiskError) {
            for step in steps { asides.append(try disk.take(step)) }
        } catch { throw error.cause == .noSpace ? .full(.disk(error)) : .disk(error) }
        return asides
    }
}

extension Disk {
    fileprivate func lockForRepair() throws(JournalError) -> DiskFile {
        do { return try lock(JournalFormat.lockName) } catch {
            throw error.cause == .inUse ? .inUse(lock: error.name) : .disk(error)
        }
    }

    /// Both copies get their names when they are complete: what is set aside is never half of it.
    fileprivate func take(_ step: RepairPlan.Step) throws(DiskError) -> Repair.Aside {
        let aside = try freeName(step.aside)
        switch step {
        case .setAside: try rename(step.segment, to: aside)
        case .cut(let name, let end, let capacity):
            try copy(name, prefix: nil, capacity: nil, to: aside)
            try syncDirectory()
            try copy(name, prefix: end, capacity: capacity, to: name)
        }
        try syncDirectory()
        return Repair.Aside(segment: step.segment, name: aside)
    }

    /// `name`, or with a number behind it if an earlier repair has taken it.
    fileprivate func freeName(_ name: String) throws(DiskError) -> String {
        let taken = Set(try list())
        var candidate = name
        var number = 2
        while taken.contains(candidate) {
            candidate = "\(name).\(number)"
            number += 1
        }
        return candidate
    }

    /// Makes a durable copy of a file, or of its first bytes in a file of another size, and gives it the name `new`.
    fileprivate func copy(_ name: String, prefix: Int?, capacity: Int?, to new: String) throws(DiskError) {
        var source = try SegmentFile(name, on: self)
        // Of an attempt that was interrupted.
        if try list().contains(JournalFormat.repairName) { try remove(JournalFormat.repairName) }
        let target = try open(JournalFormat.repairName, .create)
        defer { close(target) }
        let end = min(prefix ?? source.size, source.size)
        let size = capacity ?? source.size
        if size > 0 { try preallocate(target, bytes: size) }
        var offset = 0
        while offset < end {
            let count = try source.load(offset, min(256 * 1024, end - offset))
            guard count > 0 else { break }
            let bytes = source.withBytes(offset, count) { $0.withUnsafeBytes { Array($0) } }
            try writeAll(target, bytes.span.bytes, at: offset)
            offset += count
        }
        try sync(target)
        try rename(JournalFormat.repairName, to: new)
    }
}

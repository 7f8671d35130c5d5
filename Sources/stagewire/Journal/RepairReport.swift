import StagewireJournal
import StagewireWire

/// What `journal repair` would do, or has done.
struct RepairReport: Encodable {
    struct Step: Encodable, Equatable {
        enum Action: String, Encodable {
            /// The file keeps its valid entries; a copy of all of it is set aside.
            case cut
            /// The whole file gets another name.
            case setAside = "set_aside"
        }

        var action: Action
        var segment: String
        /// The name under which it, or its copy, is kept.
        var aside: String
        /// With `cut`: the byte from which on nothing is kept.
        var from: Int?
    }

    var directory: String
    /// Whether it was done.
    var isDone: Bool
    /// Entries that are kept; nil: none.
    var kept: JournalReport.Entries?
    /// Nil: there is no damage.
    var lost: JournalReport.Entries?
    var steps: [Step]
    /// What `journal verify` says: of the journal as it is now.
    var now: JournalReport

    private enum CodingKeys: String, CodingKey {
        case directory, kept, lost, steps, now
        case isDone = "done"
    }

    /// The plan.
    init(_ now: JournalReport, _ plan: RepairPlan) {
        directory = now.directory
        isDone = false
        kept = now.first.map { JournalReport.Entries(first: $0, last: now.last) }
        lost = now.lost
        steps = plan.steps.map { Step($0, aside: $0.aside) }
        self.now = now
    }

    /// What was done.
    init(_ repair: Repair, now: JournalReport) {
        directory = now.directory
        isDone = !repair.plan.steps.isEmpty
        kept = now.first.map { JournalReport.Entries(first: $0, last: now.last) }
        lost = JournalReport.lost(repair.found)
        steps = zip(repair.plan.steps, repair.asides).map { Step($0, aside: $1.name) }
        self.now = now
    }

    // MARK: For people

    func lines(width: Int = .max, style: Style = Style(isColored: false)) -> [String] {
        let name = Text.escaped(directory)
        if steps.isEmpty { return now.lines(width: width, style: style) + ["There is nothing to repair."] }
        if isDone { return ["\(name): repaired"] + deeds + now.lines(width: width, style: style) }
        return now.lines(width: width, style: style, advises: false) + ["A repair would"] + deeds + [
            "Nothing was changed: `stagewire journal repair \(name) --yes` does it."
        ]
    }

    private var deeds: [String] {
        var lines = [(isDone ? "  kept       " : "  keep       ") + (kept?.counted ?? "no entries")]
        if let lost { lines.append((isDone ? "  lost       " : "  lose       ") + lost.counted) }
        return lines
            + steps.map { step in
                switch step.action {
                case .cut: "  cut        \(step.segment) at byte \(step.from ?? 0), all of it is in \(step.aside)"
                case .setAside: "  set aside  \(step.segment) as \(step.aside)"
                }
            }
    }
}

extension RepairReport.Step {
    init(_ step: RepairPlan.Step, aside: String) {
        segment = step.segment
        self.aside = aside
        switch step {
        case .setAside: action = .setAside
        case .cut(_, let end, _):
            action = .cut
            from = end
        }
    }
}

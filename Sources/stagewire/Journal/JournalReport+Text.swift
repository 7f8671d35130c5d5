import StagewireWire

/// The report for people.
extension JournalReport {
    /// Findings that people are shown; programs get all.
    private static let shown = 100

    /// - Parameter advises: says what to do about damage.
    func lines(width: Int = .max, style: Style = Style(isColored: false), advises: Bool = true) -> [String] {
        var lines = [headline(style), "  " + summary]
        if !findings.isEmpty { lines += table(style, width: width) }
        if let lost { lines.append("  from the first damage on: \(lost.counted)") }
        if state == .damaged, advises {
            lines.append("  `stagewire journal repair \(Text.escaped(directory))` shows what a repair would keep")
        }
        return lines + remarks.map { "  " + $0 }
    }

    private func headline(_ style: Style) -> String {
        let name = Text.escaped(directory)
        switch state {
        case .empty: return "\(name): empty: a start begins a new journal"
        case .damaged: return "\(name): \(style.error("damaged")): a start is refused"
        case .intact where isBeingWritten: return "\(name): intact, and somebody is writing"
        case .unfinished where isBeingWritten:
            return "\(name): intact, and somebody is writing: a write is not finished"
        case .intact: return "\(name): intact: a start goes on with entry \(next ?? 1)"
        case .unfinished:
            return "\(name): intact but for a write that a crash cut short, of which nothing was confirmed: a start "
                + "clears it and goes on with entry \(next ?? 1)"
        }
    }

    /// "3 segments, 3 KiB; 23 entries, 1 to 23; format 1; pipeline 0011…"
    private var summary: String {
        var parts = ["\(Figures.count(segments, "segment")), \(Figures.bytes(bytes))"]
        let range = first.map { ", \(Entries(first: $0, last: last).text)" } ?? ""
        parts.append((state == .damaged ? "readable: " : "") + count(entries) + range)
        parts.append("format \(format)")
        if let identity { parts.append("pipeline \(identity)") }
        return parts.joined(separator: "; ")
    }

    private func count(_ entries: UInt64) -> String {
        switch entries {
        case 0: "no entries"
        case 1: "1 entry"
        case _: "\(Figures.grouped(entries)) entries"
        }
    }

    private func table(_ style: Style, width: Int) -> [String] {
        let columns = [
            TextTable.Column(heading: "what", isText: true), .init(heading: "segment", isText: true),
            .init(heading: "bytes", isText: true), .init(heading: "entries", isText: true),
        ]
        let rows = findings.prefix(Self.shown).map { finding -> [TextTable.Cell] in
            let bytes = finding.from == finding.to ? "-" : "\(finding.from)..<\(finding.to)"
            return [
                .init(finding.words, finding.losesEntries ? .red : .yellow),
                .init((finding.kind == "missing" ? "behind " : "") + finding.segment), .init(bytes),
                .init(finding.entries?.text ?? "-"),
            ]
        }
        let lines = TextTable(columns: columns, rows: rows).lines(width: width, style: style)
        let hidden = findings.count - Self.shown
        return hidden > 0 ? lines + ["  and \(hidden) more; --json has all"] : lines
    }

    private var remarks: [String] {
        var remarks: [String] = []
        if isBeingWritten { remarks.append("The end may have moved since: a broker, or a repair, holds the lock.") }
        if !aside.isEmpty {
            remarks.append("set aside by repairs: \(Text.escaped(aside.prefix(Self.shown).joined(separator: ", ")))")
        }
        return remarks
    }
}

extension JournalReport.Entries {
    /// "3", "3 to 23", "3 and later"
    var text: String {
        guard let last else { return "\(first) and later" }
        return first == last ? "\(first)" : "\(first) to \(last)"
    }

    /// "entry 3", "entries 3 to 23 (21)", "entries 3 and later"
    var counted: String {
        guard let last else { return "entries \(text)" }
        return first == last ? "entry \(first)" : "entries \(text) (\(Figures.grouped(last - first + 1)))"
    }
}

extension JournalReport.Damage {
    fileprivate var words: String {
        switch kind {
        case "entries": "unreadable"
        case "header": "unreadable header"
        case "short": "file too short"
        case "stray": "bytes of no meaning"
        case "missing": "missing"
        case _: "unfinished write"
        }
    }
}

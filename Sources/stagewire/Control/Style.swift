import Foundation

/// Colours, where there is a terminal and nobody has asked for none (https://no-color.org).
struct Style: Sendable {
    enum Colour: Int, Sendable {
        case red = 31
        case yellow = 33
    }

    var isOn: Bool

    static func of(_ descriptor: Int32) -> Style {
        let none = ProcessInfo.processInfo.environment["NO_COLOR"] ?? ""
        return Style(isOn: Terminal.isTerminal(descriptor) && none.isEmpty)
    }

    func paint(_ text: String, _ colour: Colour?) -> String {
        guard isOn, let colour else { return text }
        return "\u{1b}[\(colour.rawValue)m\(text)\u{1b}[0m"
    }
}

/// Rows of cells below a heading, as wide as what stands in them.
struct TextTable {
    struct Column {
        var heading: String
        /// Words to the left, numbers to the right.
        var isText = false
        /// When there is not enough room the column with the lowest rank goes first; `nil`: it stays.
        var rank: Int?
        /// The last one, whose cells are as long as they like: it asks for `tail` characters, and is cut at the end of
        /// the line.
        var isTail = false
    }

    private static let tail = 24

    struct Cell {
        var text: String
        var colour: Style.Colour?
        init(_ text: String, _ colour: Style.Colour? = nil) {
            self.text = text
            self.colour = colour
        }
    }

    var columns: [Column]
    var rows: [[Cell]]

    /// Lines of at most `width` characters, as far as leaving columns out can bring that about.
    func lines(width: Int = .max, style: Style = Style(isOn: false)) -> [String] {
        var shown = Array(columns.indices)
        while total(shown) > width, let victim = narrowest(shown) { shown.removeAll { $0 == victim } }
        let heading = line(shown) { Cell(columns[$0].heading) }
        return [heading(style)] + rows.map { row in line(shown) { row[$0] }(style) }
    }

    private func narrowest(_ shown: [Int]) -> Int? {
        shown.filter { columns[$0].rank != nil }.min { columns[$0].rank ?? 0 < columns[$1].rank ?? 0 }
    }

    private func total(_ shown: [Int]) -> Int {
        shown.reduce(0) { $0 + 2 + (columns[$1].isTail ? min(Self.tail, width($1)) : width($1)) }
    }

    private func width(_ column: Int) -> Int {
        rows.reduce(columns[column].heading.count) { max($0, $1[column].text.count) }
    }

    private func line(_ shown: [Int], _ cell: @escaping (Int) -> Cell) -> (Style) -> String {
        { style in
            shown.map { column in
                let cell = cell(column)
                let space = String(repeating: " ", count: width(column) - cell.text.count)
                let text = style.paint(cell.text, cell.colour)
                if columns[column].isText { return column == shown.last ? "  " + text : "  " + text + space }
                return "  " + space + text
            }.joined()
        }
    }
}

extension Figures {
    /// "1", "2 records": with the plural that English has.
    static func count(_ number: Int, _ noun: String) -> String {
        number == 1 ? "1 \(noun)" : "\(grouped(UInt64(max(0, number)))) \(noun)s"
    }

    /// "12.5 MiB"
    static func bytes(_ number: Int) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(number)
        var unit = 0
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        let tenths = Int((value * 10).rounded())
        return unit == 0 || tenths % 10 == 0
            ? "\(tenths / 10) \(units[unit])" : "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }

    /// Up to six digits as they are, else "1.2M": for credit, which may be as large as 64 bits hold.
    static func short(_ number: UInt64) -> String {
        guard number >= 1_000_000 else { return grouped(number) }
        for (unit, size) in [("T", 1e12), ("G", 1e9), ("M", 1e6)] where Double(number) >= size {
            let value = Double(number) / size
            return value >= 1000 ? ">1000\(unit)" : "\((value * 10).rounded(.down) / 10)\(unit)"
        }
        return grouped(number)
    }
}

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
    func lines(width: Int = .max, style: Style = Style(isColored: false)) -> [String] {
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

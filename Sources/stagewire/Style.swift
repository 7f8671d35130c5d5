/// ANSI colours, or none.
struct Style: Sendable {
    /// What means trouble.
    enum Colour: Int, Sendable {
        case red = 31
        case yellow = 33
    }

    var isColored: Bool

    /// Readable on light and on dark ground: no black, white or dark blue; and not the red and yellow that mean trouble.
    private static let labels = [32, 35, 36, 94, 95, 96]

    /// In the colour of `stage`, which depends on its name alone: it is the same in every run.
    func label(_ text: String, of stage: String) -> String {
        // FNV-1a: Swift's own hashes differ from process to process.
        let hash = stage.utf8.reduce(UInt32(0x811c_9dc5)) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
        return paint(text, Self.labels[Int(hash % UInt32(Self.labels.count))])
    }

    func warning(_ text: String) -> String { paint(text, .yellow) }

    func error(_ text: String) -> String { paint(text, .red) }

    func paint(_ text: String, _ colour: Colour?) -> String { colour.map { paint(text, $0.rawValue) } ?? text }

    private func paint(_ text: String, _ code: Int) -> String {
        isColored ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }
}

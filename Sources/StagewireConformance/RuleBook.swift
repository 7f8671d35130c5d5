/// The rules of docs/PROTOCOL.md, by their ids.
public struct RuleBook: Sendable {
    /// In the order of the document.
    public var rules: [(id: String, text: String)]

    /// - Parameter document: the text of docs/PROTOCOL.md. A rule is an item `- **CR-4** ...` with the lines below it
    ///   that are indented.
    public init(document: String) {
        rules = []
        var isInRule = false
        for line in document.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("- **"), let end = line.dropFirst(4).firstRange(of: "**") {
                let id = String(line.dropFirst(4)[..<end.lowerBound])
                guard Self.isID(id) else { continue }
                let text = line[end.upperBound...].drop { $0 == " " }
                rules.append((id, String(text)))
                isInRule = true
            } else if isInRule, line.hasPrefix("  ") {
                rules[rules.count - 1].text += " " + line.drop { $0 == " " }
            } else {
                isInRule = false
            }
        }
    }

    public subscript(id: String) -> String? { rules.first { $0.id == id }?.text }

    /// `CR-4`
    static func isID(_ text: String) -> Bool {
        let parts = text.split(separator: "-")
        return parts.count == 2 && parts[0].count == 2 && parts[0].allSatisfy(\.isUppercase)
            && parts[1].allSatisfy(\.isNumber)
    }
}

import StagewireWire

/// What went over the connections of a case, for people.
struct Transcript {
    /// Lines that are kept from the beginning and from the end.
    private static let head = 12
    private static let tail = 48

    private var first: [String] = []
    private var last: [String] = []
    private var dropped = 0

    var lines: [String] {
        first + (dropped > 0 ? ["... \(dropped) lines left out ..."] : []) + last
    }

    mutating func add(_ seconds: Double, _ link: String, _ arrow: String, _ text: String) {
        let hundredths = Int(seconds * 100)
        let stamp = "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
        let line = "\(stamp) \(link) \(arrow) \(text)"
        if first.count < Self.head {
            first.append(line)
            return
        }
        last.append(line)
        if last.count > Self.tail {
            last.removeFirst()
            dropped += 1
        }
    }

    static func describe(_ frame: FrameDump) -> String {
        let literal = frame.literal
        let kinds = literal.members.filter { $0.name != "version" }
        let body = kinds.map { "\($0.name) \(Pattern.shown($0.value, limit: 1200))" }.joined(separator: " + ")
        let flaws = frame.flaws.map { " MALFORMED at \($0.offset): \($0.problem)" }.joined()
        return (body.isEmpty ? "no known kind" : body) + flaws
    }
}

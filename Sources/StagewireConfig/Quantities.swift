/// Durations and sizes as the file writes them.
public enum Quantity {
    /// Units of durations, longest first: `1h30m` counts down.
    static let durations: [(name: String, value: Duration)] = [
        ("d", .seconds(86_400)), ("h", .seconds(3600)), ("m", .seconds(60)), ("s", .seconds(1)),
        ("ms", .milliseconds(1)),
    ]
    static let sizes: [(name: String, value: Int)] = [
        ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
        ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000), ("KB", 1000), ("B", 1),
    ]
    static let durationForm = "a duration such as `200ms`, `10m` or `1h30m`"
    static let sizeForm = "a size such as `64KiB`, `1MiB` or `4MB`"

    /// Whole numbers, each with its unit, larger units first, every unit at most once. `nil` for anything else and
    /// for more than a hundred years.
    public static func duration(_ text: String) -> Duration? {
        var rest = text.utf8[...]
        var units = durations[...]
        var sum = Duration.zero
        repeat {
            guard let count = number(&rest), count <= 3_200_000_000_000 else { return nil }
            // "m" must not swallow the m of "ms": letters are taken together.
            let letters = rest.prefix { $0 > 57 }
            rest = rest.dropFirst(letters.count)
            let name = String(decoding: letters, as: UTF8.self)
            guard let index = units.firstIndex(where: { $0.name == name }) else { return nil }
            sum += units[index].value * count
            units = units[(index + 1)...]
            guard sum <= .seconds(3_200_000_000) else { return nil }
        } while !rest.isEmpty
        return sum
    }

    /// A whole number of bytes, or one with a unit behind it (a space between them is allowed).
    static func size(_ text: String) -> Int? {
        var rest = text.utf8[...]
        guard let count = number(&rest) else { return nil }
        if rest.isEmpty { return count }
        if rest.first == UInt8(ascii: " ") { rest = rest.dropFirst() }
        let name = String(decoding: rest, as: UTF8.self)
        guard let unit = sizes.first(where: { $0.name == name }) else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: unit.value)
        return overflow ? nil : product
    }

    private static func number(_ rest: inout Substring.UTF8View) -> Int? {
        let digits = rest.prefix { (48...57).contains($0) }
        rest = rest.dropFirst(digits.count)
        return Int(String(decoding: digits, as: UTF8.self))
    }

    /// As the file would write it, exactly: `1h30m`, `200ms`, `0s`.
    static func text(_ duration: Duration) -> String {
        var rest = duration
        var text = ""
        for unit in durations {
            let count = Int(rest / unit.value)
            guard count > 0 else { continue }
            text += "\(count)\(unit.name)"
            rest -= unit.value * count
        }
        return text.isEmpty ? "0s" : text
    }

    /// As the file would write it, exactly: in the largest binary unit that divides it.
    static func text(_ bytes: Int) -> String {
        guard bytes > 0, let unit = sizes.prefix(3).first(where: { bytes % $0.value == 0 }) else { return "\(bytes)B" }
        return "\(bytes / unit.value)\(unit.name)"
    }
}

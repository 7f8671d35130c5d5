/// Numbers as people read them.
enum Figures {
    /// "29,962"
    static func grouped(_ number: UInt64) -> String {
        var text = ""
        for (index, digit) in String(number).reversed().enumerated() {
            if index > 0, index % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }

    /// "01:05", "1:00:00"
    static func clock(_ time: Duration) -> String {
        let seconds = time.components.seconds
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60)
        let tail = two(seconds % 60)
        return hours > 0 ? "\(hours):\(two(minutes)):\(tail)" : "\(two(minutes)):\(tail)"
    }

    /// "1.2 s", "12 s", "3 min 20 s"
    static func spell(_ time: Duration) -> String {
        let tenths = time.components.seconds * 10 + time.components.attoseconds / 100_000_000_000_000_000
        if tenths < 100 { return "\(tenths / 10).\(tenths % 10) s" }
        let seconds = tenths / 10
        return seconds < 60 ? "\(seconds) s" : "\(seconds / 60) min \(seconds % 60) s"
    }

    /// "07"
    static func two(_ number: some BinaryInteger) -> String { number < 10 ? "0\(number)" : "\(number)" }

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

/// Moments as the control API writes them: RFC 3339 in UTC with microseconds, `2026-11-21T04:05:06.000007Z`.
public enum Timestamp {
    /// - Parameter microseconds: since 1970, or before it when negative. The year has four digits up to 9999.
    public static func text(_ microseconds: Int64) -> String {
        let (days, ofDay) = floored(microseconds, by: 86_400_000_000)
        let (year, month, day) = civil(days)
        let (seconds, fraction) = (ofDay / 1_000_000, ofDay % 1_000_000)
        let date = "\(digits(year, 4))-\(digits(month, 2))-\(digits(day, 2))"
        let time = "\(digits(seconds / 3600, 2)):\(digits(seconds / 60 % 60, 2)):\(digits(seconds % 60, 2))"
        return "\(date)T\(time).\(digits(fraction, 6))Z"
    }

    /// What `text` writes, with a fraction of up to six digits or none: microseconds since 1970. `nil` for anything else.
    public static func microseconds(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard (20...27).contains(bytes.count), bytes.last == UInt8(ascii: "Z") else { return nil }
        let fraction = bytes[19..<bytes.count - 1]
        // "." and a digit at least, or nothing.
        guard fraction.isEmpty || fraction.first == UInt8(ascii: ".") && fraction.count > 1 else { return nil }
        for (offset, separator) in zip([4, 7, 10, 13, 16], "--T::".utf8) where bytes[offset] != separator { return nil }
        func number(_ range: Range<Int>) -> Int64? {
            var number: Int64 = 0
            for byte in bytes[range] {
                guard (48...57).contains(byte) else { return nil }
                number = number * 10 + Int64(byte - 48)
            }
            return number
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19),
            var micros = number(fraction.isEmpty ? 19..<19 : 20..<bytes.count - 1),
            (1...12).contains(month), hour < 24, minute < 60, second < 60
        else { return nil }
        for _ in max(fraction.count, 1)..<7 { micros *= 10 }
        let date = days(year, month, day)
        // The 31st of a month that has none would be another day.
        guard civil(date) == (year, month, day) else { return nil }
        return ((date * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000 + micros
    }

    private static func floored(_ number: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = number.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    /// Days since 1970 to a date of the Gregorian calendar, by Howard Hinnant's `civil_from_days`: years begin in
    /// March, so that the leap day is a year's last; an era is 400 years, or 146,097 days.
    private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = floored(days + 719_468, by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
    }

    /// The inverse, `days_from_civil`.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let (era, yearOfEra) = floored(month > 2 ? year : year - 1, by: 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func digits(_ number: Int64, _ width: Int) -> String {
        let text = String(number.magnitude)
        let padded = String(repeating: "0", count: max(0, width - text.count)) + text
        return number < 0 ? "-" + padded : padded
    }
}

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

    private static func digits(_ number: Int64, _ width: Int) -> String {
        let text = String(number.magnitude)
        let padded = String(repeating: "0", count: max(0, width - text.count)) + text
        return number < 0 ? "-" + padded : padded
    }
}

/// RFC 3339 in UTC with microseconds, and back, without a calendar library: the proleptic Gregorian calendar's days
/// by Howard Hinnant's algorithms, http://howardhinnant.github.io/date_algorithms.html
package enum Timestamp {
    /// Of the years 1 to 9999.
    static let range: ClosedRange<Int64> = -62_135_596_800_000_000...253_402_300_799_999_999
    private static let day: Int64 = 86_400_000_000

    /// `2026-01-05T10:30:00.000000Z`; the microseconds themselves outside of the years 1 to 9999.
    static func text(_ microseconds: Int64) -> String {
        guard range.contains(microseconds) else { return "\(microseconds)" }
        let days = (microseconds >= 0 ? microseconds : microseconds - (day - 1)) / day
        let rest = microseconds - days * day
        let (year, month, dayOfMonth) = civil(days)
        let seconds = rest / 1_000_000
        return pad(year, 4) + "-" + pad(month, 2) + "-" + pad(dayOfMonth, 2) + "T" + pad(seconds / 3600, 2) + ":"
            + pad(seconds / 60 % 60, 2) + ":" + pad(seconds % 60, 2) + "." + pad(rest % 1_000_000, 6) + "Z"
    }

    /// Microseconds since 1970; nil when the text is not RFC 3339. Of the fraction six digits count, up to nine
    /// are allowed. A leap second counts as the second after it.
    package static func parse(_ text: String) -> Int64? {
        var reader = Reader(bytes: Array(text.utf8))
        guard let year = reader.digits(4), reader.skip("-"), let month = reader.digits(2), reader.skip("-"),
            let dayOfMonth = reader.digits(2), reader.skip("T") || reader.skip("t") || reader.skip(" "),
            let hour = reader.digits(2), reader.skip(":"), let minute = reader.digits(2), reader.skip(":"),
            let second = reader.digits(2), let fraction = reader.fraction(), let offset = reader.offset(),
            reader.isAtEnd, year >= 1, (1...12).contains(month), hour < 24, minute < 60, second <= 60,
            (1...daysIn(month, year)).contains(dayOfMonth)
        else { return nil }
        let seconds = days(year, month, dayOfMonth) * 86_400 + hour * 3600 + minute * 60 + second - offset * 60
        return seconds * 1_000_000 + fraction
    }

    private static func pad(_ value: Int64, _ width: Int) -> String {
        let digits = "\(value)"
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth + (shiftedMonth < 10 ? 3 : -9)
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func daysIn(_ month: Int64, _ year: Int64) -> Int64 {
        switch month {
        case 2: year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400)) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0

        var isAtEnd: Bool { at == bytes.count }

        mutating func digits(_ count: Int) -> Int64? {
            guard at + count <= bytes.count else { return nil }
            var value: Int64 = 0
            for byte in bytes[at..<(at + count)] {
                guard (48...57).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 48)
            }
            at += count
            return value
        }

        mutating func skip(_ character: Unicode.Scalar) -> Bool {
            guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
            at += 1
            return true
        }

        /// Microseconds.
        mutating func fraction() -> Int64? {
            guard skip(".") else { return 0 }
            var value: Int64 = 0
            var count = 0
            while let digit = digits(1) {
                count += 1
                if count <= 6 { value = value * 10 + digit }
            }
            guard (1...9).contains(count) else { return nil }
            for _ in count..<max(count, 6) { value *= 10 }
            return value
        }

        /// Minutes east of UTC.
        mutating func offset() -> Int64? {
            if skip("Z") || skip("z") { return 0 }
            let isWest = skip("-")
            guard isWest || skip("+"), let hours = digits(2), skip(":"), let minutes = digits(2), hours < 24,
                minutes < 60
            else { return nil }
            return (isWest ? -1 : 1) * (hours * 60 + minutes)
        }
    }
}

import Foundation
import StagewireControl
import Testing

@Suite struct TimestampTests {
    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000000Z"), (1, "1970-01-01T00:00:00.000001Z"), (-1, "1969-12-31T23:59:59.999999Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"), (1_795_233_906_000_007, "2026-11-21T04:05:06.000007Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        (-62_135_596_800_000_000, "0001-01-01T00:00:00.000000Z"),
    ]) func knownMoments(_ microseconds: Int64, _ text: String) {
        #expect(Timestamp.text(microseconds) == text)
        #expect(Timestamp.microseconds(text) == microseconds)
    }

    /// Every day of 800 years, against Foundation's calendar, which is Gregorian only since 1582.
    @Test func everyDayAgreesWithTheCalendar() throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
        for day in -140_000...152_194 {
            let date = Date(timeIntervalSince1970: Double(day) * 86_400)
            let parts = calendar.dateComponents([.year, .month, .day], from: date)
            let expected = [parts.year, parts.month, parts.day].map { $0 ?? 0 }
            let text = Timestamp.text(Int64(day) * 86_400_000_000)
            let read = text.prefix(10).split(separator: "-").compactMap { Int($0) }
            try #require(read == expected && text.hasSuffix("T00:00:00.000000Z"), "day \(day): \(text)")
            try #require(Timestamp.microseconds(text) == Int64(day) * 86_400_000_000)
        }
    }

    @Test(arguments: [
        ("2026-11-21T04:05:06Z", 1_795_233_906_000_000), ("2026-11-21T04:05:06.5Z", 1_795_233_906_500_000),
        ("2026-11-21T04:05:06.00001Z", 1_795_233_906_000_010), ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
    ]) func shorterForms(_ text: String, _ microseconds: Int64) {
        #expect(Timestamp.microseconds(text) == microseconds)
    }

    @Test(arguments: [
        "", "Z", "2026-11-21", "2026-11-21T04:05:06", "2026-11-21T04:05:06+00:00", "2026-11-21T04:05:06.Z",
        "2026-11-21T04:05:06.0000001Z", "2026-11-21 04:05:06Z", "2026-13-21T04:05:06Z", "2026-00-21T04:05:06Z",
        "2026-02-29T04:05:06Z", "2026-11-00T04:05:06Z", "2026-11-21T24:00:00Z", "2026-11-21T04:60:06Z",
        "2026-11-21T04:05:60Z", "2026-11-21T04:05:-6Z", "20a6-11-21T04:05:06Z", "2026-11-21T04:05:06,5Z",
    ]) func noTimes(_ text: String) {
        #expect(Timestamp.microseconds(text) == nil)
    }

    @Test func extremesAreNoCrash() {
        #expect(Timestamp.text(.max).hasSuffix("Z"))
        #expect(Timestamp.text(.min).hasPrefix("-"))
    }
}

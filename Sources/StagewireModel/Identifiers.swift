/// A connection to the broker, numbered in order of acceptance, never reused.
public struct ConnectionID: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var number: UInt64
    public init(_ number: UInt64) { self.number = number }
    public static func < (a: Self, b: Self) -> Bool { a.number < b.number }
    public var description: String { "c\(number)" }
}

/// The 128-bit identity of a record: a function of where it came from, not of what it holds.
public struct RecordID: Hashable, Sendable, CustomStringConvertible {
    /// The first and the last eight of the 16 bytes on the wire, each read little-endian.
    public var low: UInt64
    public var high: UInt64

    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    /// 32 hexadecimal digits in the order of the bytes on the wire.
    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for word in [low, high] {
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                let byte = Int(truncatingIfNeeded: word >> shift) & 0xff
                text.append(digits[byte >> 4])
                text.append(digits[byte & 15])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// The moment at which an event reaches the core. The shell owns both clocks.
public struct Moment: Equatable, Sendable {
    /// Monotonic, nanoseconds; only differences mean something.
    public var uptime: UInt64
    /// Microseconds since 1970-01-01T00:00:00Z; may jump.
    public var wall: UInt64

    public init(uptime: UInt64, wall: UInt64) {
        self.uptime = uptime
        self.wall = wall
    }
}

extension Duration {
    /// Whole nanoseconds, saturating at zero and at `UInt64.max`.
    public var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return .max }
        let (sum, carries) = product.addingReportingOverflow(UInt64(attoseconds / 1_000_000_000))
        return carries ? .max : sum
    }

    /// Whole milliseconds, for the wire.
    public var milliseconds: UInt32 { UInt32(clamping: nanoseconds / 1_000_000) }
}

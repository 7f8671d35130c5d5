import StagewireModel

/// A frame as a tree of names and values, for people who want to see what is on the wire.
///
/// Unlike `FrameCodec` it takes whatever comes: either side's messages, fields and kinds that this version does not
/// know, and broken bytes, of which it shows what it can. It follows the descriptors that protoc-c made of `proto/`, so
/// it knows every field by construction, and it reads the wire itself, so it shows what was sent and in which order,
/// not what a decoder makes of it.
public struct FrameDump: Equatable, Sendable {
    public indirect enum Value: Equatable, Sendable {
        case message([Field])
        case unsigned(UInt64)
        case signed(Int64)
        case real(Double)
        case flag(Bool)
        case text(String)
        case bytes([UInt8])
        /// `name` is nil for a number that the enumeration does not have.
        case enumeration(name: String?, number: UInt64)
        /// A field that is not known, or not sent as its type is: the bytes behind its tag and length.
        case raw(wireType: String, [UInt8])
    }

    public struct Field: Equatable, Sendable {
        public var number: UInt32
        /// As in proto/; nil when it is not known.
        public var name: String?
        /// The message that it stands in, `stagewire.v1.Lineage`; together with `name` it says what the field means.
        public var message: String
        public var isRepeated: Bool
        /// Where the value's bytes stand in the frame's content, without tag and length.
        public var range: Range<Int>
        /// Bytes of tag and length in front of the value, as they were sent; 0 for what stands in a packed list.
        public var prefix: Int
        public var value: Value
    }

    /// Something that a receiver refuses.
    public struct Flaw: Equatable, Sendable {
        /// Bytes from the start of the frame's content, behind its length prefix.
        public var offset: Int
        public var problem: String
    }

    /// Values of one frame that are kept, so that a frame of 64 MiB does not become gigabytes.
    public static let largestTree = 100_000
    /// Flaws of one frame that are kept.
    static let mostFlaws = 20

    /// Of the Envelope: the version and the message.
    public var fields: [Field]
    /// The message's type, `Hello`; nil when there is none, or none that is known.
    public var kind: String?
    public var flaws: [Flaw]
    /// There are more than `largestTree` values; those behind are left out.
    public var isCut: Bool

    /// - Parameter frame: its content, without the length prefix; a part of it when the rest is missing, which then
    ///   is a flaw.
    public init(_ frame: [UInt8]) {
        var walk = DumpWalk(frame)
        fields = walk.message(0..<frame.count, DumpWalk.envelope, depth: 1)
        flaws = walk.flaws
        isCut = walk.isCut
        let messages = fields.filter { $0.number > 1 && $0.name != nil }
        kind = messages.first.flatMap { DumpWalk.typeName(of: $0.number) }
        guard flaws.isEmpty else { return }
        // What only the whole shows: another version, two messages, a limit.
        do {
            _ = try FrameCodec.decode(frame.span.bytes)
        } catch {
            flaws.append(Flaw(offset: 0, problem: error.message))
        }
    }
}

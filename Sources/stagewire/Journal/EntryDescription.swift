import StagewireJournal

/// What an entry is.
struct EntryDescription {
    /// For people, on one line.
    var text: String
    /// For programs: members of the entry's object.
    var members: [String: JSONValue]
}

/// The one place that says what the payload of an entry means. The journal itself does not know: to it a kind is a number,
/// and a payload is bytes.
func describe(kind: UInt8, payload: RawSpan) -> EntryDescription {
    EntryDescription(
        text: "kind \(kind), \(Figures.count(payload.byteCount, "byte"))",
        members: ["kind": .unsigned(UInt64(kind)), "length": .unsigned(UInt64(payload.byteCount))])
}

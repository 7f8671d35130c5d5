import DequeModule

extension Ledger {
    /// Consecutive records of a stream, in one entry or in several that lie near each other: so that many small entries cost
    /// no more memory than a few large ones.
    struct Extent: Equatable, Sendable {
        var first: UInt64
        var count: Int
        /// Bytes of the records.
        var bytes: Int
        /// The entry that holds the first one.
        var place: EntryPlace
        /// The sequence of the entry that holds the last one.
        var last: UInt64
        /// The stream's number in these entries.
        var number: Int
        /// Microseconds since 1970: not one of the records was appended before.
        var time: UInt64
        /// Dead letters and arrivals that are about a record of it.
        fileprivate(set) var holders = 0

        init(first: UInt64, count: Int, bytes: Int, place: EntryPlace, last: UInt64? = nil, number: Int, time: UInt64) {
            self.first = first
            self.count = count
            self.bytes = bytes
            self.place = place
            self.last = last ?? place.sequence
            self.number = number
            self.time = time
        }

        /// Entries of a segment that begin so many bytes behind each other are one extent, at most: what is read for the
        /// sake of its last record.
        static let span = 256 * 1024

        var end: UInt64 { first + UInt64(count) }

        /// Whether the records of another one follow, near enough.
        fileprivate func reaches(_ next: Extent) -> Bool {
            next.first == end && next.number == number && next.place.segment == place.segment
                && next.place.offset - place.offset < Self.span
        }
    }

    /// The entries that hold a stream's records.
    ///
    /// ```
    /// pinned                      straight
    /// | letter |  | arrival |     | needed | ... | ... |
    /// ```
    /// What retention keeps is at the front of `straight`.
    ///
    /// Invariants: records ascend over both; the first of `pinned` has holders, so that `first` is an entry which somebody needs;
    /// those of `straight` follow each other without a gap.
    struct ExtentTable: Sendable {
        /// Without those at the front of which nobody needs anything on its straight way, and that nothing retains.
        private(set) var straight: Deque<Extent> = []
        /// All before `straight`: kept for dead letters and arrivals alone.
        private(set) var pinned: Deque<Extent> = []
        /// Pinned ones that have no holders any more; at half of all they go.
        private var idle = 0
        /// Extents looked at so far. What a test counts, for time says nothing on a busy machine.
        private(set) var looks = 0

        var first: Extent? { pinned.first ?? straight.first }

        /// All that may be needed, in order.
        var all: [Extent] { pinned.filter { $0.holders > 0 } + straight }

        /// What of it lies in entries below `cut` as a whole.
        func entries(below cut: UInt64) -> [Extent] {
            pinned.prefix { $0.last < cut }.filter { $0.holders > 0 } + straight.prefix { $0.last < cut }
        }

        /// Those with records from `sequence` on, as many as have `bytes` together, at least one.
        func from(_ sequence: UInt64, bytes: Int) -> [Extent] {
            var found: [Extent] = []
            var size = 0
            for extent in pinned where extent.end > sequence && size < bytes {
                found.append(extent)
                size += extent.bytes
            }
            var index = Self.firstIndex(endingAbove: sequence, in: straight)
            while index < straight.count, size < bytes {
                found.append(straight[index])
                size += straight[index].bytes
                index += 1
            }
            return found
        }

        /// The first record from which on all are here, in entries from `retained` on; nil when there is none.
        func first(retained: UInt64) -> UInt64? {
            let index = straight.firstIndex(ofSorted: { $0.place.sequence >= retained })
            return index < straight.count ? straight[index].first : nil
        }

        /// The last extent of which some records may have been appended before a time; the first one from `sequence` on when
        /// there is no such, and nil when there are none at all.
        func around(_ time: UInt64, from sequence: UInt64) -> Extent? {
            let first = Self.firstIndex(endingAbove: sequence, in: straight)
            // Times ascend, as the ledger's does.
            let late = straight[first...].firstIndex(ofSorted: { $0.time >= time })
            let index = max(first, late - 1)
            return index < straight.count ? straight[index] : nil
        }

        private static func firstIndex(endingAbove sequence: UInt64, in extents: Deque<Extent>) -> Int {
            extents.firstIndex(ofSorted: { $0.end > sequence })
        }

        /// Adds records at the end.
        /// - Parameter border: entries below it are no neighbours of this one
        mutating func append(_ extent: Extent, border: UInt64 = .max) {
            precondition((straight.last ?? pinned.last).map { $0.end <= extent.first } ?? true, "records ascend")
            guard let last = straight.last, last.place.sequence >= border, last.reaches(extent) else {
                return straight.append(extent)
            }
            straight[straight.count - 1].count += extent.count
            straight[straight.count - 1].bytes += extent.bytes
            straight[straight.count - 1].last = extent.last
        }

        /// A dead letter or an arrival is about this record. One that is in a snapshot is in no extent.
        mutating func hold(_ sequence: UInt64) {
            if let index = Self.index(of: sequence, in: straight, &looks) {
                straight[index].holders += 1
            } else if let index = Self.index(of: sequence, in: pinned, &looks) {
                if pinned[index].holders == 0 { idle -= 1 }
                pinned[index].holders += 1
            }
        }

        /// It is so no more.
        mutating func letGo(_ sequence: UInt64) {
            if let index = Self.index(of: sequence, in: straight, &looks) {
                precondition(straight[index].holders > 0, "what is let go was held")
                straight[index].holders -= 1
            } else if let index = Self.index(of: sequence, in: pinned, &looks) {
                precondition(pinned[index].holders > 0, "what is let go was held")
                pinned[index].holders -= 1
                if pinned[index].holders == 0 { idle += 1 }
                dropIdle()
            }
        }

        /// These are all dead letters and arrivals that there are.
        mutating func hold(only sequences: [UInt64]) {
            for index in pinned.indices { pinned[index].holders = 0 }
            for index in straight.indices { straight[index].holders = 0 }
            idle = pinned.count
            looks += pinned.count + straight.count
            for sequence in sequences { hold(sequence) }
            dropIdle()
        }

        /// Nobody needs anything below `low` on its straight way; entries from `retained` on are kept nevertheless.
        mutating func trim(below low: UInt64, retained: UInt64 = .max) {
            while let extent = straight.first, extent.end <= low, extent.last < retained {
                looks += 1
                straight.removeFirst()
                if extent.holders > 0 { pinned.append(extent) }
            }
        }

        /// The records of what lies below `cut` as a whole are somewhere else, or needed by nobody.
        mutating func forget(below cut: UInt64) {
            while let extent = pinned.first, extent.last < cut {
                looks += 1
                if extent.holders == 0 { idle -= 1 }
                pinned.removeFirst()
            }
            while let extent = straight.first, extent.last < cut {
                looks += 1
                straight.removeFirst()
            }
            dropIdle()
        }

        private mutating func dropIdle() {
            while idle > 0, pinned.first?.holders == 0 {
                looks += 1
                pinned.removeFirst()
                idle -= 1
            }
            guard idle * 2 > pinned.count else { return }
            looks += pinned.count
            pinned.removeAll { $0.holders == 0 }
            idle = 0
        }

        private static func index(of sequence: UInt64, in extents: Deque<Extent>, _ looks: inout Int) -> Int? {
            // As many as a search of this many takes.
            looks += Int.bitWidth - extents.count.leadingZeroBitCount
            let index = firstIndex(endingAbove: sequence, in: extents)
            return index < extents.count && extents[index].first <= sequence ? index : nil
        }
    }
}

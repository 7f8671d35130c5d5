import DequeModule

extension Ledger {
    /// Records that one entry appended to a stream.
    struct Extent: Equatable, Sendable {
        var first: UInt64
        var count: Int
        /// Where the records lie in the payload.
        var bytes: Range<Int>
        var place: EntryPlace
        /// Dead letters and arrivals that are about a record of it.
        fileprivate(set) var holders = 0

        init(first: UInt64, count: Int, bytes: Range<Int>, place: EntryPlace) {
            self.first = first
            self.count = count
            self.bytes = bytes
            self.place = place
        }

        var end: UInt64 { first + UInt64(count) }
    }

    /// The entries that hold a stream's records.
    ///
    /// ```
    /// pinned                      straight
    /// | letter |  | arrival |     | needed | ... | ... |
    /// ```
    /// Invariants: records ascend over both; the first of `pinned` has holders, so that `first` is an entry which somebody needs.
    struct ExtentTable: Sendable {
        /// Without those at the front of which nobody needs anything on its straight way.
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

        /// What of it lies in entries below `cut`.
        func entries(below cut: UInt64) -> [Extent] {
            pinned.prefix { $0.place.sequence < cut }.filter { $0.holders > 0 }
                + straight.prefix { $0.place.sequence < cut }
        }

        /// Those with records from `sequence` on, as many as have `bytes` together, at least one.
        func from(_ sequence: UInt64, bytes: Int) -> [Extent] {
            var found: [Extent] = []
            var size = 0
            for extent in pinned where extent.end > sequence && size < bytes {
                found.append(extent)
                size += extent.bytes.count
            }
            var index = Self.firstIndex(endingAbove: sequence, in: straight)
            while index < straight.count, size < bytes {
                found.append(straight[index])
                size += straight[index].bytes.count
                index += 1
            }
            return found
        }

        private static func firstIndex(endingAbove sequence: UInt64, in extents: Deque<Extent>) -> Int {
            var low = 0
            var high = extents.count
            while low < high {
                let middle = (low + high) / 2
                if extents[middle].end > sequence { high = middle } else { low = middle + 1 }
            }
            return low
        }

        mutating func append(_ extent: Extent) {
            precondition((straight.last ?? pinned.last).map { $0.end <= extent.first } ?? true, "records ascend")
            straight.append(extent)
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

        /// Nobody needs anything below `low` on its straight way.
        mutating func trim(below low: UInt64) {
            while let extent = straight.first, extent.end <= low {
                looks += 1
                straight.removeFirst()
                if extent.holders > 0 { pinned.append(extent) }
            }
        }

        /// The records of entries below `cut` are somewhere else, or needed by nobody.
        mutating func forget(below cut: UInt64) {
            while let extent = pinned.first, extent.place.sequence < cut {
                looks += 1
                if extent.holders == 0 { idle -= 1 }
                pinned.removeFirst()
            }
            while let extent = straight.first, extent.place.sequence < cut {
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

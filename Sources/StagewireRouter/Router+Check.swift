/// What a simulation looks at from outside, at any moment between two calls.
extension Router {
    /// Traps if one of the invariants that hold at any moment does not.
    package func check() {
        for stream in streams {
            precondition(
                stream.log.bytes <= stream.bytes.capacity && stream.log.count <= stream.records.capacity,
                "a stream stays within its budget")
            precondition(
                stream.visibleEnd <= stream.sealedEnd && stream.sealedEnd <= stream.log.end,
                "what is visible was sealed, and what was sealed was appended")
        }
        for session in sessions { session.deliveries.check() }
        for subscription in subscriptions {
            // A start parks what was in flight besides.
            precondition(
                options.isRecording || subscription.parking.bytes <= subscription.parking.byteLimit,
                "parking stays within its budget")
            let dead = subscription.dead
            precondition(
                dead.total == dead.revived + dead.discarded + UInt64(dead.count), "every letter is accounted for")
        }
    }

    /// The number of the ticket that the next group gets: of what is done now.
    package var nextTicketNumber: UInt64 { nextTicket }

    /// The ticket of the group that has everything which was done so far.
    package var lastChange: UInt64 { open.isEmpty ? nextTicket - 1 : nextTicket }

    /// The ticket of the last group that was closed.
    package var sealedTicket: UInt64 { nextTicket - 1 }

    package var committedTicket: UInt64 { committed }

    package func hasEnded(stage: Int) -> Bool { stages[stage].phase == .ended }
}

import Glibc
import StagewireModel
import StagewireWire
import Synchronization

/// The writing side of a connection: whole frames, one after the other, and the outcomes gathered for the next
/// Settle. Writes block; the broker never stops reading (CR-9), so they end.
final class Outbox: Sendable {
    /// Gathered outcomes are written at this size, bytes: larger gains nothing and waits longer.
    static let target = 64 * 1024

    private let inner: Mutex<Inner>
    private let confirmed = ConfirmationQueue()

    init(descriptor: Int32, maxFrame: UInt64) {
        inner = Mutex(Inner(descriptor: descriptor, maxFrame: Int(clamping: maxFrame)))
    }

    /// Writes a control message behind everything written, ahead of what is gathered.
    func send(_ message: ControlMessage) { inner.withLock { $0.write(FrameCodec.encode(message)[...]) } }

    func send(frame: ArraySlice<UInt8>) { inner.withLock { $0.write(frame) } }

    /// Settles deliveries, ascending, with one outcome; credit for `emissions` has been used.
    func settle(_ deliveries: [ClosedRange<UInt64>], _ outcome: Outcome, emissions: [UInt8] = []) {
        inner.withLock { $0.settle(deliveries, outcome, emissions) }
    }

    /// As `settle`, for what comes again. Returns the nonce of a Ping that is written right behind that Settle.
    func giveBack(_ deliveries: [ClosedRange<UInt64>], _ outcome: Outcome) -> UInt64 {
        inner.withLock { $0.giveBack(deliveries, outcome) }
    }

    /// The most frequent outcome: one delivery, accepted.
    func accept(_ delivery: UInt64, emissions: [UInt8]) { inner.withLock { $0.accept(delivery, emissions) } }

    /// Has something done once the settlement of a delivery that is accepted is confirmed.
    func ask(_ delivery: UInt64, _ action: @escaping Confirmations.Action) {
        inner.withLock { $0.confirmations.ask(delivery, action) }
    }

    /// A Settled has come.
    func confirm(through: UInt64, refused: [Refusal]) {
        confirmed.run(inner.withLock { $0.confirmations.confirm(through: through, refused: refused) })
    }

    /// The session is over: forgets what was not confirmed, and waits until the rest is done.
    func endConfirmations() {
        inner.withLock { $0.confirmations = Confirmations() }
        confirmed.finish()
    }

    func flush() { inner.withLock { $0.flush() } }

    /// Writes what is gathered when it has waited through one call already; true when something is still gathered.
    func tick() -> Bool { inner.withLock { $0.tick() } }

    /// Deliveries whose Settle has been written.
    var settled: UInt64 { inner.withLock { $0.settled } }

    /// Our last frame: behind a Close nothing is written any more (EN-1).
    func close(_ message: ControlMessage?) {
        inner.withLock {
            if let message { $0.write(FrameCodec.encode(message)[...]) }
            $0.isClosed = true
        }
    }

    private struct Inner {
        private let descriptor: Int32
        private let maxFrame: Int
        private var gathered = BodyFrame.open()
        /// Consecutive plain acceptances: a sink's Settle is a few bytes however many records it covers.
        private var run: ClosedRange<UInt64>?
        private var count: UInt64 = 0
        private var hasWaited = false
        /// Of the next Ping, and whether it goes behind what is gathered.
        private var nonce: UInt64 = 1
        private var asks = false
        var settled: UInt64 = 0
        var isClosed = false
        var confirmations = Confirmations()

        init(descriptor: Int32, maxFrame: Int) {
            self.descriptor = descriptor
            self.maxFrame = maxFrame
        }

        /// A failed write is not reported: the reader meets the same broken connection and says so.
        mutating func write(_ frame: ArraySlice<UInt8>) {
            guard !isClosed else { return }
            if !Socket.write(frame, to: descriptor) { isClosed = true }
        }

        mutating func accept(_ delivery: UInt64, _ emissions: [UInt8]) {
            if emissions.isEmpty {
                if let open = run, open.upperBound + 1 == delivery {
                    run = open.lowerBound...delivery
                    return
                }
                closeRun()
                run = delivery...delivery
            } else {
                closeRun()
                appendAccepted(delivery, emissions)
            }
        }

        mutating func settle(_ deliveries: [ClosedRange<UInt64>], _ outcome: Outcome, _ emissions: [UInt8]) {
            closeRun()
            confirmations.settle(deliveries, isAccepted: outcome.kind == .accepted)
            append(deliveries, outcome, emissions)
        }

        mutating func giveBack(_ deliveries: [ClosedRange<UInt64>], _ outcome: Outcome) -> UInt64 {
            closeRun()
            confirmations.settle(deliveries, isAccepted: false)
            return append(deliveries, outcome, [], asks: true)
        }

        private mutating func closeRun() {
            guard let open = run else { return }
            run = nil
            append([open], .accepted, [])
        }

        /// Returns the nonce of the Ping behind it, if it `asks` for one.
        @discardableResult
        private mutating func append(
            _ deliveries: [ClosedRange<UInt64>], _ outcome: Outcome, _ emissions: [UInt8], asks: Bool = false
        ) -> UInt64 {
            let head = Self.head(deliveries, outcome)
            let length = head.count + emissions.count
            if count > 0, gathered.bytes.count + length + 16 > maxFrame { writeGathered() }
            gathered.head(1, count: length)
            gathered.bytes.append(contentsOf: head)
            gathered.bytes.append(contentsOf: emissions)
            count += deliveries.reduce(0) { $0 + $1.upperBound - $1.lowerBound + 1 }
            if asks { self.asks = true }
            let nonce = self.nonce
            if gathered.bytes.count >= Outbox.target { writeGathered() }
            return nonce
        }

        /// As `append`, for what nearly every step of a transform is: one delivery, accepted.
        private mutating func appendAccepted(_ delivery: UInt64, _ emissions: [UInt8]) {
            let kind = UInt64(OutcomeKind.accepted.rawValue)
            let length = Heads.size(1, number: delivery) + Heads.size(3, number: kind) + emissions.count
            if count > 0, gathered.bytes.count + length + 16 > maxFrame { writeGathered() }
            gathered.append { heads in
                heads.head(1, count: length)
                heads.number(1, delivery)
                heads.number(3, kind)
            }
            gathered.append(emissions, 0..<emissions.count)
            count += 1
            if gathered.bytes.count >= Outbox.target { writeGathered() }
        }

        /// An Outcome without its emissions.
        private static func head(_ deliveries: [ClosedRange<UInt64>], _ outcome: Outcome) -> [UInt8] {
            var head = FieldWriter()
            let first = deliveries[0]
            head.number(1, first.lowerBound)
            if first.count > 1 { head.number(2, first.upperBound) }
            head.number(3, UInt64(outcome.kind.rawValue))
            head.number(5, UInt64(outcome.delayMS))
            if let error = outcome.error {
                var inner = FieldWriter()
                inner.number(1, UInt64(error.code))
                inner.content(2, Text.cut(error.message, bytes: Limits.text).utf8)
                inner.number(3, error.indefinite ? 1 : 0)
                head.presentContent(6, inner.bytes)
            }
            for range in deliveries.dropFirst() {
                var inner = FieldWriter()
                inner.number(1, range.lowerBound)
                if range.count > 1 { inner.number(2, range.upperBound) }
                head.presentContent(7, inner.bytes)
            }
            return head.bytes
        }

        mutating func flush() {
            closeRun()
            if count > 0 { writeGathered() }
        }

        mutating func tick() -> Bool {
            guard count > 0 || run != nil else { return false }
            if hasWaited { flush() } else { hasWaited = true }
            return hasWaited
        }

        private mutating func writeGathered() {
            let start = BodyFrame.close(.settle, &gathered)
            if asks {
                // In one write with the Settle: the fewer records the broker sends in between, the fewer are void.
                gathered.bytes.append(contentsOf: FrameCodec.encode(.ping(nonce: nonce)))
                nonce += 1
                asks = false
            }
            write(gathered.bytes[start...])
            settled += count
            count = 0
            hasWaited = false
            // One huge step should not keep its memory for ever.
            let isLarge = gathered.bytes.count > 4 * Outbox.target
            if isLarge { gathered = BodyFrame.open() } else { gathered.bytes.removeSubrange(BodyFrame.headroom...) }
        }
    }
}

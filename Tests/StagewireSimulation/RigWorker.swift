import StagewireModel
import StagewireRecord

/// A record as a worker got it.
package struct Received {
    package var input: Int
    package var delivery: UInt64
    package var attempt: UInt32
    package var block: RecordBlock

    package var key: String { String(decoding: block.ref.key, as: UTF8.self) }
    package var payload: String { String(decoding: block.ref.payload, as: UTF8.self) }
}

/// A worker without a socket: what it was sent, and the credit it lives on.
package final class RigWorker {
    package let name: String
    package let connection: ConnectionID
    package let stage: Int
    package var welcome: Welcome?
    /// Deliveries it has not settled.
    package var held: [Received] = []
    /// Of these, those whose verdict does not count: one before them of their key was not accepted.
    package var voided: Set<UInt64> = []
    package var closed: CloseReason?
    package var drain: DrainReason?
    package var runs: [Run] = []
    package var claimed: [(partition: String, lastEmitID: UInt64, checkpoint: [UInt8])] = []
    package var committed: UInt64 = 0
    package var refused: [Refusal] = []
    package var settledThrough: UInt64 = 0
    package var pings: [UInt64] = []
    /// Granted by the broker, per output, and used of it.
    package var granted: [UInt32: CreditLimit] = [:]
    package var usedRecords: [UInt32: UInt64] = [:]
    package var usedBytes: [UInt32: UInt64] = [:]
    /// Granted to the broker, per input, and used of it.
    package var grantedIn: [UInt32: CreditLimit] = [:]
    package var receivedRecords: [UInt32: UInt64] = [:]
    package var receivedBytes: [UInt32: UInt64] = [:]
    package var nextDelivery: UInt64 = 1

    package init(name: String, connection: ConnectionID, stage: Int) {
        self.name = name
        self.connection = connection
        self.stage = stage
    }

    /// Whether its verdicts are confirmed.
    package var confirms: Bool { welcome?.features.contains(Feature.settleConfirm) ?? false }

    package func charge(_ emission: TestEmission) -> UInt64 {
        UInt64(emission.output.count) + (welcome?.stampReserve ?? 0)
    }

    /// Whether the credit is enough for these, all ports together.
    package func affords(_ emissions: [TestEmission]) -> Bool {
        var records = usedRecords
        var bytes = usedBytes
        for emission in emissions {
            let port = UInt32(emission.port)
            records[port, default: 0] += 1
            bytes[port, default: 0] += charge(emission)
            let limit = granted[port] ?? CreditLimit(records: 0, bytes: 0)
            if records[port]! > limit.records || bytes[port]! > limit.bytes { return false }
        }
        return true
    }

    package func spend(_ emissions: [TestEmission]) {
        for emission in emissions {
            usedRecords[UInt32(emission.port), default: 0] += 1
            usedBytes[UInt32(emission.port), default: 0] += charge(emission)
        }
    }
}

import StagewireModel

/// Numbered records through a chain: what each worker does, in a thread or in a process.
enum Flow {
    static let keys: UInt64 = 16
    static let perEmit: UInt64 = 50

    static func record(_ number: UInt64) -> TestRecord {
        TestRecord(key: Array("key\(number % keys)".utf8), payload: Array("\(number)".utf8))
    }

    static func number(_ record: TestRecord) -> UInt64? { UInt64(String(decoding: record.payload, as: UTF8.self)) }

    /// Emits 0..<count, from wherever the broker says that the last session came to.
    static func source(_ worker: TestWorker, count: UInt64) throws {
        let last = try worker.claim("p")
        for id in (last + 1)..<(max(last, count / perEmit) + 1) {
            try worker.emit("p", id: id, ((id - 1) * perEmit..<id * perEmit).map(record))
        }
        try worker.awaitCommitted(through: count / perEmit)
        try worker.peer.send(.finished(partition: "p"))
    }

    /// Until the broker closes: forwards everything.
    static func transform(_ worker: TestWorker) throws -> CloseReason? {
        try worker.allow()
        do {
            while true { try worker.forward(try worker.next()) }
        } catch let ended as TestWorker.Ended {
            return ended.reason
        }
    }

    /// Until the broker closes: collects the numbers.
    static func sink(_ worker: TestWorker, into numbers: inout [UInt64]) throws -> CloseReason? {
        try worker.allow()
        do {
            while true {
                let delivery = try worker.next()
                for record in delivery.records {
                    guard let number = number(record) else { throw Peer.Failure(description: "not ours: \(record)") }
                    numbers.append(number)
                }
                try worker.settle(first: delivery.first, last: delivery.first + UInt64(delivery.records.count) - 1)
            }
        } catch let ended as TestWorker.Ended {
            return ended.reason
        }
    }

    /// Nothing lost, nothing doubled, every key in order. Returns what is wrong.
    static func judge(_ numbers: [UInt64], count: UInt64) -> String? {
        var last: [UInt64: UInt64] = [:]
        for number in numbers {
            if let previous = last[number % keys], previous >= number { return "\(number) came after \(previous)" }
            last[number % keys] = number
        }
        // Ascending within each key, so none is there twice.
        return UInt64(numbers.count) == count ? nil : "\(numbers.count) of \(count) arrived"
    }
}

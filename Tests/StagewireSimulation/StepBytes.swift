import StagewireModel
import StagewireTestSupport

package typealias SeededGenerator = SplitMix64

/// The bytes of a Settle or an Emit, written the plain way for tests.
package struct StepBytes {
    package var bytes: [UInt8] = []

    package init() {}

    package mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    package mutating func number(_ field: UInt64, _ value: UInt64) {
        guard value != 0 else { return }
        varint(field << 3)
        varint(value)
    }

    package mutating func nested(_ field: UInt64, _ content: [UInt8]) {
        varint(field << 3 | 2)
        varint(UInt64(content.count))
        bytes += content
    }

    package static func build(_ body: (inout StepBytes) -> Void) -> [UInt8] {
        var step = StepBytes()
        body(&step)
        return step.bytes
    }

    /// A Record without lineage.
    package static func output(key: String, payload: String, attributes: [(String, String)] = []) -> [UInt8] {
        let header = build { header in
            if !key.isEmpty { header.nested(3, Array(key.utf8)) }
            for (name, value) in attributes {
                header.nested(
                    6,
                    build {
                        $0.nested(1, Array(name.utf8))
                        $0.nested(2, Array(value.utf8))
                    })
            }
        }
        return build {
            $0.nested(2, header)
            $0.nested(3, Array(payload.utf8))
        }
    }
}

package struct TestEmission {
    package var port: UInt64
    package var parents: [UInt64]
    package var output: [UInt8]
    package var traceparent: String

    package init(port: UInt64 = 0, parents: [UInt64] = [], output: [UInt8], traceparent: String = "") {
        self.port = port
        self.parents = parents
        self.output = output
        self.traceparent = traceparent
    }

    package var bytes: [UInt8] {
        StepBytes.build { step in
            step.number(1, port)
            if !parents.isEmpty { step.nested(2, StepBytes.build { inner in for id in parents { inner.varint(id) } }) }
            step.nested(3, output)
            if !traceparent.isEmpty { step.nested(4, StepBytes.build { $0.nested(1, Array(traceparent.utf8)) }) }
        }
    }
}

package struct TestOutcome {
    package var ranges: [ClosedRange<UInt64>]
    package var kind: OutcomeKind
    package var emissions: [TestEmission] = []
    package var delayMS: UInt64 = 0
    package var error: String?

    package init(_ first: UInt64, _ kind: OutcomeKind, _ emissions: [TestEmission] = []) {
        ranges = [first...first]
        self.kind = kind
        self.emissions = emissions
    }

    package init(_ ranges: [ClosedRange<UInt64>], _ kind: OutcomeKind, _ emissions: [TestEmission] = []) {
        self.ranges = ranges
        self.kind = kind
        self.emissions = emissions
    }

    package var bytes: [UInt8] {
        StepBytes.build { step in
            step.number(1, ranges[0].lowerBound)
            if ranges[0].count > 1 { step.number(2, ranges[0].upperBound) }
            step.number(3, UInt64(kind.rawValue))
            for emission in emissions { step.nested(4, emission.bytes) }
            step.number(5, delayMS)
            if let error {
                step.nested(
                    6,
                    StepBytes.build {
                        $0.number(1, 1000)
                        $0.nested(2, Array(error.utf8))
                    })
            }
            for range in ranges.dropFirst() {
                step.nested(
                    7,
                    StepBytes.build {
                        $0.number(1, range.lowerBound)
                        $0.number(2, range.upperBound)
                    })
            }
        }
    }
}

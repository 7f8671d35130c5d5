import StagewireWire

/// What an emission's output has to be (RE-3, RE-4, RE-5), as far as `FrameDump` has not found it already.
enum OutputRules {
    static func check(_ emission: FrameDump.Field) throws(Stop) {
        if let trace = emission.inner.first("trace") {
            guard trace.range.count <= 581 else { throw .fail("a trace is above its limits", rules: ["RE-5"]) }
        }
        guard let output = emission.inner.first("output") else { return }
        guard output.inner.first("lineage") == nil else {
            throw .fail("an output carries lineage, which is the broker's", rules: ["RE-3"])
        }
        guard let header = output.inner.first("header") else { return }
        let literal = FrameLiteral(header.inner)
        let attributes = header.inner.all("attributes")
        guard header.range.count <= 16_384, (literal["key"]?.asBytes?.count ?? 0) <= 1_024, attributes.count <= 64
        else { throw .fail("a header, its key or its attributes are above their limits", rules: ["RE-4"]) }
        for attribute in attributes {
            let values = attribute.inner.filter { $0.name != nil && $0.name != "name" }
            guard values.count <= 1 else { throw .fail("an attribute has two values", rules: ["RE-4"]) }
        }
    }
}

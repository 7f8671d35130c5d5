"""frames-to-worker.json: every kind that a worker receives."""

from .assemble import data, fixed64, frame, num, prefixed, unknown
from .form import Subject, times

U32, U64, I64 = 2 ** 32 - 1, 2 ** 64 - 1, 2 ** 63 - 1
ID = "0xad0463b0d8404c62c36d38447d3c52ab"
RAW_ID = bytes.fromhex(ID[2:])


def envelope(kind, message, version=1000):
    return {"version": version, kind: message}


def deliver(*records, **more):
    return envelope("deliver", {"first_delivery": 1, "records": list(records), **more})


def lineage(**more):
    return {"id": ID, "ingest_time": 1767225600000000, "hops": [{"run": 1}], **more}


def build():
    subject = Subject("frames-to-worker.json")
    for add in (welcome, close, liveness, credit, deliveries, records, lineages, headers, unusual, results, drains, sources,
                unknowns):
        add(subject)
    return subject


def welcome(to):
    limits = {
        "max_frame": 4194304, "max_record": 1048576, "stamp_reserve": 1005, "max_step_records": 4096,
        "max_step_bytes": 1048576, "heartbeat_ms": 10000, "idle_ms": 30000, "lease_ms": 30000
    }
    first = {"version": 1000, "session": 1, **limits}
    out = [{"number": 0, "port": "out"}]
    one = {
        "number": 0, "stage": "ingest", "port": "out", "max_unsettled_records": 4096, "max_unsettled_bytes": 4194304,
        "ordering": "ORDERING_KEY"
    }
    name = {"pipeline": "sensors", "instance": "normalise-1"}
    to.valid(
        "welcome-transform", "HS-6", "One input, one output, a configuration.",
        envelope(
            "welcome",
            {**first, "features": ["single-threaded"], "config": '{"unit":"K"}', "inputs": [one], "outputs": out, **name}))
    to.valid("welcome-sink", "HS-6", "No outputs, no configuration.", envelope("welcome",
                                                                               {**first, "inputs": [one], **name}))
    to.valid("welcome-source", "HS-6", "No inputs.", envelope("welcome", {**first, "outputs": out, **name}))
    to.valid(
        "welcome-join", "HS-6", "Several inputs with every ordering, several outputs; numbers need not be consecutive.",
        envelope(
            "welcome", {
                **first, "features": ["holds", "settle-confirm"], "inputs": [
                    one, {**one, "number": 3, "stage": "score", "ordering": "ORDERING_NONE"},
                    {**one, "number": 1, "port": "späte", "ordering": "ORDERING_TOTAL"}
                ], "outputs": [{"number": 2, "port": "side"}, {"number": 0, "port": "out"}], **name
            }))
    to.valid("welcome-unknown-ordering", "HS-6", "An ordering that this version does not have: treated as TOTAL.",
             envelope("welcome", {**first, "inputs": [{**one, "ordering": 9}], **name}))
    to.valid("welcome-absent-ordering", "HS-6", "ORDERING_UNSPECIFIED is no known ordering either.",
             envelope("welcome", {**first, "inputs": [{"number": 0, "stage": "a", "port": "out"}], **name}))
    to.valid(
        "welcome-configuration", "HS-6", "A configuration with text outside ASCII, nesting and a number above 2^53.",
        envelope("welcome",
                 {**first, "config": '{"größe": {"水": [1, -2.5e3, null, true]}, "n": 9007199254740993}', **name}))
    to.valid(
        "welcome-extremes", "HS-6", "The largest number in every field.",
        envelope(
            "welcome", {
                "version": 1000, "session": U64, "max_frame": U64, "max_record": U64, "stamp_reserve": U64,
                "max_step_records": U64, "max_step_bytes": U64, "heartbeat_ms": U32, "idle_ms": U32, "lease_ms": U32,
                "inputs": [{
                    "number": U32, "stage": "a", "port": "p", "max_unsettled_records": U64, "max_unsettled_bytes": U64,
                    "ordering": "ORDERING_NONE"
                }], "outputs": [{"number": U32, "port": "p"}], **name
            }))
    meaning = envelope(
        "welcome", {
            "version": 1000, "session": 2, "inputs": [{"number": 1, "stage": "a"}],
            "outputs": [{"number": 1, "port": "out"}], "instance": "w-1"
        })
    to.valid(
        "welcome-unknown-fields", "FR-3", "Unknown fields of every wire type in Welcome, Input and Output.", meaning,
        frame(
            "welcome",
            unknown() + num(1, 1000) + num(2, 2) + data(13,
                                                        unknown(17) + num(1, 1) + data(2, "a")) +
            data(14,
                 num(1, 1) + unknown(17) + data(2, "out")) + data(16, "w-1") + unknown(17)))
    to.valid(
        "welcome-any-order", "FR-2", "The same fields from the last to the first: their order has no meaning.", meaning,
        frame(
            "welcome",
            data(16, "w-1") + data(14,
                                   data(2, "out") + num(1, 1)) + data(13,
                                                                      data(2, "a") + num(1, 1)) + num(2, 2) + num(1, 1000)))


def close(to):
    to.valid("close-ok", "EN-1 ER-1", "A normal end: no field is written.", envelope("close", {}))
    to.valid("close-ok-message", "EN-1", "A normal end that says something.", envelope("close", {"message": "bye"}))
    to.valid("close-code", "ER-1 ER-2", "A code with its sentence.",
             envelope("close", {"code": 212, "message": "3 deliveries were not settled within 30 s"}))
    to.valid("close-unicode", "LM-5", "Text outside ASCII.",
             envelope("close", {"code": 200, "message": "no stage größe 水 🜁"}))
    to.valid("close-control-characters", "LM-5", "A message that would move a terminal's cursor: escaped when it is shown.",
             envelope("close", {"code": 100, "message": "one\r\n\u001b[2Jtwo\t\u0007"}))
    to.valid("close-long", "LM-5", "A message of 8 KiB, the most that a sender should write.",
             envelope("close", {"code": 111, "message": times("m", 8192)}))
    to.valid("close-too-long", "LM-5", "A message of 9,000 bytes: a receiver cuts it.",
             envelope("close", {"code": 111, "message": times("é", 4500)}))
    to.valid("close-unknown-code", "ER-3", "A code that nobody knows: not retryable.",
             envelope("close", {"code": U32, "message": "from the future"}))
    to.valid("close-unknown-fields", "FR-3", "Unknown fields of every wire type.",
             envelope("close", {"code": 211, "message": "stopping"}),
             frame("close",
                   unknown(3) + num(1, 211) + data(2, "stopping") + unknown()))
    to.valid("close-other-major", "VR-2", "A Close of major version 2 is still read.",
             envelope("close", {"code": 102, "message": "this broker speaks 2000 to 2001"}, version=2000))
    to.valid("close-version-absent", "VR-2", "A Close whose version is absent, hence of major 0.",
             {"close": {"code": 102, "message": "versions?"}})


def liveness(to):
    for name, nonce in (("zero", 0), ("small", 7), ("large", U64)):
        to.valid(f"ping-{name}", "LV-1", "Answered by a Pong with the same nonce.", envelope("ping", {"nonce": nonce}))
    to.valid("ping-absent-nonce", "LV-1", "The usual encoding of nonce 0: an empty message.", envelope("ping", {}))
    to.valid("ping-explicit-zero", "LV-1", "A zero may be written, too.", envelope("ping", {}), frame("ping", num(1, 0)))
    to.valid("ping-unknown-fields", "FR-3", "Unknown fields beside the nonce.", envelope("ping", {"nonce": 5}),
             frame("ping",
                   unknown(2) + num(1, 5)))
    to.valid("ping-minor-version", "VR-2", "A later minor version is read like this one.",
             envelope("ping", {"nonce": 5}, version=1001))
    to.valid("ping-version-last", "FR-2", "The Envelope's version behind its message.", envelope("ping", {"nonce": 300}),
             prefixed(data(5, num(1, 300)) + num(1, 1000)))
    to.valid("pong", "LV-1", "To a worker's own Ping.", envelope("pong", {"nonce": 12345678901}))


def credit(to):
    to.valid("credit-step", "CR-2 CR-7", "One step on output 0.", envelope("credit", {"records": 4096, "bytes": 1048576}))
    to.valid("credit-port", "CR-2", "An output with a number.",
             envelope("credit", {"number": 3, "records": 8192, "bytes": 2097152}))
    to.valid("credit-nothing", "CR-2", "A limit of zero, which raises nothing.", envelope("credit", {}))
    to.valid("credit-records-only", "CR-2", "A limit in bytes of zero beside one in records: each counts by itself.",
             envelope("credit", {"records": 10}))
    to.valid("credit-extremes", "CR-2", "The largest numbers: counters have 64 bits.",
             envelope("credit", {"number": U32, "records": U64, "bytes": U64}))
    to.valid("credit-signed-limit", "CR-2", "2^63 - 1 and 2^63, between which signed arithmetic fails.",
             envelope("credit", {"records": I64, "bytes": I64 + 1}))
    to.valid("credit-unknown-fields", "FR-3", "Unknown fields.", envelope("credit",
                                                                          {"number": 1, "records": 2, "bytes": 3}),
             frame("credit",
                   num(3, 3) + unknown(4) + num(2, 2) + num(1, 1)))


def deliveries(to):
    plain = {"payload": "a"}
    to.valid("deliver-one", "DE-1", "One record, a first attempt.", deliver({"lineage": lineage(), "payload": "21.5"}))
    to.valid("deliver-three", "DE-1", "Three records: deliveries 41, 42 and 43.",
             envelope("deliver", {"first_delivery": 41, "records": [plain, {"payload": "b"}, {"payload": "c"}]}))
    to.valid("deliver-input", "DE-1", "From input 2.", deliver(plain, input=2))
    to.valid("deliver-extremes", "DE-1", "The largest input and attempt, a huge delivery id.",
             envelope("deliver", {"input": U32, "first_delivery": U64 - 1, "attempts": [U32], "records": [plain]}))
    to.valid("deliver-signed-id", "DE-1", "Delivery 2^63 - 1 and the next: ids have no sign.",
             envelope("deliver", {"first_delivery": I64, "records": [plain, plain]}))
    to.valid("deliver-attempts-packed", "DE-2 FR-5", "Attempts 2, 1 and 300, packed as encoders write them.",
             deliver(plain, plain, plain, attempts=[2, 1, 300]))
    three = deliver(plain, plain, plain, attempts=[2, 1, 300])
    record = data(4, data(3, "a"))
    to.valid("deliver-attempts-unpacked", "DE-2 FR-5", "The same, one field for each.", three,
             frame("deliver",
                   num(2, 1) + num(3, 2) + num(3, 1) + num(3, 300) + record * 3))
    to.valid(
        "deliver-attempts-mixed", "DE-2 FR-5", "The same in both forms and in pieces, one of them empty.", three,
        frame("deliver",
              num(2, 1) + data(3, b"\x02") + data(3, b"") + num(3, 1) + record * 2 + data(3, b"\xac\x02") + record))
    to.valid("deliver-attempts-behind", "DE-2", "The attempts behind the records.", three,
             frame("deliver", record * 3 + data(3, b"\x02\x01\xac\x02") + num(2, 1)))
    to.valid("deliver-many", "DE-1", "4,096 records, the most in one Deliver.",
             envelope("deliver", {"first_delivery": 1, "records": [times(plain, 4096)]}))


def records(to):
    to.valid("record-empty", "RE-1", "A record without anything.", deliver({}))
    to.valid("record-payload-empty", "RE-1", "An absent payload is an empty one.", deliver({"header": {"schema": "a"}}))
    to.valid("record-payload-explicit", "RE-1", "An empty payload that is written.", deliver({"header": {"schema": "a"}}),
             frame("deliver",
                   num(2, 1) + data(4,
                                    data(2, data(1, "a")) + data(3, b""))))
    to.valid("record-payload-binary", "RE-1", "All 256 bytes.", deliver({"payload": "0x" + bytes(range(256)).hex()}))
    to.valid("record-payload-protobuf", "RE-1", "A payload that looks like a record; nobody looks.",
             deliver({"payload": "0x0a0012001a00"}))
    to.valid("record-payload-127", "FR-1", "127 bytes: the last length of one byte.", deliver({"payload": times("p", 127)}))
    to.valid("record-payload-128", "FR-1", "128 bytes: a length of two bytes.", deliver({"payload": times("p", 128)}))
    to.valid("record-payload-16384", "FR-1", "16,384 bytes: a length of three bytes.",
             deliver({"payload": times("p", 16384)}))
    to.valid("record-payload-large", "LM-2", "1,000,000 bytes.", deliver({"payload": times("0x00ff", 500000)}))
    to.valid("record-reversed", "RE-1", "An output that was written payload first is delivered as it was.",
             deliver({"lineage": {"id": ID}, "header": {"schema": "a"}, "payload": "b"}),
             frame("deliver",
                   num(2, 1) + data(4,
                                    data(1, data(1, RAW_ID)) + data(3, "b") + data(2, data(1, "a")))))
    everything = deliver(
        {
            "lineage": {"id": ID, "trace": {"traceparent": "00"}, "hops": [{"run": 1, "delta": 2}]},
            "header": {"schema": "a", "attributes": [{"name": "n", "flag": True}]}, "payload": "b"
        }, attempts=[2])
    hop = data(7, unknown(4) + num(1, 1) + num(2, 2))
    stamp = data(1, data(1, RAW_ID) + data(5, unknown(3) + data(1, "00")) + unknown(8) + hop)
    header = data(2, data(1, "a") + unknown(7) + data(6, unknown(6) + data(1, "n") + num(5, 1)))
    to.valid(
        "record-unknown-fields", "FR-3 RE-1", "Unknown fields in Deliver, Record, Lineage, TraceContext, Hop, Header and "
        "Attribute; Record's reserved ones (4 to 15) among them.", everything,
        frame(
            "deliver",
            unknown() + num(2, 1) + data(3, b"\x02") +
            data(4, stamp + header + data(3, "b") + data(4, "later") + num(15, 1) + unknown(16)) + unknown(8)))


def lineages(to):
    ids = ["0x" + bytes([n] * 16).hex() for n in range(1, 17)]
    to.valid("lineage-source", "LI-1 LI-2", "A source's record: no parents, no root, one hop.",
             deliver({"lineage": lineage()}))
    to.valid(
        "lineage-derived", "LI-1 LI-2", "A parent, a root, two hops with delta and attempt.",
        deliver({
            "lineage": {
                "id": ids[0], "parents": [ID], "root": ID, "ingest_time": 1767225600000000,
                "hops": [{"run": 1}, {"run": 2, "delta": 1834, "attempt": 3}]
            }
        }))
    to.valid("lineage-16-parents", "LI-1", "As many parents as are kept, and no more.",
             deliver({"lineage": lineage(parents=ids, root=ID)}))
    to.valid("lineage-truncated", "LI-1", "16 parents of more.",
             deliver({"lineage": lineage(parents=ids, parents_truncated=True, root=ID)}))
    to.valid(
        "lineage-64-hops", "LI-1 LI-2", "The deepest lineage: 64 hops.",
        deliver({
            "lineage": {
                "id": ids[0], "parents": [ids[1]], "root": ID, "ingest_time": 1767225600000000,
                "hops": [{"run": n, "delta": 1000 * n} for n in range(1, 65)]
            }
        }))
    to.valid(
        "lineage-extremes", "LI-1 LI-2", "The largest ingest time, run, delta and attempt.",
        deliver(
            {"lineage": {"id": "0x" + "ff" * 16, "ingest_time": U64, "hops": [{"run": U32, "delta": U64,
                                                                               "attempt": U32}]}}))
    to.valid(
        "lineage-trace", "LI-1 RE-5", "The trace context of the root, at its largest.",
        deliver({
            "lineage": lineage(trace={
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=" + "x" * 510
            })
        }))
    to.valid("lineage-zero-id", "LI-1", "An id of 16 zero bytes is an id like any other.",
             deliver({"lineage": {"id": "0x" + "00" * 16, "ingest_time": 1}}))
    to.valid("lineage-absent", "LI-1", "A record without lineage, as a broker played by a test may send it.",
             deliver({"payload": "x"}))


def headers(to):

    def header(name, rules, what, **fields):
        to.valid(name, rules, what, deliver({"header": fields}))

    header("header-full", "RE-2", "Every field.", schema="sensor.raw", schema_version=1, key="sensor-7",
           event_time=1767225599000000, content_type="text/plain", attributes=[{"name": "unit", "text": "C"}])
    header("header-empty", "RE-2", "A header that is there and empty.")
    header("header-unicode", "RE-2", "Text outside ASCII in schema, content type and attribute.", schema="größe.水",
           content_type="text/🜁", attributes=[{"name": "é", "text": "e\u0301\u0000z"}])
    header("header-key-binary", "RE-2 OR-1", "A key need not be text.", key="0x00ff80")
    header("header-key-longest", "RE-2", "A key of 1 KiB.", key=times("k", 1024))
    to.valid("header-key-explicit", "OR-1", "An empty key that is written is no key.", deliver({"header": {"schema": "a"}}),
             frame("deliver",
                   num(2, 1) + data(4, data(2,
                                            data(1, "a") + data(3, b"")))))
    header("header-version-largest", "RE-2", "The largest schema version.", schema="a", schema_version=U32)
    for name, time in (("negative", -1), ("least", -2 ** 63), ("largest", I64), ("before-1970", -62135596800000000)):
        header(f"event-time-{name}", "RE-2", f"Event time {time}.", event_time=time)
    to.valid("event-time-explicit-zero", "RE-2", "Event time 0, written: not known.", deliver({"header": {"schema": "a"}}),
             frame("deliver",
                   num(2, 1) + data(4, data(2,
                                            data(1, "a") + fixed64(4, 0)))))
    header(
        "attributes-every-kind", "RE-2", "Text, integer, number, flag, and one without a value, which is absent.",
        attributes=[{"name": "t", "text": "x"}, {"name": "i", "integer": -3}, {"name": "n", "number": 21.5},
                    {"name": "f", "flag": True}, {"name": "absent"}])
    header(
        "attributes-zeros", "RE-2", "Values that are zero are there: a oneof says which it is.",
        attributes=[{"name": "t", "text": ""}, {"name": "i", "integer": 0}, {"name": "n", "number": 0.0},
                    {"name": "f", "flag": False}])
    header("attributes-integers", "RE-2", "Integers at the ends of zigzag encoding.",
           attributes=[{"name": str(n), "integer": n} for n in (-1, 1, -64, 64, 2 ** 53 + 1, I64, -2 ** 63)])
    header(
        "attributes-numbers", "RE-2", "Doubles that are awkward.",
        attributes=[{"name": str(n), "number": value}
                    for n, value in enumerate(("NaN", "Infinity", "-Infinity", -0.0, 5e-324, 1.7976931348623157e308, 0.1))])
    header("attributes-twice", "RE-2", "Two with one name: the first counts.", attributes=[{"name": "a", "integer": 1},
                                                                                           {"name": "a", "text": "second"}])
    header("attributes-64", "RE-2", "As many attributes as a header may have.",
           attributes=[{"name": f"a{n}", "integer": n} for n in range(64)])
    to.valid("attribute-value-first", "RE-2", "An attribute's value before its name.",
             deliver({"header": {"attributes": [{"name": "a", "text": "b"}]}}),
             frame("deliver",
                   num(2, 1) + data(4, data(2, data(6,
                                                    data(2, "b") + data(1, "a"))))))


def unusual(to):
    to.valid(
        "number-padded", "FR-5 RE-4", "A schema version whose varint is longer than it needs to be: tags and lengths have "
        "to be minimal, numbers not.", deliver({"header": {"schema_version": 1}}),
        frame("deliver",
              num(2, 1) + data(4, data(2, num(2, 1, pad=3)))))
    to.valid(
        "explicit-zeros", "FR-2", "Zeros that encoders leave out, written.", deliver({"payload": "x"}),
        frame("deliver",
              num(1, 0) + num(2, 1) + data(3, b"") + data(4, data(3, "x")) + num(5, 0) + num(6, 0) + num(7, 0)))


def results(to):
    refusal = {"id": 3, "error": {"code": 306, "message": "the output has a lineage"}}
    to.valid("settled", "ST-8", "Everything up to delivery 12.", envelope("settled", {"through": 12}))
    to.valid("settled-refused", "ST-8 ST-6", "With two outcomes that were refused.",
             envelope("settled", {"through": 12, "refused": [refusal, {"id": 9, "error": {"code": 304}}]}))
    to.valid("settled-extremes", "ST-8", "The largest numbers.",
             envelope("settled", {"through": U64, "refused": [{"id": U64, "error": {"code": U32, "indefinite": True}}]}))
    to.valid("settled-nothing", "ST-8", "Through 0: nothing yet.", envelope("settled", {}))
    to.valid("committed", "SO-6", "Everything up to Emit 7.", envelope("committed", {"partition": "p", "through": 7}))
    to.valid("committed-refused", "SO-5 SO-6", "Emit 3 was refused; 7 and what else is before it is committed.",
             envelope("committed", {"partition": "readings.csv", "through": 7, "refused": [refusal]}))
    to.valid("committed-extremes", "SO-1 SO-6", "A partition of 255 bytes, the largest emit id.",
             envelope("committed", {"partition": "é" * 127 + "x", "through": U64}))
    to.valid("committed-error-absent", "SO-5", "A refusal without an error.",
             envelope("committed", {"partition": "p", "through": 1, "refused": [{"id": 1}]}))
    to.valid("settled-unknown-fields", "FR-3", "Unknown fields in Settled, Refusal and Error.",
             envelope("settled", {"through": 4, "refused": [{"id": 4, "error": {"code": 305}}]}),
             frame("settled",
                   unknown(3) + num(1, 4) + data(2,
                                                 unknown(3) + num(1, 4) + data(2,
                                                                               num(1, 305) + unknown(4)))))


def drains(to):
    to.valid("drain-input-ended", "EN-2", "Everything has been delivered once; no deadline.",
             envelope("drain", {"reason": "DRAIN_REASON_INPUT_ENDED"}))
    to.valid("drain-shutdown", "EN-3", "Within 30 s.",
             envelope("drain", {"reason": "DRAIN_REASON_SHUTDOWN", "deadline_ms": 30000}))
    to.valid("drain-unknown-reason", "EN-3", "A reason that this version does not have: as SHUTDOWN.",
             envelope("drain", {"reason": 17, "deadline_ms": 5000}))
    to.valid("drain-absent-reason", "EN-3", "UNSPECIFIED is no known reason either.", envelope("drain", {}))
    to.valid("drain-longest", "EN-4", "The longest deadline.",
             envelope("drain", {"reason": "DRAIN_REASON_SHUTDOWN", "deadline_ms": U32}))


def sources(to):
    to.valid("claimed-new", "SO-2", "Nobody has had this partition before.",
             envelope("claimed", {"partition": "p", "epoch": 1}))
    to.valid("claimed-again", "SO-2", "Go on behind Emit 41, at this checkpoint.",
             envelope("claimed", {"partition": "readings.csv", "epoch": 3, "last_emit_id": 41, "checkpoint": "line 83"}))
    to.valid("claimed-binary-checkpoint", "SO-2", "A checkpoint is bytes.",
             envelope("claimed", {"partition": "p", "epoch": 2, "last_emit_id": 1, "checkpoint": "0x00ff8000"}))
    to.valid("claimed-long-checkpoint", "SO-2 LM-3", "A checkpoint of 64 KiB, the largest.",
             envelope("claimed", {"partition": "p", "epoch": 2, "last_emit_id": 1, "checkpoint": times("c", 65536)}))
    to.valid("claimed-extremes", "SO-2", "The largest numbers.",
             envelope("claimed", {"partition": "水", "epoch": U64, "last_emit_id": U64}))
    run = {"number": 1, "stage": "ingest", "version": "2.1", "instance": "ingest-1", "language": "Rust"}
    to.valid("runs", "LI-3", "Two runs.",
             envelope("runs", {"runs": [run, {"number": 2, "stage": "score", "instance": "größe", "language": "Go"}]}))
    to.valid("runs-none", "LI-3", "No runs.", envelope("runs", {}))
    to.valid(
        "runs-extremes", "LI-3", "The largest number, names of 128 bytes.",
        envelope("runs", {
            "runs": [{
                "number": U32, "stage": "s" * 128, "version": "v" * 128, "instance": "i" * 128, "language": "l" * 128
            }]
        }))
    to.valid("runs-unknown-fields", "FR-3", "Unknown fields in Runs and Run.",
             envelope("runs", {"runs": [{"number": 1, "stage": "a"}]}),
             frame("runs",
                   unknown(2) + data(1,
                                     unknown(6) + data(2, "a") + num(1, 1))))


def unknowns(to):

    def ignored(name, what, content, rules="FR-3"):
        to.valid(name, rules, what, {"version": 1000}, prefixed(num(1, 1000) + content), ignored=True)

    ignored("unknown-kind-19", "A kind of a later version.", data(19, b"\x08\x01"), "FR-3 EX-1 EX-2")
    ignored("unknown-kind-31", "The last number that is reserved for features.", data(31, b""), "FR-3 EX-1")
    ignored("unknown-kind-vendor", "A vendor's kind.", data(1000, b"anything, not even protobuf \xff"), "FR-3 EX-3")
    ignored("unknown-kind-largest", "The largest field number of protobuf.", data(2 ** 29 - 1, b"x"))
    ignored("unknown-kind-large", "A kind of 100,000 bytes.", data(19, bytes(100000)))
    ignored("unknown-field-alone", "A field of every wire type, and no message.", unknown())
    ignored("envelope-version-alone", "An Envelope that says its version and nothing else.", b"")
    to.valid("envelope-unknown-fields", "FR-3", "Unknown fields before, between and behind version and message.",
             envelope("ping", {"nonce": 9}),
             prefixed(unknown(19) + num(1, 1000) + unknown() + data(5, num(1, 9)) + unknown(2000)))

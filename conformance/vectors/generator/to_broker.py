"""frames-to-broker.json: every kind that a worker sends."""

from .assemble import BYTES, VARINT, data, frame, num, prefixed, tag, unknown, varint
from .form import Subject, times

U32, U64, I64 = 2 ** 32 - 1, 2 ** 64 - 1, 2 ** 63 - 1


def envelope(kind, message, version=1000):
    return {"version": version, kind: message}


def settle(*outcomes):
    return envelope("settle", {"outcomes": list(outcomes)})


def accepted(first=1, **more):
    return {"first": first, "kind": "OUTCOME_KIND_ACCEPTED", **more}


def build():
    subject = Subject("frames-to-broker.json")
    for add in (hello, close, small, ranges, verdicts, emissions, unusual, sources, unknowns):
        add(subject)
    return subject


def hello(to):

    def valid(name, rules, what, **fields):
        to.valid(name, rules, what,
                 envelope("hello", {"min_version": 1000, "max_version": 1000, "stage": "normalise", **fields}),
                 state="greeting")

    valid("hello-least", "HS-2 HS-5", "A range of versions and a stage: the broker names the instance.")
    valid("hello-spawned", "HS-1 HS-5", "What a spawned worker says: the token, unhexed.", instance="normalise-1",
          offered=["single-threaded"], token="0x00112233445566778899aabbccddeeff")
    valid("hello-full", "HS-4 HS-7", "Every field.", instance="normalise-1", stage_version="2.1",
          offered=["settle-confirm", "x-a"], required=["holds"], max_frame=8388608, token="0x01", sdk="stagewire-lua 0.1",
          language="Lua", reads=[{"name": "sensor.raw", "version": 1, "definition": "0x0a00ff"},
                                 {"name": "b"}], writes=[{"name": "sensor.clean", "version": U32, "definition": "{}"}])
    valid("hello-limits", "HS-4", "Names of 128 bytes, 64 features in each list.", instance="i" * 128,
          stage_version="é" * 64, offered=[f"x-offer-{n}" for n in range(64)], sdk="s" * 128, language="l" * 128,
          max_frame=U64)
    valid("hello-unknown-offers", "HS-7", "Offers that no broker knows are ignored.", offered=["x-teleport", "memfd", ""])
    to.valid("hello-later-minor", "VR-1 VR-3",
             "A worker of version 1.7 that still speaks 1.0: its frame has its highest version.",
             envelope("hello", {"min_version": 1000, "max_version": 1007, "stage": "normalise"},
                      version=1007), state="greeting")
    to.valid("hello-unknown-fields", "FR-3 EX-3", "Unknown fields behind Hello's frozen ones.",
             envelope("hello", {"min_version": 1000, "max_version": 1000, "stage": "a", "reads": [{"name": "n"}]}),
             frame("hello",
                   num(1, 1000) + unknown(16) + num(2, 1000) + data(3, "a") + data(12,
                                                                                   unknown(4) + data(1, "n"))),
             state="greeting")


def close(to):
    to.valid("close-ok", "EN-1 EN-3", "A worker's normal end.", envelope("close", {}))
    to.valid("close-version", "VR-1 VR-3", "Before Welcome is accepted, a Close has the worker's highest version.",
             envelope("close", {"code": 102, "message": "this worker speaks 1000 to 1007"}, version=1007))
    to.valid("close-code", "ER-2 CR-4", "A broker that broke a rule.",
             envelope("close", {"code": 203, "message": "Deliver of 300 bytes, where 120 were granted on input 0"}))


def small(to):
    to.valid("ping", "LV-1", "A worker may ping.", envelope("ping", {"nonce": 1}))
    to.valid("pong", "LV-1", "The answer to Ping 12345678901.", envelope("pong", {"nonce": 12345678901}))
    to.valid("pong-zero", "LV-1", "The answer to Ping 0.", envelope("pong", {}))
    to.valid("pong-large", "LV-1", "The answer to the largest nonce.", envelope("pong", {"nonce": U64}))
    to.valid("extend", "LE-1", "An empty message.", envelope("extend", {}))
    to.valid("extend-unknown-fields", "FR-3", "An Extend of a later version.", envelope("extend", {}),
             frame("extend", unknown(1)))
    to.valid("credit", "CR-2 CR-6", "256 records and 2 MiB on input 0.",
             envelope("credit", {"records": 256, "bytes": 2097152}))
    to.valid("credit-input", "CR-2", "On input 2.", envelope("credit", {"number": 2, "records": 300, "bytes": 3000000000}))
    to.valid("credit-extremes", "CR-2", "As much as there is.", envelope("credit", {"records": U64, "bytes": U64}))
    to.valid("credit-explicit-zeros", "CR-2", "Zeros that are written.", envelope("credit", {}),
             frame("credit",
                   num(1, 0) + num(2, 0) + num(3, 0)))


def ranges(to):
    to.valid("settle-none", "ST-7", "No outcomes.", envelope("settle", {}))
    to.valid("settle-filtered", "ST-2", "Delivery 1 is accepted and nothing emitted.", settle(accepted()))
    to.valid("settle-range", "ST-1", "Deliveries 1 to 100 in one outcome.", settle(accepted(last=100)))
    to.valid("settle-range-explicit", "ST-1", "A last that is the first.", settle(accepted(7, last=7)))
    to.valid("settle-many", "ST-5", "Three outcomes, processed in order.",
             settle(accepted(), {"first": 2, "kind": "OUTCOME_KIND_REJECTED"}, accepted(3, last=9)))
    to.valid("settle-window", "ST-1", "A window: further deliveries of the same outcome, ascending.",
             settle(accepted(3, last=4, more=[{"first": 6}, {"first": 9, "last": 12}])))
    to.valid("settle-adjacent", "ST-1", "Ranges that touch are disjoint.",
             settle(accepted(1, more=[{"first": 2, "last": 2}, {"first": 3}])))
    to.valid("settle-extremes", "ST-1", "The largest delivery ids.",
             settle(accepted(I64, last=I64 + 1, more=[{"first": U64 - 1, "last": U64}])))
    to.valid("settle-4096", "ST-1", "4,096 outcomes.", settle(times(accepted(), 4096)))


def verdicts(to):
    for kind in ("ACCEPTED", "REJECTED", "RETRY", "RELEASED"):
        to.valid(f"kind-{kind.lower()}", "ST-2", f"{kind}, nothing more.",
                 settle({"first": 1, "kind": f"OUTCOME_KIND_{kind}"}))
    error = {"code": 1001, "message": "no such unit: ℃", "indefinite": True}
    to.valid("rejected-error", "ST-2 ER-1", "With a code of the worker's, a text and an indefinite effect.",
             settle({"first": 1, "kind": "OUTCOME_KIND_REJECTED", "error": error}))
    to.valid("rejected-too-large", "CR-8 ER-1", "What a worker refuses itself: STEP_TOO_LARGE.",
             settle({"first": 1, "kind": "OUTCOME_KIND_REJECTED", "error": {"code": 305}}))
    to.valid(
        "retry-delay", "ST-2 RT-1", "Not before 1.5 s.",
        settle({"first": 1, "kind": "OUTCOME_KIND_RETRY", "delay_ms": 1500, "error": {"code": 1000, "message": "busy"}}))
    to.valid("retry-extremes", "ST-2", "The longest delay, the largest code.",
             settle({"first": 1, "kind": "OUTCOME_KIND_RETRY", "delay_ms": U32, "error": {"code": U32}}))
    to.valid("accepted-error", "ST-2", "An error and a delay with ACCEPTED are ignored.",
             settle(accepted(delay_ms=5, error=error)))
    to.valid("error-nul", "FR-2", "Within Settle a text may hold a NUL.",
             settle({"first": 1, "kind": "OUTCOME_KIND_REJECTED", "error": {"message": "a\u0000b"}}))
    to.valid("error-long", "LM-5", "A text of 10,000 bytes: the broker cuts it.",
             settle({"first": 1, "kind": "OUTCOME_KIND_REJECTED", "error": {"message": times("é", 5000)}}))
    to.valid(
        "outcome-unknown-fields", "FR-3", "Unknown fields in Settle, Outcome, Error and Range.",
        settle({"first": 1, "kind": "OUTCOME_KIND_RETRY", "error": {"code": 1000}, "more": [{"first": 3}]}),
        frame(
            "settle",
            unknown(2) + data(
                1,
                unknown(8) + num(1, 1) + num(3, 3) + data(6,
                                                          unknown(4) + num(1, 1000)) + data(7,
                                                                                            unknown(3) + num(1, 3)) +
                unknown())))


def emissions(to):
    output = {"header": {"schema": "a"}, "payload": "b"}
    to.valid("emission", "ST-4", "One record on port 0, its parent the delivery.",
             settle(accepted(emissions=[{"output": output}])))
    to.valid("emission-port", "ST-4", "On port 3.", settle(accepted(emissions=[{"port": 3, "output": output}])))
    to.valid("emission-no-output", "ST-4", "An absent output is an empty record.", settle(accepted(emissions=[{}])))
    to.valid("emission-empty-output", "ST-4", "So is an empty one.", settle(accepted(emissions=[{"output": {}}])))
    to.valid("emission-three", "ST-3 ST-4", "Three in one outcome, on two ports.",
             settle(accepted(emissions=[{"output": output}, {"port": 1, "output": output}, {"output": output}])))
    parents = settle(accepted(last=300, emissions=[{"parents": [300, 2, 1], "output": output}]))
    to.valid("emission-parents", "ST-4 FR-5", "Three parents in an order of their own, packed.", parents)
    first = num(1, 1) + num(2, 300) + num(3, 1)
    body = data(3, data(2, data(1, "a")) + data(3, "b"))
    to.valid("emission-parents-unpacked", "ST-4 FR-5", "The same, one field for each.", parents,
             frame("settle", data(1, first + data(4,
                                                  num(2, 300) + num(2, 2) + num(2, 1) + body))))
    to.valid(
        "emission-parents-mixed", "ST-4 FR-5", "The same in both forms, on either side of the output.", parents,
        frame("settle", data(1, first + data(4,
                                             data(2, b"\xac\x02") + data(2, b"") + body + num(2, 2) + data(2, b"\x01")))))
    to.valid("emission-trace-ignored", "ST-4", "A trace from a stage with inputs is ignored.",
             settle(accepted(emissions=[{"output": output, "trace": {"traceparent": "00-a"}}])))
    to.valid(
        "emission-unknown-fields", "FR-3 RE-4", "Unknown fields in Emission and in every level of its output.",
        settle(
            accepted(
                emissions=[{"port": 1, "output": {"header": {"key": "k", "attributes": [{"name": "n", "integer": -1}]}}}])),
        frame(
            "settle",
            data(
                1,
                num(1, 1) + num(3, 1) + data(
                    4,
                    unknown(5) + num(1, 1) +
                    data(3,
                         unknown(16) + data(2,
                                            unknown(7) + data(3, "k") + data(6,
                                                                             unknown(6) + data(1, "n") + num(3, 1))))))))
    to.valid("emission-large", "LM-2", "An output of 900,000 bytes.",
             settle(accepted(emissions=[{"output": {"payload": times("0x00", 900000)}}])))


def unusual(to):
    meaning = settle(accepted(5, last=6, emissions=[{"output": {"payload": "x"}}]))
    to.valid("outcome-any-order", "FR-2", "The fields of an outcome from the last to the first.", meaning,
             frame("settle", data(1,
                                  data(4, data(3, data(3, "x"))) + num(3, 1) + num(2, 6) + num(1, 5))))
    to.valid(
        "outcome-explicit-zeros", "FR-2", "Zeros that encoders leave out, written.", meaning,
        frame(
            "settle",
            data(1,
                 num(1, 5) + num(2, 6) + num(3, 1) + data(4,
                                                          num(1, 0) + data(2, b"") + data(3, data(3, "x"))) + num(5, 0))))
    to.valid("outcome-padded-number", "FR-5",
             "A delivery id whose varint is longer than it needs to be: only tags and lengths "
             "have to be minimal.", meaning,
             frame("settle", data(1,
                                  num(1, 5, pad=2) + num(2, 6, pad=8) + num(3, 1) + data(4, data(3, data(3, "x"))))))
    to.valid(
        "control-padded", "FR-5", "Outside Settle and Emit tags and lengths may be longer, too.",
        envelope("pong", {"nonce": 1}),
        prefixed(
            tag(1, VARINT, pad=1) + varint(1000) + tag(6, BYTES, pad=2) + varint(5, pad=1) + tag(1, VARINT, pad=2) +
            varint(1, pad=1)))


def sources(to):
    to.valid("claim", "SO-1", "A partition.", envelope("claim", {"partition": "readings.csv"}))
    to.valid("claim-longest", "SO-1", "A name of 255 bytes.", envelope("claim", {"partition": "é" * 127 + "x"}))
    to.valid("finished", "SO-7", "No more records.", envelope("finished", {"partition": "readings.csv"}))
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1"}

    def emit(name, rules, what, **fields):
        to.valid(name, rules, what, envelope("emit", {"partition": "p", "emit_id": 1, **fields}), stage="source")

    emit("emit", "SO-4", "Two records and a checkpoint.",
         emissions=[{"output": {"payload": "a"}}, {"port": 1, "output": {"payload": "b"}}], checkpoint="2")
    emit("emit-checkpoint-alone", "SO-5", "No emissions: the source only moves on.", checkpoint="0x0102ff")
    emit("emit-nothing", "SO-5", "Neither emissions nor a checkpoint.")
    emit("emit-trace", "RE-5", "With a trace context.", emissions=[{"output": {"payload": "a"}, "trace": trace}])
    emit("emit-checkpoint-longest", "LM-3", "A checkpoint of 64 KiB.", checkpoint=times("0xfe", 65536))
    emit("emit-extremes", "SO-4", "The largest emit id and port, a partition of 255 bytes.", partition="x" * 255,
         emit_id=U64, emissions=[{"port": U32}])
    to.valid("emit-unknown-fields", "FR-3", "Unknown fields in Emit and TraceContext.",
             envelope("emit", {"partition": "p", "emit_id": 1, "emissions": [{"trace": {"tracestate": "s"}}]}),
             frame("emit",
                   unknown(5) + data(1, "p") + num(2, 1) + data(3, data(4,
                                                                        unknown(3) + data(2, "s")))), stage="source")


def unknowns(to):

    def ignored(name, what, content, state):
        to.valid(name, "FR-3", what, {"version": 1000}, prefixed(num(1, 1000) + content), ignored=True, state=state)

    ignored("unknown-kind-before-welcome", "An unknown kind before Hello: ignored and counted.", data(19, b"x"), "greeting")
    ignored("unknown-kind", "A kind of a later version.", data(20, b"\xff"), "open")
    ignored("unknown-kind-vendor", "A vendor's kind.", data(1000, b""), "open")
    ignored("envelope-version-alone", "An Envelope without a message.", b"", "open")
    to.valid("envelope-minor-version", "VR-2", "Only the major of a frame's version counts.",
             envelope("ping", {"nonce": 3}, version=1999))
    to.valid("envelope-unknown-fields", "FR-3", "Unknown fields beside a known kind.", envelope("ping", {"nonce": 3}),
             prefixed(unknown(19) + num(1, 1000) + data(5, num(1, 3)) + unknown()))

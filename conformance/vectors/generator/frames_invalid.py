"""frames-invalid.json: what is refused, by whom and with which code."""

from .assemble import BYTES, END_GROUP, FIXED32, FIXED64, GROUP, VARINT, data, fixed32, fixed64, frame, group, num, prefixed, tag, varint
from .form import Subject

LIBRARY = "takes what its library gives (FR-2)"
V = num(1, 1000)


def build():
    subject = Subject("frames-invalid.json")
    for add in (lengths, envelopes, protobuf, control, steps, outcomes, floods, versions, hellos, order, to_worker):
        add(subject)
    return subject


def malformed(to, name, rules, what, content, **more):
    """`content` is what stands behind the length."""
    to.invalid(name, rules, what, prefixed(content), "MALFORMED_FRAME", **more)


def lengths(to):
    to.invalid("length-zero", "FR-2", "A frame of nothing.", bytes(4), "MALFORMED_FRAME")
    to.invalid("length-greeting", "FR-4 LM-1",
               "16,385 bytes before Welcome: refused on reading the prefix, the rest never comes.", (16385).to_bytes(
                   4, "big"), "FRAME_TOO_LARGE", state="greeting", limit=16384)
    to.invalid("length-negotiated", "FR-4 LM-1", "One byte more than the limit in force.", (4194305).to_bytes(4, "big"),
               "FRAME_TOO_LARGE", limit=4194304)
    to.invalid("length-largest", "FR-4", "The largest length that a prefix can say.", b"\xff" * 4, "FRAME_TOO_LARGE",
               limit=4194304)
    to.invalid("length-little-endian", "FR-1 FR-4", "A Ping whose length is little-endian.",
               b"\x07\0\0\0" + V + data(5, num(1, 7)), "FRAME_TOO_LARGE", limit=4194304)
    to.invalid("length-http", "FR-4", "Another protocol: \"GET \" is a length of 1,195,725,856.", b"GET / HTTP/1.1\r\n\r\n",
               "FRAME_TOO_LARGE", state="greeting", limit=16384)
    to.invalid("length-over-credit", "LM-4 FR-4", "No byte credit is left: 256 KiB and a byte are too many.",
               (262145).to_bytes(4, "big"), "FRAME_TOO_LARGE", limit=262144)


def envelopes(to):
    malformed(to, "two-kinds", "FR-2", "A Ping and a Pong in one Envelope.", V + data(5, num(1, 1)) + data(6, num(1, 1)))
    malformed(to, "two-kinds-empty", "FR-2", "Two kinds without content.", V + data(13, b"") + data(9, b""))
    malformed(to, "kind-twice", "FR-5", "The same kind twice: a singular field.",
              V + data(5, num(1, 1)) + data(5, num(1, 2)))
    malformed(to, "version-twice", "FR-5", "The version twice.", V + V + data(5, b""))
    malformed(to, "version-overflow", "FR-2", "A version of 2^32 + 1000, which must not pass for 1000.",
              num(1, 2 ** 32 + 1000) + data(5, b""))
    malformed(to, "version-bytes", "FR-2", "A version with the wire type of bytes.", data(1, b"\xe8\x07") + data(5, b""))
    malformed(to, "kind-varint", "FR-2", "A Ping that is a number.", V + num(5, 1))
    malformed(to, "kind-fixed", "FR-2", "A Settle of eight fixed bytes.", V + fixed64(9, 0))
    malformed(to, "kind-group", "FR-5", "A Ping that is a group.", V + group(5, num(1, 1)))


def protobuf(to):
    ping = V + data(5, num(1, 7))
    malformed(to, "truncated-tag", "FR-2", "The frame ends within a tag.", ping + b"\x82")
    malformed(to, "truncated-varint", "FR-2", "The frame ends within a number.", V + data(5, b"\x08\x80"))
    malformed(to, "truncated-value", "FR-2", "A tag without a value.", V + data(5, b"\x08"))
    malformed(to, "truncated-length", "FR-2", "The frame ends within a length.", V + tag(5, BYTES) + b"\x80")
    malformed(to, "length-overruns", "FR-2", "A message that is longer than its frame.",
              V + tag(5, BYTES) + b"\x03" + num(1, 7))
    malformed(to, "length-overruns-inside", "FR-2", "A text that is longer than its message.",
              V + data(4,
                       tag(2, BYTES) + b"\x05abcd"))
    malformed(to, "length-64-bits", "FR-2", "A length of 2^64 - 1.", V + tag(5, BYTES) + varint(2 ** 64 - 1))
    malformed(to, "truncated-fixed", "FR-2", "An unknown field of eight bytes, seven of which are there.",
              ping + tag(1000, FIXED64) + bytes(7))
    malformed(to, "varint-11-bytes", "FR-2", "A number of eleven bytes.", V + data(5, b"\x08" + b"\x80" * 10 + b"\x01"))
    malformed(to, "varint-65-bits", "FR-2", "A number of ten bytes, the last of which does not fit 64 bits.",
              V + data(5, b"\x08" + b"\xff" * 9 + b"\x02"))
    malformed(to, "field-zero", "FR-2", "Field number 0.", ping + num(0, 1))
    malformed(to, "field-too-large", "FR-2", "Field number 2^29, which needs a tag above 32 bits.", ping + num(2 ** 29, 1))
    malformed(to, "wire-type-6", "FR-2", "A wire type that does not exist.", ping + tag(1000, 6) + b"\x01")
    malformed(to, "wire-type-7", "FR-2", "Another one.", ping + tag(1000, 7))
    malformed(to, "group-unknown", "FR-5", "An unknown field that is a group.", ping + group(1000, num(1, 1)))
    malformed(to, "group-open", "FR-2", "A group that does not end.", ping + tag(1000, GROUP))
    malformed(to, "group-end", "FR-2", "The end of a group that did not begin.", ping + tag(1000, END_GROUP))
    malformed(to, "text-not-protobuf", "FR-2", "Text where an Envelope should be.", b"hello")


def control(to):
    malformed(to, "number-overflow", "FR-2", "A Credit for input 2^32, which must not pass for 0.",
              V + data(7,
                       num(1, 2 ** 32) + num(2, 1)))
    malformed(to, "singular-twice", "FR-5", "A nonce twice.", V + data(5, num(1, 1) + num(1, 2)))
    malformed(to, "wrong-type", "FR-2", "A nonce of fixed width.", V + data(5, fixed64(1, 1)))
    malformed(to, "wrong-type-text", "FR-2", "A partition that is a number.", V + data(16, num(1, 1)), stage="source")
    malformed(to, "utf8-close", "FR-2", "A message that is not UTF-8.", V + data(4, num(1, 1) + data(2, b"a\xff")))
    malformed(to, "utf8-overlong", "FR-2", "An overlong form: c0 80.", V + data(16, data(1, b"\xc0\x80")), stage="source")
    malformed(to, "utf8-surrogate", "FR-2", "Half of a surrogate pair.", V + data(16, data(1, b"\xed\xa0\x80")),
              stage="source")
    malformed(to, "utf8-beyond", "FR-2", "A code point above U+10FFFF.", V + data(16, data(1, b"\xf4\x90\x80\x80")),
              stage="source")
    malformed(to, "utf8-cut", "FR-2", "A character that ends too early.", V + data(18, data(1, b"a\xe6\xb0")),
              stage="source")
    malformed(to, "nul-partition", "FR-2", "A NUL in a partition's name.", V + data(16, data(1, b"a\0b")), stage="source")
    malformed(to, "nul-close", "FR-2", "A NUL in a message.", V + data(4, data(2, b"\0")))
    malformed(to, "group-inside", "FR-5", "A group in a Pong.", V + data(6, num(1, 1) + group(9)))
    malformed(to, "control-too-long", "LM-4", "A Pong of more than 64 KiB, unknown fields included.",
              V + data(6, data(1000, bytes(65536))))


def steps(to):

    def step(name, rules, what, outcome, **more):
        malformed(to, name, rules, what, V + data(9, outcome), **more)

    first = num(1, 1) + num(3, 1)
    step("settle-tag-padded", "FR-5", "A tag in Settle with a byte too many.",
         tag(1, BYTES, pad=1) + varint(len(first)) + first)
    step("settle-length-padded", "FR-5", "A length in Settle with a byte too many.", data(1, first, pad=1))
    step("outcome-tag-padded", "FR-5", "A tag in an Outcome with a byte too many.",
         data(1,
              tag(1, VARINT, pad=1) + b"\x01" + num(3, 1)))
    step("emission-length-padded", "FR-5", "The length of an output with three bytes too many.",
         data(1, first + data(4, data(3, data(3, "x"), pad=3))))
    step("outcome-first-twice", "FR-5", "A singular field of an Outcome twice.", data(1, num(1, 1) + num(1, 1) + num(3, 1)))
    step("outcome-kind-twice", "FR-5", "Two kinds in one outcome.", data(1, num(1, 1) + num(3, 1) + num(3, 2)))
    step("outcome-error-twice", "FR-5", "Two errors.", data(1, num(1, 1) + num(3, 2) + data(6, b"") + data(6, b"")))
    step("output-twice", "FR-5", "Two outputs in one emission.", data(1, first + data(4, data(3, b"") + data(3, b""))))
    step("port-overflow", "FR-2", "Port 2^32, which must not pass for 0.", data(1, first + data(4, num(1, 2 ** 32))))
    step("delay-overflow", "FR-2", "A delay of 2^32 ms.", data(1, num(1, 1) + num(3, 3) + num(5, 2 ** 32)))
    step("error-code-overflow", "FR-2", "An error code of 2^32 + 1000.",
         data(1,
              num(1, 1) + num(3, 2) + data(6, num(1, 2 ** 32 + 1000))))
    step("outcome-wrong-type", "FR-2", "A first delivery of fixed width.", data(1, fixed64(1, 1) + num(3, 1)))
    step("outcomes-varint", "FR-2", "An outcome that is a number.", num(1, 1))
    step("error-utf8", "FR-2", "An error's text that is not UTF-8.",
         data(1,
              num(1, 1) + num(3, 2) + data(6, data(2, b"\xff"))))
    step("parents-truncated", "FR-2", "Packed parents that end within a number.",
         data(1, first + data(4, data(2, b"\x01\x80"))))
    step("parents-fixed", "FR-2", "Parents of fixed width.", data(1, first + data(4, fixed32(2, 1))))
    step("outcome-overruns", "FR-2", "An outcome that is longer than its Settle.", tag(1, BYTES) + b"\x05" + num(1, 1))
    step("settle-group", "FR-5", "A group in Settle.", data(1, first) + group(2))
    step("emission-group", "FR-5", "A group in an emission, beside its output.",
         data(1, first + data(4, group(6, num(1, 1)))))
    emit = data(1, "p") + num(2, 1)
    malformed(to, "emit-partition-twice", "FR-5", "Two partitions.", V + data(10, data(1, "p") + emit), stage="source")
    malformed(to, "emit-length-padded", "FR-5", "A partition whose length has a byte too many.",
              V + data(10,
                       data(1, "p", pad=1) + num(2, 1)), stage="source")
    malformed(to, "emit-checkpoint-too-long", "LM-3", "A checkpoint of 64 KiB and a byte.",
              V + data(10, emit + data(4, bytes(65537))), stage="source")
    malformed(to, "emit-trace-twice", "FR-5", "Two traces in one emission.", V + \
              data(10, emit + data(3, data(4, b"") + data(4, b""))), stage="source")


def outcomes(to):

    def invalid(name, rules, what, *fields):
        to.invalid(name, rules, what, frame("settle", data(1, b"".join(fields))), "INVALID_OUTCOME",
                   held=[1, 2, 3, 4, 5, 6, 7, 8])

    invalid("kind-unspecified", "ST-2", "An outcome without a kind.", num(1, 1))
    invalid("kind-explicit-zero", "ST-2", "Kind 0, written.", num(1, 1), num(3, 0))
    invalid("kind-unknown", "ST-2", "Kind 5.", num(1, 1), num(3, 5))
    invalid("kind-257", "ST-2", "Kind 257, which must not pass for 1.", num(1, 1), num(3, 257))
    for name, kind in (("rejected", 2), ("retry", 3), ("released", 4)):
        invalid(f"emissions-{name}", "ST-2", f"Emissions with {name.upper()}.", num(1, 1), num(3, kind), data(4, b""))
    invalid("range-reversed", "ST-1", "From 3 to 2.", num(1, 3), num(2, 2), num(3, 1))
    invalid("more-before-last", "ST-1", "A further range that begins within the first.", num(1, 1), num(2, 3), num(3, 1),
            data(7, num(1, 3)))
    invalid("more-descending", "ST-1", "Further ranges that do not ascend.", num(1, 1), num(3, 1), data(7, num(1, 5)),
            data(7, num(1, 3)))
    invalid("more-overlapping", "ST-1", "Further ranges that overlap.", num(1, 1), num(3, 1), data(
        7,
        num(1, 3) + num(2, 5)), data(7,
                                     num(1, 5) + num(2, 6)))
    invalid("more-reversed", "ST-1", "A further range from 6 to 4.", num(1, 1), num(3, 1), data(7, num(1, 6) + num(2, 4)))
    invalid("parent-foreign", "ST-4", "A parent that the outcome does not cover.", num(1, 1), num(3, 1), data(4, num(2, 2)))
    invalid("parent-twice", "ST-4", "A parent named twice.", num(1, 1), num(2, 2), num(3, 1),
            data(4, data(2, b"\x01\x02\x01")))
    to.invalid("port-unknown", "ST-4", "Port 7, where there is only port 0.",
               frame("settle", data(1,
                                    num(1, 1) + num(3, 1) + data(4, num(1, 7)))), "UNKNOWN_PORT", held=[1])
    to.invalid("credit-unknown-input", "CR-2", "Credit for input 7, where there is only input 0.",
               frame("credit",
                     num(1, 7) + num(2, 1)), "UNKNOWN_PORT")
    to.invalid("delivery-unknown", "ST-1", "Delivery 9, where eight were delivered.",
               frame("settle", data(1,
                                    num(1, 9) + num(3, 1))), "UNKNOWN_DELIVERY", held=[1, 2, 3, 4, 5, 6, 7, 8])
    to.invalid("delivery-zero", "ST-1 DE-1", "Delivery 0: ids begin at 1.", frame("settle", data(1, num(3, 1))),
               "UNKNOWN_DELIVERY", held=[1])
    to.invalid("delivery-twice", "ST-1 DE-4",
               "The same delivery in two outcomes of one frame: the first stands, the second closes.",
               frame("settle",
                     data(1,
                          num(1, 1) + num(3, 1)) * 2), "UNKNOWN_DELIVERY", held=[1])
    emit = num(2, 1)
    for name, rules, what, body, code in (("emit-partition-absent", "SO-1", "An Emit without a partition.",
                                           emit, "INVALID_PARTITION"), ("emit-partition-long",
                                                                        "SO-1", "A partition of 256 bytes.",
                                                                        data(1, "p" * 256) + emit, "INVALID_PARTITION"),
                                          ("emit-partition-utf8", "SO-1", "A partition that is not UTF-8.",
                                           data(1, b"\xff") + emit, "INVALID_PARTITION"),
                                          ("emit-parents", "SO-4", "Parents in an Emit.",
                                           data(1, "p") + emit + data(3, num(2, 1)), "INVALID_OUTCOME"),
                                          ("emit-gap", "SO-4", "Emit 2 as the first.", data(1, "p") + num(2, 2),
                                           "EMIT_OUT_OF_SEQUENCE"), ("emit-unclaimed",
                                                                     "SO-4", "For a partition that is not claimed.",
                                                                     data(1, "q") + emit, "NOT_CLAIMED")):
        to.invalid(name, rules, what, frame("emit", body), code, stage="source")
    to.invalid("claim-empty", "SO-1", "A Claim without a partition.", frame("claim", b""), "INVALID_PARTITION",
               stage="source")
    to.invalid("claim-long", "SO-1", "A partition of 256 bytes.", frame("claim", data(1, "p" * 256)), "INVALID_PARTITION",
               stage="source")


def floods(to):
    filtered = data(1, num(1, 1) + num(3, 1))
    to.invalid("flood-outcomes", "LM-4", "262,145 outcomes.", frame("settle", filtered * 262145), "FLOOD")
    to.invalid("flood-emissions", "LM-4", "262,145 emissions.",
               frame("settle", data(1,
                                    num(1, 1) + num(3, 1) + data(4, b"") * 262145)), "FLOOD")
    to.invalid("flood-parents", "LM-4", "262,145 parents.",
               frame("settle", data(1,
                                    num(1, 1) + num(3, 1) + data(4, data(2, b"\x01" * 262145)))), "FLOOD")
    to.invalid("flood-ranges", "LM-4", "262,145 further ranges.",
               frame("settle", data(1,
                                    num(1, 1) + num(3, 1) + data(7, num(1, 2)) * 262145)), "FLOOD")


def versions(to):
    for name, version in (("zero", 0), ("two", 2000), ("999", 999)):
        to.invalid(f"version-{name}", "VR-2", f"A frame of version {version}.", frame("ping", num(1, 1), version),
                   "UNSUPPORTED_VERSION")
    to.invalid("version-absent", "VR-1 VR-2", "A frame without version.", prefixed(data(5, num(1, 1))),
               "UNSUPPORTED_VERSION")
    to.invalid("version-before-message", "VR-2", "Another major and a Ping that is malformed: the version is judged first.",
               frame("ping", b"\x08", 2000), "UNSUPPORTED_VERSION")
    to.invalid("version-hello", "VR-2 VR-3", "A Hello of major 2.", frame("hello", num(1, 2000) + \
               num(2, 2000) + data(3, "normalise"), 2000), "UNSUPPORTED_VERSION", state="greeting")


def hellos(to):

    def hello(name, what, *fields, code="MALFORMED_HELLO", rules="HS-4", least=num(1, 1000), most=num(2, 1000)):
        to.invalid(name, rules, what, frame("hello", least + most + b"".join(fields)), code, state="greeting")

    stage = data(3, "normalise")
    hello("hello-wrong-type", "A stage that is a number.", num(3, 1))
    hello("hello-utf8", "A stage that is not UTF-8.", data(3, b"\xff"))
    hello("hello-instance-long", "An instance of 129 bytes.", stage, data(4, "i" * 129))
    hello("hello-version-long", "A stage version of 129 bytes.", stage, data(5, "v" * 129))
    hello("hello-sdk-long", "An SDK's name of 129 bytes.", stage, data(10, "s" * 129))
    hello("hello-65-features", "65 offers.", stage, data(6, "x-a") * 65)
    hello("hello-feature-long", "An offer of 129 bytes.", stage, data(6, "x-" + "a" * 127))
    hello("hello-range-reversed", "A range from 1001 to 1000.", stage, least=num(1, 1001))
    hello("hello-range-majors", "A range over two majors.", stage, most=num(2, 2000))
    hello("hello-minor-too-new", "From 1.5 to 1.7: no version in common.", stage, code="UNSUPPORTED_VERSION",
          rules="VR-3 HS-4", least=num(1, 1005), most=num(2, 1007))
    hello("hello-feature-required", "A required feature that nobody knows.", stage, data(7, "x-teleport"),
          code="UNSUPPORTED_FEATURE")
    hello("hello-feature-reserved", "A feature that has a name and no meaning yet.", stage, data(7, "state"),
          code="UNSUPPORTED_FEATURE", rules="HS-4 EX-1")
    hello("hello-stage-unknown", "No such stage.", data(3, "normalize"), code="UNKNOWN_STAGE")
    hello("hello-token-foreign", "A token that nobody was given.", stage, data(9, bytes(16)), code="UNAUTHENTICATED",
          rules="HS-4 HS-5")
    hello("hello-frame-small", "A worker that takes frames of 256 KiB less one.", stage, num(8, 262143),
          code="FRAME_LIMIT_TOO_SMALL", rules="LM-1 HS-4")
    hello("hello-order", "Too long an instance for an unknown stage: what comes first in HS-4 counts.", data(
        3, "normalize"), data(4, "i" * 129))


def order(to):
    for kind, body in (("ping", num(1, 1)), ("credit", num(2, 1)), ("settle", b""), ("extend", b"")):
        to.invalid(f"{kind}-before-welcome", "HS-2", f"{kind.capitalize()} as the first frame.", frame(kind, body),
                   "UNEXPECTED_MESSAGE", state="greeting")
    from_broker = {"welcome": num(1, 1000), "deliver": num(2, 1) + data(4, data(3, "x")), "committed": data(1, "p") + num(2, 1),
                   "settled": num(1, 1), "drain": num(1, 2), "runs": data(1, num(1, 1)), "claimed": data(1, "p") + num(2, 1)}
    for kind, body in from_broker.items():
        to.invalid(f"{kind}-from-worker", "HS-8", f"{kind.capitalize()}, which only the broker sends.", frame(kind, body),
                   "UNEXPECTED_MESSAGE")
    to.invalid("hello-again", "HS-8", "A second Hello.", frame("hello",
                                                               num(1, 1000) + num(2, 1000) + data(3, "normalise")),
               "UNEXPECTED_MESSAGE")
    for kind, body in (("claim", data(1, "p")), ("emit", data(1, "p") + num(2, 1)), ("finished", data(1, "p"))):
        to.invalid(f"{kind}-with-inputs", "HS-8", f"{kind.capitalize()} from a stage with inputs.", frame(kind, body),
                   "NOT_CLAIMED")


def to_worker(to):
    to.invalid("worker-length", "FR-4 LM-1", "A frame above the limit in force.", (4194305).to_bytes(4, "big"),
               "FRAME_TOO_LARGE", by="worker", limit=4194304)
    to.invalid("worker-version", "VR-3", "A Welcome with a version outside the worker's range.",
               frame("welcome", num(1, 1007)), "UNSUPPORTED_VERSION", by="worker", state="greeting")
    to.invalid("worker-major", "VR-3", "A Welcome of another major.", frame("welcome", num(1, 2000), 2000),
               "UNSUPPORTED_VERSION", by="worker", state="greeting")
    for name, rules, what, content in (("worker-length-zero", "FR-2", "A frame of nothing.",
                                        b""), ("worker-truncated", "FR-2", "A Deliver that ends within a record.",
                                               V + data(8,
                                                        num(2, 1) + tag(4, BYTES) + b"\x09" + data(3, "a"))),
                                       ("worker-varint", "FR-2", "A number of eleven bytes.",
                                        V + data(5, b"\x08" + b"\x80" * 10 + b"\x01")),
                                       ("worker-two-kinds", "FR-2", "A Ping and a Drain.", V + data(5, num(1, 1)) +
                                        data(14, num(1, 1))), ("worker-utf8", "FR-2", "A stage's name in Runs that is not UTF-8.",
             V + data(15, data(1, num(1, 1) + data(2, b"\xff")))),
                                       ("worker-field-zero", "FR-2", "Field number 0.", V + data(5, num(0, 1))),
                                       ("worker-group-open", "FR-2", "A group that does not end.", V + tag(1000, GROUP)),
                                       ("worker-number-overflow", "FR-2", "Deliveries from input 2^32.",
                                        V + data(8,
                                                 num(1, 2 ** 32) + num(2, 1) + data(4, b""))),
                                       ("worker-wire-type", "FR-2", "A Ping that is a number.",
                                        V + num(5, 1)), ("worker-fixed-truncated", "FR-2",
                                                         "Four bytes, three of which are there.",
                                                         V + tag(1000, FIXED32) + bytes(3))):
        malformed(to, name, rules, what, content, by="worker", otherwise=LIBRARY)

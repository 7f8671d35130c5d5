"""outputs-valid.json, outputs-invalid.json, traces.json: what stands in an Emission, as a worker writes it."""

from .assemble import BYTES, END_GROUP, FIXED32, FIXED64, GROUP, VARINT, data, fixed32, fixed64, group, num, tag, unknown, varint
from .form import Subject, times

U32, I64 = 2 ** 32 - 1, 2 ** 63 - 1


def valid_outputs():
    to = Subject("outputs-valid.json", "Record")
    to.valid("empty", "ST-4", "An empty record.", {}, key="")
    to.valid("payload", "RE-1", "A payload alone.", {"payload": "x"}, key="")
    to.valid("payload-binary", "RE-1", "The payload is never looked into.", {"payload": "0x0a001b80ff"}, key="")
    to.valid("payload-explicit", "RE-1", "An empty payload, written.", {}, data(3, b""), key="")
    to.valid("header-explicit", "RE-2", "An empty header.", {"header": {}}, key="")
    to.valid(
        "full", "RE-2", "Every field.", {
            "header": {
                "schema": "größe.水", "schema_version": U32, "key": "sensor-7",
                "event_time": -1, "content_type": "text/plain", "attributes": [{"name": "t", "text": "ü"}, {
                    "name": "i", "integer": -2 ** 63
                }, {"name": "n", "number": 21.5}, {"name": "f", "flag": True}, {"name": "absent"}]
            }, "payload": "y"
        }, key="sensor-7")
    limits(to)
    encodings(to)
    return to


def limits(to):
    to.valid("key-longest", "RE-4", "A key of 1 KiB.", {"header": {"key": times("k", 1024)}}, key=times("k", 1024))
    to.valid("key-binary", "RE-2", "A key that is no text.", {"header": {"key": "0xff00"}}, key="0xff00")
    to.valid("key-explicit", "OR-1", "An empty key, written: no key.", {"header": {}}, data(2, data(3, b"")), key="")
    to.valid("attributes-64", "RE-4", "64 attributes.",
             {"header": {"attributes": [{"name": f"a{n}", "flag": False} for n in range(64)]}}, key="")
    # 3 bytes of tag and length for content_type: 16,384 in all.
    to.valid("header-longest", "RE-4", "A header of 16 KiB.", {"header": {"content_type": times("c", 16381)}}, key="")
    to.valid("schema-nul", "FR-2", "A NUL in a string of an output is text.", {"header": {"schema": "a\u0000b"}}, key="")
    to.valid("schema-highest", "RE-4", "U+10FFFF, the last code point, and the ends of each length of UTF-8.",
             {"header": {"schema": "\u007f\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"}}, key="")


def encodings(to):
    to.valid("reversed", "RE-1", "Payload before header, the header's fields from the last to the first.", {
        "header": {"schema": "a", "schema_version": 1, "key": "k", "attributes": [{"name": "n", "text": "v"}]},
        "payload": "p"
    },
             data(3, "p") + data(2,
                                 data(6,
                                      data(2, "v") + data(1, "n")) + data(3, "k") + num(2, 1) + data(1, "a")), key="k")
    to.valid("explicit-zeros", "RE-4", "Zeros that encoders leave out, written.", {"header": {}},
             data(2,
                  data(1, b"") + num(2, 0) + data(3, b"") + fixed64(4, 0) + data(5, b"")) + data(3, b""), key="")
    to.valid("number-padded", "RE-4",
             "Numbers that are longer than they need to be: the rule is about tags, lengths and flags.",
             {"header": {"schema_version": 5, "attributes": [{"name": "i", "integer": 1}]}},
             data(2,
                  num(2, 5, pad=2) + data(6,
                                          data(1, "i") + num(3, 2, pad=7))), key="")
    to.valid("flag-false", "RE-4", "A flag that is one byte 0.", {"header": {"attributes": [{"flag": False}]}},
             data(2, data(6, num(5, 0))), key="")
    to.valid(
        "unknown-fields", "RE-4", "Unknown fields of every wire type in record, header and attribute, before and behind.",
        {"header": {"key": "k", "attributes": [{"name": "n", "integer": 3}]}, "payload": "p"},
        unknown(16) +
        data(2,
             unknown(7) + data(3, "k") + data(6,
                                              unknown(6) + data(1, "n") + num(3, 6) + unknown()) + unknown()) +
        data(3, "p") + unknown(), key="k")
    to.valid("unknown-reserved", "RE-4 EX-1", "Record's reserved fields, 4 to 15.", {}, b"".join(
        data(n, "later") for n in range(4, 16)), key="")
    to.valid("unknown-twice", "RE-4", "An unknown field may come often.", {}, num(16, 1) * 5, key="")
    to.valid("unknown-largest", "RE-4", "The largest field number.", {}, num(2 ** 29 - 1, 0), key="")
    to.valid("unknown-opaque", "RE-4", "The content of an unknown field is not looked into: a group would stand in it.", {},
             data(16,
                  tag(1, GROUP) + b"\xff"), key="")
    to.valid("attribute-names-twice", "RE-2", "Two attributes with one name.",
             {"header": {"attributes": [{"name": "a", "integer": 1}, {"name": "a", "flag": True}]}}, key="")
    to.valid("attribute-nan", "RE-2", "A double that is not a number.",
             {"header": {"attributes": [{"name": "n", "number": "NaN"}]}}, key="")


def invalid_outputs():
    to = Subject("outputs-invalid.json", "Record")

    def invalid(name, what, content, rules="RE-4"):
        to.invalid(name, rules, what, content, "INVALID_OUTPUT")

    lineage_and_types(invalid)
    repeats_and_groups(invalid)
    numbers_and_forms(invalid)
    texts_and_limits(invalid)
    return to


def lineage_and_types(invalid):
    invalid("lineage", "A lineage of the worker's own.", data(1, data(1, bytes(16))) + data(3, "x"), "RE-3 RE-4")
    invalid("lineage-empty", "An empty lineage is one, too.", data(1, b""), "RE-3 RE-4")
    invalid("lineage-behind", "A lineage behind header and payload.",
            data(2, data(1, "a")) + data(3, "x") + data(1, b""), "RE-3 RE-4")
    invalid("lineage-varint", "Field 1 as a number.", num(1, 1))
    invalid("lineage-padded", "A lineage behind a tag that is not minimal, where a comparison of bytes would not see it.",
            tag(1, BYTES, pad=1) + b"\x00")
    for name, content in (("header-varint", num(2, 0)), ("header-fixed", fixed64(2, 0)), ("payload-fixed", fixed32(
            3, 0)), ("payload-varint", num(3, 1))):
        invalid(f"type-{name}", f"{name.split('-')[0].capitalize()} with another wire type.", content)
    for name, content in (("schema", num(1, 1)), ("schema-version", data(2, b"\x01")), ("schema-version-fixed", fixed32(
            2, 1)), ("key", num(3, 1)), ("event-time", num(4, 1)), ("event-time-fixed32", fixed32(
                4, 1)), ("content-type", fixed64(5, 1)), ("attribute", num(6, 1))):
        invalid(f"type-{name}", f"In the header: {name.replace('-', ' ')} with another wire type.", data(2, content))
    for name, content in (("name", num(1, 1)), ("text", num(2, 1)), ("integer", data(
            3, b"\x01")), ("integer-fixed", fixed64(3, 1)), ("number", num(4, 1)), ("number-fixed32", fixed32(
                4, 1)), ("flag", data(5, b"\x01")), ("flag-fixed", fixed32(5, 1))):
        invalid(f"type-attribute-{name}", f"In an attribute: {name.replace('-', ' ')} with another wire type.",
                data(2, data(6, content)))


def repeats_and_groups(invalid):
    invalid("twice-header", "Two headers.", data(2, b"") * 2)
    invalid("twice-header-apart", "Two headers around the payload, which libraries would merge.",
            data(2, data(3, "a")) + data(3, "x") + data(2, data(3, "b")))
    invalid("twice-payload", "Two payloads.", data(3, "a") + data(3, "b"))
    for name, content in (("schema", data(1, "a")), ("schema-version", num(2, 1)), ("key", data(
            3, "k")), ("event-time", fixed64(4, 1)), ("content-type", data(5, "c"))):
        invalid(f"twice-{name}", f"In the header: {name.replace('-', ' ')} twice.", data(2, content * 2))
    invalid("twice-name", "Two names in an attribute.", data(2, data(6, data(1, "n") * 2)))
    invalid("twice-text", "Two texts in an attribute.", data(2, data(6, data(1, "n") + data(2, "a") * 2)))
    invalid("second-value", "A text and an integer: libraries keep the last.",
            data(2, data(6,
                         data(1, "n") + data(2, "a") + num(3, 1))))
    invalid("second-value-zero", "A flag and a number of zero.", data(2, data(6, num(5, 0) + fixed64(4, 0))))
    for name, wrap in (("record", lambda x: x), ("header", lambda x: data(2, x)), ("attribute",
                                                                                   lambda x: data(2, data(6, x)))):
        invalid(f"group-{name}", f"A group at the level of the {name}.", wrap(group(16, num(1, 1))))
        invalid(f"group-known-{name}", f"A known field that is a group, at the level of the {name}.", wrap(group(2)))
        invalid(f"group-open-{name}", f"A group that does not end, at the level of the {name}.", wrap(tag(16, GROUP)))
        invalid(f"group-end-{name}", f"The end of a group, at the level of the {name}.", wrap(tag(16, END_GROUP)))
        invalid(f"wire-type-{name}", f"A wire type that does not exist, at the level of the {name}.", wrap(tag(16, 7)))
        invalid(f"field-zero-{name}", f"Field number 0, at the level of the {name}.", wrap(num(0, 1)))
        invalid(f"field-too-large-{name}", f"Field number 2^29, at the level of the {name}.", wrap(num(2 ** 29, 1)))
        invalid(f"tag-padded-{name}", f"An unknown field whose tag has a byte too many, at the level of the {name}.",
                wrap(tag(16, VARINT, pad=1) + b"\x01"))
        invalid(f"tag-known-padded-{name}", f"A known field whose tag has a byte too many, at the level of the {name}.",
                wrap(tag({"record": 3, "header": 3, "attribute": 2}[name], BYTES, pad=1) + b"\x00"))
        invalid(f"length-padded-{name}", f"A length with a byte too many, at the level of the {name}.",
                wrap(data({"record": 3, "header": 3, "attribute": 2}[name], "a", pad=1)))
        invalid(f"length-unknown-padded-{name}",
                f"An unknown field whose length has a byte too many, at the level of the {name}.", wrap(data(
                    16, "a", pad=1)))
        invalid(f"overrun-{name}", f"A length that overruns the {name}.",
                wrap(tag({"record": 3, "header": 3, "attribute": 2}[name], BYTES) + b"\x02a"))
        invalid(f"overrun-unknown-{name}", f"The length of an unknown field that overruns the {name}.",
                wrap(tag(16, BYTES) + b"\x01"))
        invalid(f"truncated-{name}", f"The {name} ends behind a tag.", wrap(tag(16, VARINT)))
        invalid(f"truncated-fixed-{name}", f"The {name} ends within eight fixed bytes.", wrap(tag(16, FIXED64) + bytes(7)))
        invalid(f"truncated-fixed32-{name}", f"The {name} ends within four fixed bytes.", wrap(tag(16, FIXED32) + bytes(3)))
        invalid(f"varint-65-bits-{name}", f"An unknown number that does not fit 64 bits, at the level of the {name}.",
                wrap(tag(16, VARINT) + b"\xff" * 9 + b"\x02"))


def numbers_and_forms(invalid):
    invalid("schema-version-33-bits", "A schema version of 2^32, which libraries cut to 0.", data(2, num(2, 2 ** 32)))
    invalid("schema-version-64-bits", "A schema version of 2^64 - 1.", data(2, num(2, 2 ** 64 - 1)))
    invalid("schema-version-11-bytes", "A schema version of eleven bytes.", data(2,
                                                                                 tag(2, VARINT) + b"\x80" * 10 + b"\x01"))
    invalid("integer-65-bits", "An integer that does not fit 64 bits.",
            data(2, data(6,
                         tag(3, VARINT) + b"\xff" * 9 + b"\x02")))
    invalid("flag-two", "A flag of 2.", data(2, data(6, num(5, 2))))
    invalid("flag-padded-one", "A flag of 1 in two bytes.", data(2, data(6, num(5, 1, pad=1))))
    invalid("flag-padded-zero", "A flag of 0 in two bytes.", data(2, data(6, num(5, 0, pad=1))))
    invalid("flag-2-to-32", "A flag of 2^32, which libraries may cut to 0.", data(2, data(6, num(5, 2 ** 32))))
    invalid("flag-truncated", "A flag without its byte.", data(2, data(6, tag(5, VARINT))))
    invalid("event-time-truncated", "Seven bytes of an event time.", data(2, tag(4, FIXED64) + bytes(7)))
    invalid("number-truncated", "Seven bytes of a double.", data(2, data(6, tag(4, FIXED64) + bytes(7))))
    invalid("header-overruns", "A header that is longer than its record.", tag(2, BYTES) + b"\x05" + data(1, "a"))
    invalid("attribute-overruns", "An attribute that is longer than its header.",
            data(2,
                 tag(6, BYTES) + b"\x05" + data(1, "a")) + data(3, "abc"))
    invalid("length-64-bits", "A payload of 2^64 - 1 bytes.", tag(3, BYTES) + varint(2 ** 64 - 1))
    invalid("length-32-bits", "A payload of 2^32 bytes, which must not pass for 0.", tag(3, BYTES) + varint(2 ** 32))
    invalid("text-for-a-record", "Text where a record should be.", b"hello")


def texts_and_limits(invalid):
    wrong = (("ff", b"\xff", "a byte that UTF-8 does not have"), ("overlong", b"\xc0\x80", "an overlong NUL"),
             ("overlong-3", b"\xe0\x80\xaf", "an overlong slash"), ("surrogate", b"\xed\xa0\x80",
                                                                    "half of a surrogate pair"),
             ("beyond", b"\xf4\x90\x80\x80", "a code point above U+10FFFF"), ("continuation", b"a\x80",
                                                                              "a continuation without a start"),
             ("cut", b"abc\xe6\xb0", "a character that is cut off"), ("late", b"a" * 40 + b"\xff" + b"a" * 7,
                                                                      "one bad byte in a long text"))
    for name, text, what in wrong:
        invalid(f"utf8-{name}", f"A schema with {what}.", data(2, data(1, text)))
    invalid("utf8-content-type", "A content type that is not UTF-8.", data(2, data(5, b"\xfe")))
    invalid("utf8-name", "An attribute's name that is not UTF-8.", data(2, data(6, data(1, b"\xc3"))))
    invalid("utf8-text", "An attribute's text that is not UTF-8.", data(2, data(6,
                                                                                data(1, "n") + data(2, b"\xed\xbf\xbf"))))
    invalid("key-too-long", "A key of 1,025 bytes.", data(2, data(3, b"k" * 1025)))
    invalid("attributes-65", "65 attributes.", data(2, data(6, data(1, "n")) * 65))
    invalid("attributes-65-empty", "65 attributes, all of them empty.", data(2, data(6, b"") * 65))
    invalid("header-too-long", "A header of 16 KiB and a byte.", data(2, data(5, b"c" * 16382)))
    invalid("header-too-long-unknown", "A header that unknown fields make too long.", data(2, data(1000, bytes(16384))))


def traces():
    to = Subject("traces.json", "TraceContext")
    parent, state = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1,b=2"
    to.valid("both", "RE-5", "A trace context.", {"traceparent": parent, "tracestate": state})
    to.valid("longest", "RE-5", "64 and 512 bytes: 581 encoded.", {"traceparent": "p" * 64, "tracestate": times("s", 512)})
    to.valid("any-text", "RE-5", "The broker does not interpret it.", {"traceparent": "größe", "tracestate": ""})
    to.valid("reversed", "RE-5", "The fields in another order.", {"traceparent": parent, "tracestate": state},
             data(2, state) + data(1, parent))
    to.valid("unknown-fields", "RE-5", "Unknown fields within 581 bytes.", {"traceparent": parent},
             unknown() + data(1, parent))

    def invalid(name, what, content):
        to.invalid(name, "RE-5", what, content, "INVALID_OUTPUT")

    invalid("traceparent-too-long", "A traceparent of 65 bytes.", data(1, "p" * 65))
    invalid("tracestate-too-long", "A tracestate of 513 bytes.", data(2, "s" * 513))
    # 2 + 64 of the traceparent, 3 + 510 of the tracestate, 3 of the unknown field
    invalid("too-long", "582 bytes, by an unknown field.", data(1, "p" * 64) + data(2, "s" * 510) + num(16, 1))
    invalid("utf8", "A traceparent that is not UTF-8.", data(1, b"\xff"))
    invalid("utf8-state", "A tracestate that is not UTF-8.", data(2, b"a\xc3"))
    invalid("twice", "Two traceparents.", data(1, "a") * 2)
    invalid("type", "A traceparent that is a number.", num(1, 1))
    invalid("group", "A group.", group(3))
    invalid("tag-padded", "A tag that is not minimal.", tag(1, BYTES, pad=1) + b"\x01a")
    invalid("length-padded", "A length that is not minimal.", data(1, "a", pad=1))
    invalid("overrun", "A length that overruns.", tag(1, BYTES) + b"\x02a")
    return to

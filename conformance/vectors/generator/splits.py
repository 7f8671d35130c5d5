"""splits.json: streams of bytes and the frames in them, however they arrive."""

from .form import Subject, compress, encode, times

PING = {"version": 1000, "ping": {"nonce": 7}}
DRAIN = {"version": 1000, "drain": {"reason": "DRAIN_REASON_SHUTDOWN", "deadline_ms": 30000}}
EMPTY = {"version": 1000}
DELIVER = {"version": 1000, "deliver": {"first_delivery": 1, "records": [{"payload": "a"}, {"payload": "bc"}]}}
LARGE = {"version": 1000, "deliver": {"first_delivery": 3, "records": [{"payload": times("p", 70000)}]}}
NEWLINES = {"version": 1000, "deliver": {"first_delivery": 1, "records": [{"payload": "\n\r\n\u0000\u0004"}]}}


def build():
    to = Subject("splits.json")

    def stream(name, rules, what, frames, rest=b"", **more):
        encoded = [encode(meaning) for meaning in frames]
        placed, at = [], 0
        for meaning, content in zip(frames, encoded):
            placed.append({"at": at, "length": len(content) - 4, "json": meaning})
            at += len(content)
        to.add(name, rules, what, limit=more.pop("limit", 4194304), hex=compress(b"".join(encoded) + rest), frames=placed,
               rest=len(rest), **more)

    stream("none", "FR-1", "Nothing: no frame, and no fault.", [])
    stream("one", "FR-1", "One frame.", [PING])
    stream("two", "FR-1", "Two frames, often in one read.", [PING, DRAIN])
    stream("many", "FR-1", "200 frames.", [PING, DELIVER] * 100)
    stream("sizes", "FR-1", "A large frame between small ones.", [PING, LARGE, PING, DELIVER])
    stream("short-frames", "FR-1 FR-3", "Frames of three bytes: a buffer holds parts of several.",
           [EMPTY, EMPTY, PING, EMPTY])
    stream("awkward-bytes", "FR-1", "Line ends, zeros and EOT in a payload: nothing but the length ends a frame.",
           [NEWLINES, NEWLINES])
    stream("rest-1", "FR-1", "One byte of the next prefix.", [PING], bytes(1))
    stream("rest-3", "FR-1", "Three bytes of the next prefix.", [PING, DRAIN], bytes(3))
    stream("rest-prefix", "FR-1", "A prefix alone.", [PING], (9).to_bytes(4, "big"))
    stream("rest-frame", "FR-1", "A frame that lacks its last byte.", [DELIVER], encode(DELIVER)[:-1])
    stream("rest-large", "FR-1 FR-4", "The prefix of a frame of exactly the limit, and little of it.", [PING],
           (4194304).to_bytes(4, "big") + b"\x08\xe8")
    exact = len(encode(DELIVER)) - 4
    stream("limit-reached", "FR-4 LM-1", "A frame of exactly the limit.", [DELIVER, PING], limit=exact)
    refused = {"code": "FRAME_TOO_LARGE"}
    stream("limit-exceeded", "FR-4 LM-1",
           "A frame of one byte more than the limit, behind one within it: refused when its prefix is "
           "complete.", [PING], encode(DELIVER), limit=exact - 1, invalid=refused)
    stream("limit-exceeded-prefix", "FR-4", "The same without a byte behind the prefix.", [PING], (4194305).to_bytes(
        4, "big"), invalid=refused)
    stream("limit-sign", "FR-4", "A length whose highest bit is set: it has no sign.", [PING], b"\x80\0\0\0",
           invalid=refused)
    stream("length-zero", "FR-2", "A frame of nothing behind a good one.", [PING], bytes(4),
           invalid={"code": "MALFORMED_FRAME"})
    stream("length-zero-first", "FR-2", "Four zero bytes, and then a frame that is not looked at.", [],
           bytes(4) + encode(PING), invalid={"code": "MALFORMED_FRAME"})
    return to

"""exit-codes.json: what a worker receives, and how its process ends (EN-5, ER-3)."""

from .assemble import BYTES, VARINT, data, frame, num, prefixed, tag, unknown, varint
from .form import Subject, compress, encode

# Numbers, names and the column "Retry" of PROTOCOL.md, "Codes"; Tests/ConformanceVectors compares them with it.
CODES = {
    "OK": 0,
    "MALFORMED_FRAME": 100,
    "FRAME_TOO_LARGE": 101,
    "UNSUPPORTED_VERSION": 102,
    "UNSUPPORTED_FEATURE": 103,
    "HANDSHAKE_TIMEOUT": 104,
    "IDLE_TIMEOUT": 105,
    "UNAUTHENTICATED": 106,
    "UNEXPECTED_MESSAGE": 107,
    "FLOOD": 108,
    "FRAME_LIMIT_TOO_SMALL": 109,
    "TOO_MANY_CONNECTIONS": 110,
    "MALFORMED_HELLO": 111,
    "UNKNOWN_STAGE": 200,
    "DUPLICATE_INSTANCE": 201,
    "STAGE_FULL": 202,
    "CREDIT_EXCEEDED": 203,
    "UNKNOWN_PORT": 204,
    "UNKNOWN_DELIVERY": 205,
    "INVALID_OUTCOME": 206,
    "LEASE_EXPIRED": 207,
    "FENCED": 208,
    "EMIT_OUT_OF_SEQUENCE": 209,
    "NOT_CLAIMED": 210,
    "SHUTTING_DOWN": 211,
    "DRAIN_DEADLINE": 212,
    "INVALID_PARTITION": 213,
    "REJECTED": 300,
    "ATTEMPTS_EXHAUSTED": 301,
    "EXPIRED": 302,
    "CRASHED": 303,
    "OUTPUT_TOO_LARGE": 304,
    "STEP_TOO_LARGE": 305,
    "INVALID_OUTPUT": 306,
}
RETRYABLE = {104, 105, 110, 201, 202, 207, 211, 212}


def build():
    to = Subject("exit-codes.json")

    def ends(name, rules, what, hex, exit, retryable=False, **more):
        to.add(name, rules, what, hex=compress(hex), exit=exit, retryable=retryable, **more)

    def close(name, rules, what, code, message, exit, version=1000, **more):
        fields = {"code": code, "message": message} if code else {"message": message} if message else {}
        meaning = {"version": version, "close": fields}
        ends(name, rules, what, encode(meaning), exit, json=meaning, **more)

    close("ok", "EN-5", "Close(0): the broker is done with this worker.", 0, "", 0)
    close("ok-with-message", "EN-5", "Close(0) with a sentence is a normal end all the same.", 0, "the stage has ended", 0)
    for code_name, code in list(CODES.items())[1:]:
        retryable = code in RETRYABLE
        what = "retryable: exit 1, or connect again" if retryable else "not retryable: the sentence goes to standard error"
        # 300 and up stand in Error; a worker that gets one in Close treats it as any code.
        rules = "EN-5" if code < 300 else "EN-5 ER-1"
        close(code_name.lower().replace("_", "-"), rules, f"{code_name}, {what}.", code, f"what happened, for {code_name}",
              1 if retryable else 2, retryable=retryable)
    for code in (1, 99, 112, 214, 999, 1000, 2 ** 32 - 1):
        close(f"unknown-{code}", "EN-5 ER-3", f"Code {code}, which nobody knows: not retryable.", code, "a sentence", 2)
    close("no-message", "EN-5 ER-2", "A broker that broke ER-2: no sentence to print.", 200, "", 2)
    close("control-characters", "EN-5 LM-5", "The sentence is printed with its control characters escaped.", 200,
          "no\u001b[2Jsuch\nstage", 2)
    close("other-major", "VR-2 EN-5", "A Close of another major has the same fields.", 102, "this broker speaks 2000", 2,
          version=2000)
    close("other-major-ok", "VR-2 EN-5", "Close(0) of another major.", 0, "", 0, version=7000)
    ends("unknown-fields", "FR-3 EN-5", "A Close with fields of a later version.",
         frame("close",
               unknown(3) + num(1, 211) + data(2, "later")), 1, retryable=True)
    ends("close-padded", "FR-5 EN-5", "Tags, lengths and numbers longer than they need to be are protobuf all the same.",
         prefixed(num(1, 1000) + tag(4, BYTES, pad=2) + varint(6, pad=1) + tag(1, VARINT, pad=2) + varint(211, pad=1)), 1,
         retryable=True)
    ends("eof", "EN-5", "EOF without Close. A worker that is not spawned may connect again.", b"", 1, eof=True)
    ends("eof-in-prefix", "EN-5 FR-1", "EOF within a length.", b"\0\0", 1, eof=True)
    ends("eof-in-frame", "EN-5 FR-1", "EOF within a Close: it was not received.",
         encode({"version": 1000, "close": {}})[:-1], 1, eof=True)
    ends("length-above-limit", "FR-4 EN-5",
         "A frame above the limit: the worker closes with FRAME_TOO_LARGE, which is not retryable.", b"\xff\xff\xff\xff", 2,
         closes="FRAME_TOO_LARGE")
    return to

"""The numbers of the protocol that a worker meets: `docs/PROTOCOL.md`, "Codes" and "Limits"."""

PROTOCOL_VERSION = 1000  # major * 1000 + minor

OK = 0
MALFORMED_FRAME = 100
FRAME_TOO_LARGE = 101
UNSUPPORTED_VERSION = 102
OUTPUT_TOO_LARGE = 304
STEP_TOO_LARGE = 305
INVALID_OUTPUT = 306
APPLICATION = 1000  # this and above belong to applications

# Connecting again, unchanged, can help: handshake and idle timeouts, too many connections, duplicate
# instance, stage full, lease expired, shutting down, drain deadline.
RETRYABLE = frozenset({104, 105, 110, 201, 202, 207, 211, 212})

ACCEPTED = 1
REJECTED = 2
RETRY = 3
RELEASED = 4

MAX_TEXT = 8 * 1024  # bytes of a message to a person
MAX_CHECKPOINT = 64 * 1024  # bytes
MAX_KEY = 1024  # bytes
MAX_ATTRIBUTES = 64
MAX_HEADER = 16 * 1024  # bytes
MAX_PARTITION = 255  # bytes
MAX_FRAME = 64 * 1024 * 1024  # bytes: the protocol's ceiling, the broker chooses what is below it


def printable(text: str) -> str:
    """A text from the other side, cut and with control characters escaped (LM-5)."""
    cut = text[:MAX_TEXT]
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut)

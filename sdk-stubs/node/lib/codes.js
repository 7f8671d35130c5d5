// The numbers of the protocol that a worker meets: docs/PROTOCOL.md, "Codes" and "Limits".

/** Major * 1000 + minor. */
export const PROTOCOL_VERSION = 1000;

export const OK = 0;
export const MALFORMED_FRAME = 100;
export const FRAME_TOO_LARGE = 101;
export const UNSUPPORTED_VERSION = 102;
export const OUTPUT_TOO_LARGE = 304;
export const STEP_TOO_LARGE = 305;
export const INVALID_OUTPUT = 306;
/** This and above belong to applications. */
export const APPLICATION = 1000;

// Handshake and idle timeouts, too many connections, duplicate instance, stage full, lease expired, shutting
// down, drain deadline: connecting again, unchanged, can help.
export const RETRYABLE = new Set([104, 105, 110, 201, 202, 207, 211, 212]);

// Outcome.kind
export const ACCEPTED = 1;
export const REJECTED = 2;
export const RETRY = 3;
export const RELEASED = 4;

// Input.ordering; whatever else comes is treated as TOTAL (HS-6).
export const ORDERING_KEY = 1;
export const ORDERING_NONE = 2;

// Drain.reason; whatever else comes is treated as a shutdown (EN-3).
export const INPUT_ENDED = 1;

/** Bytes of a message to a person. */
export const MAX_TEXT = 8 * 1024;
export const MAX_CHECKPOINT = 64 * 1024;
export const MAX_PARTITION = 255;
/** Bytes of a frame: the protocol's ceiling; the broker chooses what is below it. */
export const MAX_FRAME = 64 * 1024 * 1024;
/** Bytes of a frame that the broker may send before Welcome, while nothing is negotiated yet. */
export const DEFAULT_FRAME = 4 * 1024 * 1024;

/**
 * A text from the other side or from a handler, cut and with control characters escaped (LM-5).
 * @param {string} text
 */
export function printable(text) {
  return text
    .slice(0, MAX_TEXT)
    // eslint-disable-next-line no-control-regex
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (c) =>
      c === '\n' ? '\\n' : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

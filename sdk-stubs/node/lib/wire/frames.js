// Frames: a big-endian u32 length, then one Envelope. Cutting a stream into them, and writing the rare ones.

import { PROTOCOL_VERSION } from '../codes.js';
import { BYTES, Reader } from './reader.js';
import { Envelope, encode } from './messages.js';

const PREFIX = 4;

/** A length above the limit in force. */
export class FrameTooLarge extends Error {}

/** Cuts a byte stream into frames, each in a buffer of its own that views into it may keep. */
export class FrameAssembler {
  /** @param {number} limit bytes of one frame; may be changed between frames */
  constructor(limit) {
    this.limit = limit;
    this.prefix = Buffer.alloc(PREFIX);
    this.prefixed = 0;
    /** @type {Buffer | null} the unfinished frame */
    this.frame = null;
    this.filled = 0;
  }

  /**
   * Takes the next bytes, which may be overwritten afterwards, and hands every completed frame to `deliver`,
   * until that returns false. Throws FrameTooLarge at the prefix of a frame over the limit, before anything is
   * allocated for it.
   * @param {Buffer} chunk
   * @param {number} length how much of `chunk` counts
   * @param {(frame: Buffer) => boolean} deliver
   */
  feed(chunk, length, deliver) {
    let at = 0;
    while (at < length) {
      if (this.frame === null) {
        this.prefix[this.prefixed++] = chunk[at++];
        if (this.prefixed < PREFIX) continue;
        this.#begin();
      }
      const frame = /** @type {Buffer} */ (this.frame);
      const count = Math.min(frame.length - this.filled, length - at);
      chunk.copy(frame, this.filled, at, at + count);
      this.filled += count;
      at += count;
      if (this.filled < frame.length) return;
      this.frame = null;
      if (!deliver(frame)) return;
    }
  }

  #begin() {
    const size = this.prefix.readUInt32BE(0);
    if (size > this.limit) throw new FrameTooLarge(`a frame of ${size} bytes; the limit is ${this.limit}`);
    this.frame = Buffer.allocUnsafe(size);
    this.filled = 0;
    this.prefixed = 0;
  }
}

/**
 * The frame's version and the place of its message. `kind` is a field of Envelope, 0 when none is known.
 * @param {Buffer} frame
 */
export function openEnvelope(frame) {
  const reader = new Reader(frame);
  const found = { version: 0, kind: 0, start: 0, end: 0 };
  while (!reader.done) {
    const tag = reader.tag();
    const number = tag >>> 3;
    if (tag === 8) {
      reader.varint();
      found.version = reader.low;
    } else if ((tag & 7) === BYTES && number > 1 && Envelope.byNumber.has(number)) {
      found.start = reader.span();
      found.end = reader.at;
      found.kind = number;
    } else {
      reader.skip(tag);
    }
  }
  return found;
}

/**
 * A whole frame with a control message: `frame({ pong: { nonce: 1 } })`.
 * @param {object} message
 */
export function frame(message) {
  const body = encode(Envelope, { version: PROTOCOL_VERSION, ...message });
  const whole = Buffer.allocUnsafe(PREFIX + body.length);
  whole.writeUInt32BE(body.length, 0);
  body.copy(whole, PREFIX);
  return whole;
}

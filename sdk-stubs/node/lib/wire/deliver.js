// The fast path in: a Deliver's records are only located. What a handler asks for is decoded when it asks.

import { BYTES, Reader, VARINT, WireError } from './reader.js';

/** The records of one Deliver frame. */
export class Batch {
  /**
   * @param {Buffer} frame
   * @param {number} start of the Deliver in `frame`
   * @param {number} end
   */
  constructor(frame, start, end) {
    this.frame = frame;
    this.input = 0;
    /** Delivery id of the first record. */
    this.first = 0;
    /** @type {number[]} one for each record; empty: all are first attempts */
    this.attempts = [];
    /** @type {number[]} start and end of each record, alternating */
    this.bounds = [];
    /** Encoded size of all records, as credit counts it. */
    this.bytes = 0;
    this.#locate(new Reader(frame, start, end));
  }

  get count() {
    return this.bounds.length >> 1;
  }

  /** @param {Reader} reader */
  #locate(reader) {
    const { bounds } = this;
    while (!reader.done) {
      const tag = reader.uint32();
      if (tag === 0x22) {
        const start = reader.span();
        bounds.push(start, reader.at);
        this.bytes += reader.at - start;
      } else if (tag === 0x08) {
        reader.varint();
        this.input = reader.low;
      } else if (tag === 0x10) {
        this.first = Number(reader.uint64());
      } else if (tag >>> 3 === 3) {
        this.#readAttempts(reader, tag);
      } else if (tag < 8) {
        throw new WireError('a field with number 0');
      } else {
        reader.skip(tag);
      }
    }
  }

  /**
   * Packed or not (FR-5).
   * @param {Reader} reader
   * @param {number} tag
   */
  #readAttempts(reader, tag) {
    if ((tag & 7) === VARINT) {
      this.attempts.push(reader.uint32());
    } else if ((tag & 7) === BYTES) {
      const packed = new Reader(reader.buffer, reader.span(), reader.at);
      while (!packed.done) this.attempts.push(packed.uint32());
    } else {
      reader.skip(tag);
    }
  }
}

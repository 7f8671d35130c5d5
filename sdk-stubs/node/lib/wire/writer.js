// Writing protobuf into a Buffer: sizes first, so that every length is minimal and nothing is moved.

const TWO_32 = 0x1_0000_0000;

/**
 * Bytes of a varint.
 * @param {number} value 0 to 2^53 - 1
 */
export function varintSize(value) {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  if (value < 0x1000_0000) return 4;
  if (value < 0x8_0000_0000) return 5;
  if (value < 0x400_0000_0000) return 6;
  if (value < 0x2_0000_0000_0000) return 7;
  return 8;
}

/**
 * Writes a varint; where it ends.
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} value 0 to 2^53 - 1
 */
export function putVarint(buffer, at, value) {
  // Above 31 bits the bit operators would wrap: divide until they do not.
  while (value >= 0x8000_0000) {
    buffer[at++] = (value % 0x80) | 0x80;
    value = Math.floor(value / 0x80);
  }
  while (value >= 0x80) {
    buffer[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  buffer[at++] = value;
  return at;
}

/**
 * Copies `source[start, end)` to `target[at...]`; where it ends. Short pieces by hand: a native copy costs as
 * much as 60 bytes of the loop before it begins.
 * @param {Buffer} target
 * @param {number} at
 * @param {Buffer} source
 * @param {number} start
 * @param {number} end
 */
export function putBytes(target, at, source, start, end) {
  if (end - start > 48) {
    source.copy(target, at, start, end);
    return at + end - start;
  }
  for (let i = start; i < end; i++) target[at++] = source[i];
  return at;
}

/** Collects fields of messages that are too rare to be worth two passes. */
export class Writer {
  constructor() {
    this.buffer = Buffer.allocUnsafe(256);
    this.at = 0;
  }

  /** @param {number} count bytes that are about to be written */
  room(count) {
    if (this.at + count <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.at + count));
    this.buffer.copy(larger, 0, 0, this.at);
    this.buffer = larger;
  }

  /** @param {number | bigint} value 0 to 2^64 - 1 */
  varint(value) {
    this.room(10);
    if (typeof value === 'bigint') return this.#bigVarint(value);
    this.at = putVarint(this.buffer, this.at, value);
  }

  /** @param {bigint} value */
  #bigVarint(value) {
    while (value >= 0x80n) {
      this.buffer[this.at++] = Number(value & 0x7fn) | 0x80;
      value >>= 7n;
    }
    this.buffer[this.at++] = Number(value);
  }

  /**
   * Zigzag.
   * @param {number | bigint} value
   */
  sint64(value) {
    if (typeof value === 'number' && Math.abs(value) < 0x10_0000_0000_0000) {
      return this.varint(value < 0 ? -value * 2 - 1 : value * 2);
    }
    const big = BigInt(value);
    this.varint(BigInt.asUintN(64, (big << 1n) ^ (big >> 63n)));
  }

  /**
   * Both fixed64 and sfixed64.
   * @param {number | bigint} value
   */
  fixed64(value) {
    this.room(8);
    this.at = putFixed64(this.buffer, this.at, value);
  }

  /** @param {number} value */
  double(value) {
    this.room(8);
    this.at = this.buffer.writeDoubleLE(value, this.at);
  }

  /**
   * Length and content.
   * @param {Uint8Array} content
   */
  bytes(content) {
    this.varint(content.length);
    this.room(content.length);
    this.buffer.set(content, this.at);
    this.at += content.length;
  }

  /**
   * Length and content.
   * @param {string} text
   */
  string(text) {
    const size = Buffer.byteLength(text);
    this.varint(size);
    this.room(size);
    this.at += this.buffer.write(text, this.at);
  }

  /** What was written, as a view. */
  finish() {
    return this.buffer.subarray(0, this.at);
  }
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number | bigint} value
 */
export function putFixed64(buffer, at, value) {
  if (typeof value === 'bigint') {
    buffer.writeBigUInt64LE(BigInt.asUintN(64, value), at);
    return at + 8;
  }
  buffer.writeUInt32LE(((value % TWO_32) + TWO_32) % TWO_32, at);
  buffer.writeInt32LE(Math.floor(value / TWO_32), at + 4);
  return at + 8;
}

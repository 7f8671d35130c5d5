// Reading protobuf from a Buffer, in place.

const TWO_32 = 0x1_0000_0000;

/** Bytes that are not valid protobuf. The connection cannot go on. */
export class WireError extends Error {}

/** Wire types. */
export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

/**
 * A 64-bit number from its halves: a Number when that is exact, else a BigInt. Both compare with `<` and
 * `===` on equal values of one range, so only arithmetic has to care.
 * @param {number} low 0 to 2^32 - 1
 * @param {number} high 0 to 2^32 - 1
 * @returns {number | bigint}
 */
export function unsigned64(low, high) {
  if (high < 0x20_0000) return high * TWO_32 + low;
  return (BigInt(high) << 32n) | BigInt(low);
}

/**
 * The same, two's complement.
 * @param {number} low
 * @param {number} high
 * @returns {number | bigint}
 */
export function signed64(low, high) {
  if (high < 0x20_0000) return high * TWO_32 + low;
  const signedHigh = high | 0;
  // -2^53 itself is left to BigInt, as Number.isSafeInteger does not call it safe.
  const isSafe = signedHigh < 0 && (signedHigh > -0x20_0000 || (signedHigh === -0x20_0000 && low > 0));
  if (isSafe) return signedHigh * TWO_32 + low;
  return BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low));
}

/** A cursor over `buffer[at, end)`. Every method throws WireError instead of reading beyond `end`. */
export class Reader {
  /**
   * @param {Buffer} buffer
   * @param {number} [start]
   * @param {number} [end]
   */
  constructor(buffer, start = 0, end = buffer.length) {
    this.buffer = buffer;
    this.at = start;
    this.end = end;
    /** Halves of the last varint, for those who need all 64 bits. */
    this.low = 0;
    this.high = 0;
  }

  get done() {
    return this.at >= this.end;
  }

  /** A varint into `low` and `high`. */
  varint() {
    const { buffer, end } = this;
    let at = this.at;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= end) throw new WireError('a number runs past the end of its message');
      const byte = buffer[at++];
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >> 4;
      } else if (shift < 63) high |= bits << (shift - 32);
      else if (bits > 1) throw new WireError('a number of more than 64 bits');
      else high |= bits << 31;
      if (byte < 0x80) {
        this.at = at;
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    throw new WireError('a number of more than ten bytes');
  }

  /** The low 32 bits of a varint: tags, lengths, uint32, enums. */
  uint32() {
    const byte = this.at < this.end ? this.buffer[this.at] : 0x80;
    if (byte < 0x80) {
      this.at++;
      return byte;
    }
    this.varint();
    return this.low;
  }

  /** @returns {number | bigint} */
  uint64() {
    this.varint();
    return unsigned64(this.low, this.high);
  }

  /**
   * Zigzag.
   * @returns {number | bigint}
   */
  sint64() {
    this.varint();
    const mask = -(this.low & 1);
    const low = ((this.low >>> 1) | (this.high << 31)) ^ mask;
    return signed64(low >>> 0, ((this.high >>> 1) ^ mask) >>> 0);
  }

  bool() {
    this.varint();
    return this.low !== 0 || this.high !== 0;
  }

  /**
   * Advances by `count` bytes; where they begin.
   * @param {number} count
   */
  take(count) {
    const start = this.at;
    if (count > this.end - start) throw new WireError('a field runs past the end of its message');
    this.at = start + count;
    return start;
  }

  /** @returns {number | bigint} */
  fixed64() {
    const start = this.take(8);
    return unsigned64(this.buffer.readUInt32LE(start), this.buffer.readUInt32LE(start + 4));
  }

  /** @returns {number | bigint} */
  sfixed64() {
    const start = this.take(8);
    return signed64(this.buffer.readUInt32LE(start), this.buffer.readUInt32LE(start + 4));
  }

  double() {
    return this.buffer.readDoubleLE(this.take(8));
  }

  /** Where a length-delimited field's content begins; its end is then `at`. */
  span() {
    const length = this.uint32();
    if (this.high !== 0 && length >= 0x80) throw new WireError('a length of more than 32 bits');
    return this.take(length);
  }

  /** A view, not a copy. */
  bytes() {
    const start = this.span();
    return this.buffer.subarray(start, this.at);
  }

  string() {
    const start = this.span();
    return this.buffer.toString('utf8', start, this.at);
  }

  /**
   * Passes over a field that nobody asked for.
   * @param {number} tag
   */
  skip(tag) {
    switch (tag & 7) {
      case VARINT: return this.varint();
      case FIXED64: return void this.take(8);
      case BYTES: return void this.span();
      case FIXED32: return void this.take(4);
      default: throw new WireError(`wire type ${tag & 7} is not part of this protocol`);
    }
  }

  /** The next tag; field number 0 is no field. */
  tag() {
    const tag = this.uint32();
    if (tag < 8) throw new WireError('a field with number 0');
    return tag;
  }
}

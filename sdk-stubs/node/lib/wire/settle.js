// The fast path out: outcomes are written one behind the other into the frame that will carry them.

import { MAX_TEXT, PROTOCOL_VERSION } from '../codes.js';
import { putVarint, varintSize } from './writer.js';
import { encode, ErrorMessage } from './messages.js';

/** Bytes kept free before the content for what can only be written when its length is known. */
const HEAD = 16;
const SPARE = 64 * 1024;
const SETTLE = 0x4a;
const EMIT = 0x52;

/** One frame in the making. The content's length is minimal, so it is written last, from the right. */
export class DataFrame {
  /** @param {number} capacity bytes of content that fit without growing */
  constructor(capacity) {
    this.buffer = Buffer.allocUnsafeSlow(HEAD + capacity + SPARE);
    this.at = HEAD;
  }

  reset() {
    this.at = HEAD;
  }

  /** Bytes of content. */
  get size() {
    return this.at - HEAD;
  }

  /** @param {number} count bytes that are about to be written */
  room(count) {
    if (this.at + count <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.at + count, this.buffer.length * 2));
    this.buffer.copy(larger, 0, 0, this.at);
    this.buffer = larger;
  }

  /** The whole frame, a view of `buffer`; the content becomes a Settle. */
  settle() {
    return this.#close(SETTLE);
  }

  /** The same for an Emit. */
  emit() {
    return this.#close(EMIT);
  }

  /** @param {number} tag */
  #close(tag) {
    const length = this.size;
    const inner = 4 + varintSize(length) + length;
    const start = HEAD - (inner - length) - 4;
    let at = this.buffer.writeUInt32BE(inner, start);
    this.buffer[at++] = 0x08;
    at = putVarint(this.buffer, at, PROTOCOL_VERSION);
    this.buffer[at++] = tag;
    putVarint(this.buffer, at, length);
    return this.buffer.subarray(start, this.at);
  }
}

/**
 * Bytes of an Emission.
 * @param {import('../emission.js').Emission} emission
 * @param {number} port
 */
function emissionSize(emission, port) {
  const output = emission.size;
  let size = 1 + varintSize(output) + output;
  if (port > 0) size += 1 + varintSize(port);
  const { parents, trace } = emission;
  if (parents !== undefined && parents.length > 0) {
    const packed = parentsSize(parents);
    size += 1 + varintSize(packed) + packed;
  }
  return trace === undefined ? size : size + 1 + varintSize(trace.length) + trace.length;
}

/** @param {readonly number[]} parents */
function parentsSize(parents) {
  let size = 0;
  for (const each of parents) size += varintSize(each);
  return size;
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {import('../emission.js').Emission} emission
 * @param {number} port
 */
function putEmission(buffer, at, emission, port) {
  if (port > 0) {
    buffer[at++] = 0x08;
    at = putVarint(buffer, at, port);
  }
  const { parents, trace } = emission;
  if (parents !== undefined && parents.length > 0) {
    buffer[at++] = 0x12;
    at = putVarint(buffer, at, parentsSize(parents));
    for (const each of parents) at = putVarint(buffer, at, each);
  }
  buffer[at++] = 0x1a;
  at = putVarint(buffer, at, emission.size);
  at = emission.write(buffer, at);
  if (trace === undefined) return at;
  buffer[at++] = 0x22;
  at = putVarint(buffer, at, trace.length);
  return at + trace.copy(buffer, at);
}

/**
 * An ACCEPTED outcome of one delivery with one emission: nearly all outcomes of nearly all transforms.
 * @param {DataFrame} frame
 * @param {number} delivery
 * @param {import('../emission.js').Emission} emission
 * @param {number} port
 */
export function putAcceptedOne(frame, delivery, emission, port) {
  const size = emissionSize(emission, port);
  const content = 1 + varintSize(delivery) + 2 + 1 + varintSize(size) + size;
  frame.room(content + 16);
  const { buffer } = frame;
  let at = frame.at;
  buffer[at++] = 0x0a;
  at = putVarint(buffer, at, content);
  buffer[at++] = 0x08;
  at = putVarint(buffer, at, delivery);
  buffer[at++] = 0x18;
  buffer[at++] = 1;
  buffer[at++] = 0x22;
  at = putVarint(buffer, at, size);
  frame.at = putEmission(buffer, at, emission, port);
}

/**
 * Ranges of delivery ids: first and last of each, alternating and ascending.
 * @typedef {number[]} Ranges
 */

/** @param {Ranges} ranges */
function rangesSize(ranges) {
  let size = 1 + varintSize(ranges[0]);
  if (ranges[1] !== ranges[0]) size += 1 + varintSize(ranges[1]);
  for (let i = 2; i < ranges.length; i += 2) {
    const inner = rangeSize(ranges[i], ranges[i + 1]);
    size += 1 + varintSize(inner) + inner;
  }
  return size;
}

/**
 * @param {number} first
 * @param {number} last
 */
function rangeSize(first, last) {
  return 1 + varintSize(first) + (last === first ? 0 : 1 + varintSize(last));
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} first
 * @param {number} last
 */
function putRange(buffer, at, first, last) {
  buffer[at++] = 0x08;
  at = putVarint(buffer, at, first);
  if (last === first) return at;
  buffer[at++] = 0x10;
  return putVarint(buffer, at, last);
}

/**
 * Any outcome. `rest` is what stands between kind and ranges, already encoded.
 * @param {DataFrame} frame
 * @param {Ranges} ranges
 * @param {number} kind
 * @param {readonly import('../emission.js').Emission[]} emissions
 * @param {readonly number[]} ports one for each emission
 * @param {Buffer | undefined} rest
 */
function putOutcome(frame, ranges, kind, emissions, ports, rest) {
  const sizes = emissions.map((each, i) => emissionSize(each, ports[i]));
  let content = rangesSize(ranges) + 2 + (rest ? rest.length : 0);
  for (const size of sizes) content += 1 + varintSize(size) + size;
  frame.room(content + 16);
  const { buffer } = frame;
  let at = frame.at;
  buffer[at++] = 0x0a;
  at = putVarint(buffer, at, content);
  at = putRange(buffer, at, ranges[0], ranges[1]);
  buffer[at++] = 0x18;
  buffer[at++] = kind;
  for (let i = 0; i < emissions.length; i++) {
    buffer[at++] = 0x22;
    at = putVarint(buffer, at, sizes[i]);
    at = putEmission(buffer, at, emissions[i], ports[i]);
  }
  if (rest) at += rest.copy(buffer, at);
  for (let i = 2; i < ranges.length; i += 2) {
    buffer[at++] = 0x3a;
    at = putVarint(buffer, at, rangeSize(ranges[i], ranges[i + 1]));
    at = putRange(buffer, at, ranges[i], ranges[i + 1]);
  }
  frame.at = at;
}

/**
 * @param {DataFrame} frame
 * @param {Ranges} ranges
 * @param {readonly import('../emission.js').Emission[]} emissions
 * @param {readonly number[]} ports
 */
export function putAccepted(frame, ranges, emissions, ports) {
  putOutcome(frame, ranges, 1, emissions, ports, undefined);
}

/**
 * @param {DataFrame} frame
 * @param {Ranges} ranges
 */
export function putReleased(frame, ranges) {
  putOutcome(frame, ranges, 4, [], [], undefined);
}

/**
 * REJECTED or RETRY.
 * @param {DataFrame} frame
 * @param {Ranges} ranges
 * @param {number} kind
 * @param {{ code: number, message: string, delayMs?: number, indefinite?: boolean }} failure
 */
export function putFailed(frame, ranges, kind, { code, message, delayMs = 0, indefinite = false }) {
  const error = encode(ErrorMessage, { code, message: cut(message), indefinite });
  const rest = Buffer.allocUnsafe(16 + error.length);
  let at = 0;
  if (delayMs > 0) {
    rest[at++] = 0x28;
    at = putVarint(rest, at, delayMs);
  }
  rest[at++] = 0x32;
  at = putVarint(rest, at, error.length);
  at += error.copy(rest, at);
  putOutcome(frame, ranges, kind, [], [], rest.subarray(0, at));
}

/**
 * At most 8 KiB, without half a character at the end.
 * @param {string} text
 */
export function cut(text) {
  if (text.length * 3 <= MAX_TEXT) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_TEXT) return text;
  let end = MAX_TEXT;
  while ((bytes[end] & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

/**
 * The content of an Emit.
 * @param {DataFrame} frame
 * @param {{ partition: string, emitId: number, checkpoint: Buffer }} step
 * @param {readonly import('../emission.js').Emission[]} emissions
 * @param {readonly number[]} ports
 */
export function putEmit(frame, { partition, emitId, checkpoint }, emissions, ports) {
  const name = Buffer.from(partition);
  frame.room(name.length + 32);
  let at = frame.at;
  frame.buffer[at++] = 0x0a;
  at = putVarint(frame.buffer, at, name.length);
  at += name.copy(frame.buffer, at);
  frame.buffer[at++] = 0x10;
  frame.at = putVarint(frame.buffer, at, emitId);
  for (let i = 0; i < emissions.length; i++) {
    const size = emissionSize(emissions[i], ports[i]);
    frame.room(size + 16);
    frame.buffer[frame.at++] = 0x1a;
    frame.at = putVarint(frame.buffer, frame.at, size);
    frame.at = putEmission(frame.buffer, frame.at, emissions[i], ports[i]);
  }
  if (checkpoint.length === 0) return;
  frame.room(checkpoint.length + 16);
  frame.buffer[frame.at++] = 0x22;
  frame.at = putVarint(frame.buffer, frame.at, checkpoint.length);
  frame.at += checkpoint.copy(frame.buffer, frame.at);
}

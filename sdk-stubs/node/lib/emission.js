// What a handler emits: header and payload on their way to a frame, and the fields an author may set.

import { INVALID_OUTPUT } from './codes.js';
import { Refused } from './verdicts.js';
import { changeHeader } from './wire/record.js';
import { putBytes, putVarint, varintSize } from './wire/writer.js';
import { encode, TraceContext } from './wire/messages.js';

const JSON_TYPE = 'application/json';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const NOTHING = Buffer.alloc(0);
/** A half of a surrogate pair without the other one: no UTF-8 can say it. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const FIELDS = new Set([
  'payload', 'text', 'json', 'key', 'eventTime', 'attributes', 'schema', 'schemaVersion', 'contentType', 'port',
  'parents', 'trace',
]);

/**
 * An output: made by `record.emit`, `window.emit` or `emission`, sent when the handler is done. Header and payload
 * are ranges of buffers; a payload given as text stays one until it is written into its frame.
 */
export class Emission {
  /**
   * @param {Buffer} header
   * @param {number} headerStart
   * @param {number} headerEnd
   */
  constructor(header, headerStart, headerEnd) {
    this.header = header;
    this.headerStart = headerStart;
    this.headerEnd = headerEnd;
    /** @type {Buffer | string} */
    this.payload = NOTHING;
    this.payloadStart = 0;
    /** Bytes, as the payload will have them. */
    this.payloadSize = 0;
    /** The payload is a buffer of the author's. */
    this.borrowed = false;
    /** @type {string | undefined} the stage's first output when absent */
    this.port = undefined;
    /** @type {readonly number[] | undefined} delivery ids */
    this.parents = undefined;
    /** @type {Buffer | undefined} an encoded TraceContext */
    this.trace = undefined;
  }

  /** @param {string | Uint8Array} payload */
  setPayload(payload) {
    if (typeof payload === 'string') {
      this.payload = payload;
      this.payloadSize = Buffer.byteLength(payload);
    } else {
      this.payload = Buffer.isBuffer(payload)
        ? payload
        : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
      this.payloadSize = payload.length;
      this.borrowed = true;
    }
    this.payloadStart = 0;
  }

  /** Encoded size of the Record, without tag and length: what credit counts. */
  get size() {
    const header = this.headerEnd - this.headerStart;
    const payload = this.payloadSize;
    return (header > 0 ? 1 + varintSize(header) + header : 0) + (payload > 0 ? 1 + varintSize(payload) + payload : 0);
  }

  /**
   * Writes the Record; where it ends.
   * @param {Buffer} buffer
   * @param {number} at
   */
  write(buffer, at) {
    if (this.headerEnd > this.headerStart) {
      buffer[at++] = 0x12;
      at = putVarint(buffer, at, this.headerEnd - this.headerStart);
      at = putBytes(buffer, at, this.header, this.headerStart, this.headerEnd);
    }
    const { payload, payloadSize } = this;
    if (payloadSize === 0) return at;
    buffer[at++] = 0x1a;
    at = putVarint(buffer, at, payloadSize);
    if (typeof payload === 'string') return at + buffer.write(payload, at);
    return putBytes(buffer, at, payload, this.payloadStart, this.payloadStart + payloadSize);
  }

  /** Takes what it has out of the author's hands: a buffer may be used again once it was yielded. */
  detach() {
    if (this.borrowed) {
      this.payload = Buffer.from(/** @type {Buffer} */ (this.payload));
      this.borrowed = false;
    }
    return this;
  }
}

/**
 * An output that takes nothing over: for sources, and for a window as a whole.
 * @param {any} [fields]
 * @returns {Emission}
 */
export function emission(fields = {}) {
  return fill(new Emission(NOTHING, 0, 0), fields);
}

/**
 * Puts an author's fields into an emission that holds what is taken over.
 * @param {Emission} made
 * @param {any} fields
 * @returns {Emission}
 */
export function fill(made, fields) {
  checkNames(fields);
  /** @type {import('./wire/record.js').HeaderChanges} */
  const changes = {};
  const contentType = putPayload(made, fields);
  if (contentType !== undefined) {
    // A new payload: what described the old one goes.
    changes.schema = '';
    changes.schemaVersion = 0;
    changes.contentType = contentType;
  }
  if (takeHeaderFields(fields, changes) || (contentType !== undefined && made.headerEnd > made.headerStart)
      || changes.contentType) {
    made.header = changeHeader(made.header, made.headerStart, made.headerEnd, changes);
    made.headerStart = 0;
    made.headerEnd = made.header.length;
  }
  if (fields.port !== undefined) made.port = fields.port;
  if (fields.parents !== undefined) made.parents = Array.from(fields.parents, (each) => each.delivery);
  if (fields.trace !== undefined) made.trace = encode(TraceContext, fields.trace);
  return made;
}

/** @param {any} fields */
function checkNames(fields) {
  for (const name in fields) {
    if (!FIELDS.has(name)) {
      throw new TypeError(`an output has no field named ${JSON.stringify(name)}; it has: ${[...FIELDS].join(', ')}`);
    }
  }
}

/**
 * The content type that goes with the new payload; undefined when none was named.
 * @param {Emission} made
 * @param {any} fields
 */
function putPayload(made, fields) {
  const { json, text, payload } = fields;
  const named = (json !== undefined ? 1 : 0) + (text !== undefined ? 1 : 0) + (payload !== undefined ? 1 : 0);
  if (named === 0) {
    if ('json' in fields) throw new TypeError('json: undefined is no JSON value; use null');
    return undefined;
  }
  if (named > 1) throw new TypeError('an output has one payload: json, text or payload');
  if (json !== undefined) {
    const encoded = JSON.stringify(json);
    if (encoded === undefined) throw new TypeError(`json: a ${typeof json} is no JSON value`);
    made.setPayload(encoded);
    return JSON_TYPE;
  }
  if (text !== undefined) {
    if (typeof text !== 'string') throw new TypeError(`text is a string, not ${typeof text}`);
    made.setPayload(checkText('text', text));
    return TEXT_TYPE;
  }
  if (!(payload instanceof Uint8Array)) {
    throw new TypeError(`payload is a Uint8Array, not ${typeof payload}: use text or json`);
  }
  made.setPayload(payload);
  return '';
}

/**
 * Moves what the author set into `changes`; whether there was anything.
 * @param {any} fields
 * @param {import('./wire/record.js').HeaderChanges} changes
 */
function takeHeaderFields(fields, changes) {
  let any = false;
  if (fields.schema !== undefined) {
    changes.schema = checkText('schema', fields.schema);
    changes.schemaVersion = 0; // which was the old schema's
    any = true;
  }
  if (fields.schemaVersion !== undefined) {
    changes.schemaVersion = checkVersion(fields.schemaVersion);
    any = true;
  }
  if (fields.key !== undefined) {
    const { key } = fields;
    changes.key = typeof key === 'string' ? Buffer.from(checkText('key', key)) : checkKey(key);
    any = true;
  }
  if (fields.eventTime !== undefined) {
    changes.eventTime = toMicroseconds(fields.eventTime);
    any = true;
  }
  if (fields.contentType !== undefined) {
    changes.contentType = checkText('contentType', fields.contentType);
    any = true;
  }
  if (fields.attributes !== undefined) {
    changes.attributes = checkAttributes(fields.attributes);
    any = true;
  }
  return any;
}

/** @param {unknown} version */
function checkVersion(version) {
  if (typeof version === 'number' && Number.isInteger(version) && version >= 0 && version <= 0xffff_ffff) return version;
  throw new TypeError(`schemaVersion is an integer from 0 to 4294967295, not ${version}`);
}

/** @param {unknown} key */
function checkKey(key) {
  if (key === null) return NOTHING;
  if (key instanceof Uint8Array) return key;
  throw new TypeError(`key is a string or a Uint8Array, not ${typeof key}`);
}

/**
 * JavaScript's strings hold what UTF-8 cannot. Writing U+FFFD in its place would change the author's data.
 * @param {string} name
 * @param {unknown} text
 */
function checkText(name, text) {
  if (typeof text !== 'string') throw new TypeError(`${name} is a string, not ${typeof text}`);
  if (LONE_SURROGATE.test(text)) {
    throw new Refused(INVALID_OUTPUT, `${name}: not valid Unicode, it has half of a surrogate pair`);
  }
  return text;
}

/** @param {any} attributes */
function checkAttributes(attributes) {
  if (typeof attributes !== 'object' || attributes === null || Array.isArray(attributes)) {
    throw new TypeError('attributes is an object of names and values');
  }
  for (const name of Object.keys(attributes)) {
    checkText('an attribute\'s name', name);
    if (typeof attributes[name] === 'string') checkText(`attribute ${name}`, attributes[name]);
  }
  return attributes;
}

/**
 * Microseconds since 1970.
 * @param {unknown} value a Date, or microseconds
 * @returns {number | bigint}
 */
function toMicroseconds(value) {
  if (value instanceof Date) {
    const milliseconds = value.getTime();
    if (Number.isNaN(milliseconds)) throw new TypeError('eventTime: an invalid Date');
    const micros = milliseconds * 1000;
    return Number.isSafeInteger(micros) ? micros : BigInt(milliseconds) * 1000n;
  }
  if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return value;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  throw new TypeError(`eventTime is a Date, or whole microseconds since 1970 as a number or bigint, not ${value}`);
}

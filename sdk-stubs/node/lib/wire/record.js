// The bytes of one record: where its parts are, and a header with some of its fields replaced.

import { Reader, WireError } from './reader.js';
import { putBytes, Writer } from './writer.js';

const LINEAGE = 0x0a;
const HEADER = 0x12;
const PAYLOAD = 0x1a;

/** Fields of Header. */
export const SCHEMA = 1;
export const SCHEMA_VERSION = 2;
export const KEY = 3;
export const EVENT_TIME = 4;
export const CONTENT_TYPE = 5;
export const ATTRIBUTES = 6;

/**
 * Where the parts of a record are in its buffer. An absent part is empty: its start is its end.
 * @typedef {object} Parts
 * @property {number} lineage
 * @property {number} lineageEnd
 * @property {number} header
 * @property {number} headerEnd
 * @property {number} payload
 * @property {number} payloadEnd
 */

/**
 * Locates the parts of the record `buffer[start, end)` and writes them into `parts`.
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} end
 * @param {Parts} parts
 */
export function locate(buffer, start, end, parts) {
  const reader = new Reader(buffer, start, end);
  while (reader.at < end) {
    const tag = reader.uint32();
    if (tag === PAYLOAD) {
      parts.payload = reader.span();
      parts.payloadEnd = reader.at;
    } else if (tag === HEADER) {
      parts.header = reader.span();
      parts.headerEnd = reader.at;
    } else if (tag === LINEAGE) {
      parts.lineage = reader.span();
      parts.lineageEnd = reader.at;
    } else if (tag < 8) {
      throw new WireError('a field with number 0');
    } else {
      reader.skip(tag);
    }
  }
}

/**
 * The bytes of the key of a header; empty when there is none.
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} end
 */
export function findKey(buffer, start, end) {
  const reader = new Reader(buffer, start, end);
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 0x1a) return reader.bytes();
    reader.skip(tag);
  }
  return buffer.subarray(0, 0);
}

/**
 * The value of a header's event time; 0 when there is none.
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} end
 */
export function findEventTime(buffer, start, end) {
  const reader = new Reader(buffer, start, end);
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 0x21) return reader.sfixed64();
    reader.skip(tag);
  }
  return 0;
}

/**
 * What a new header has in place of the old one's. Absent: taken over. Empty or zero: left out.
 * @typedef {object} HeaderChanges
 * @property {string} [schema]
 * @property {number} [schemaVersion]
 * @property {Uint8Array} [key]
 * @property {number | bigint} [eventTime]
 * @property {string} [contentType]
 * @property {Record<string, string | number | bigint | boolean | { double: number } | null>} [attributes]
 *   added to the old ones; null takes one away
 */

/**
 * The header `buffer[start, end)` with changes. What is taken over keeps its bytes, unknown fields included.
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} end
 * @param {HeaderChanges} changes
 * @returns {Buffer}
 */
export function changeHeader(buffer, start, end, changes) {
  const writer = new Writer();
  copyKept(writer, new Reader(buffer, start, end), changes);
  if (changes.schema) putString(writer, 0x0a, changes.schema);
  if (changes.schemaVersion) {
    writer.varint(0x10);
    writer.varint(changes.schemaVersion);
  }
  if (changes.key && changes.key.length > 0) {
    writer.varint(0x1a);
    writer.bytes(changes.key);
  }
  if (changes.eventTime) {
    writer.varint(0x21);
    writer.fixed64(changes.eventTime);
  }
  if (changes.contentType) putString(writer, 0x2a, changes.contentType);
  if (changes.attributes) putAttributes(writer, changes.attributes);
  return writer.finish();
}

/**
 * @param {Writer} writer
 * @param {Reader} old
 * @param {HeaderChanges} changes
 */
function copyKept(writer, old, changes) {
  while (!old.done) {
    const start = old.at;
    const tag = old.tag();
    const content = old.at;
    old.skip(tag);
    if (isReplaced(old.buffer, tag >>> 3, content, old.at, changes)) continue;
    writer.room(old.at - start);
    writer.at = putBytes(writer.buffer, writer.at, old.buffer, start, old.at);
  }
}

/**
 * @param {Buffer} buffer
 * @param {number} field
 * @param {number} content where the field begins, behind its tag
 * @param {number} end
 * @param {HeaderChanges} changes
 */
function isReplaced(buffer, field, content, end, changes) {
  switch (field) {
    case SCHEMA: return changes.schema !== undefined;
    case SCHEMA_VERSION: return changes.schemaVersion !== undefined;
    case KEY: return changes.key !== undefined;
    case EVENT_TIME: return changes.eventTime !== undefined;
    case CONTENT_TYPE: return changes.contentType !== undefined;
    case ATTRIBUTES: {
      if (changes.attributes === undefined) return false;
      const attribute = new Reader(buffer, content, end);
      const start = attribute.span();
      return Object.hasOwn(changes.attributes, attributeName(new Reader(buffer, start, end)));
    }
    default: return false;
  }
}

/** @param {Reader} attribute */
function attributeName(attribute) {
  while (!attribute.done) {
    const tag = attribute.tag();
    if (tag === 0x0a) return attribute.string();
    attribute.skip(tag);
  }
  return '';
}

/**
 * @param {Writer} writer
 * @param {number} tag
 * @param {string} text
 */
function putString(writer, tag, text) {
  writer.varint(tag);
  writer.string(text);
}

/**
 * @param {Writer} writer
 * @param {NonNullable<HeaderChanges['attributes']>} attributes
 */
function putAttributes(writer, attributes) {
  for (const name of Object.keys(attributes)) {
    const value = attributes[name];
    if (value === null || value === undefined) continue;
    const one = new Writer();
    if (name !== '') putString(one, 0x0a, name);
    putAttributeValue(one, name, value);
    writer.varint(0x32);
    writer.bytes(one.finish());
  }
}

/**
 * JavaScript has one kind of number where records have two: what is integral goes as an integer, and
 * `{ double: 3 }` says that it is not one.
 * @param {Writer} writer
 * @param {string} name
 * @param {any} value
 */
function putAttributeValue(writer, name, value) {
  if (typeof value === 'string') return putString(writer, 0x12, value);
  if (typeof value === 'boolean') {
    writer.varint(0x28);
    return writer.varint(value ? 1 : 0);
  }
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) {
    if (typeof value === 'bigint' && BigInt.asIntN(64, value) !== value) {
      throw new RangeError(`attribute ${JSON.stringify(name)}: ${value} does not fit 64 bits`);
    }
    writer.varint(0x18);
    return writer.sint64(value);
  }
  const number = typeof value === 'number' ? value : value.double;
  if (typeof number !== 'number') {
    throw new TypeError(`attribute ${JSON.stringify(name)} is a string, number, bigint or boolean, not ${typeof value}`);
  }
  writer.varint(0x21);
  writer.double(number);
}

/** One kind of value in an attribute, before JavaScript makes a number of it. */
export const INTEGER = 'integer';
export const NUMBER = 'number';

/**
 * Calls `visit(name, value, kind)` for every attribute that has a value; of two with one name the first counts.
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} end
 * @param {(name: string, value: string | number | bigint | boolean, kind: string) => void} visit
 */
export function eachAttribute(buffer, start, end, visit) {
  const header = new Reader(buffer, start, end);
  const seen = new Set();
  while (!header.done) {
    const tag = header.tag();
    if (tag !== 0x32) {
      header.skip(tag);
      continue;
    }
    const content = header.span();
    const found = readAttribute(new Reader(buffer, content, header.at));
    if (found.kind === '' || seen.has(found.name)) continue;
    seen.add(found.name);
    visit(found.name, found.value, found.kind);
  }
}

/** @param {Reader} reader */
function readAttribute(reader) {
  let name = '';
  let kind = '';
  /** @type {string | number | bigint | boolean} */
  let value = '';
  while (!reader.done) {
    const tag = reader.tag();
    switch (tag) {
      case 0x0a: name = reader.string(); break;
      case 0x12: value = reader.string(); kind = 'text'; break;
      case 0x18: value = reader.sint64(); kind = INTEGER; break;
      case 0x21: value = reader.double(); kind = NUMBER; break;
      case 0x28: value = reader.bool(); kind = 'flag'; break;
      default: reader.skip(tag);
    }
  }
  return { name, value, kind };
}

// A record as JSON, both ways: docs/RECORD_JSON.md.

import { emission } from './emission.js';
import { compact, rawMembers } from './rawjson.js';
import { decode, encode, Header, Record as RecordMessage } from './wire/messages.js';
import { eachAttribute, INTEGER, locate, NUMBER } from './wire/record.js';

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const MICROS = 1_000_000n;
const FIRST_MICROS = -62135596800n * MICROS; // 0001-01-01
const END_MICROS = 253402300800n * MICROS; // 10000-01-01
const INSTANT = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const READ_ONLY = new Set(['lineage', 'attempt', 'input']);
const KNOWN = new Set([
  'json', 'text', 'base64', 'key', 'key_base64', 'schema', 'schema_version', 'content_type', 'event_time', 'attributes',
  'port', ...READ_ONLY,
]);

// ---- Reading ----

/**
 * A line as an encoded record; throws an Error with a sentence when it is none.
 * @param {string} line
 * @returns {{ bytes: Buffer, attempt: number, stage: string, runs: Map<number, any> }}
 */
export function readRecord(line) {
  const value = JSON.parse(line);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('a record is a JSON object');
  const raw = rawMembers(line);
  for (const name of raw.keys()) {
    if (!KNOWN.has(name)) throw new Error(`${JSON.stringify(name)} is no field of a record; there are: ${[...KNOWN].join(', ')}`);
  }
  const made = emission(readFields(value, raw));
  const output = Buffer.alloc(made.size);
  made.write(output, 0);
  const runs = new Map();
  const lineage = value.lineage === undefined ? {} : readLineage(value.lineage, runs);
  const head = encode(RecordMessage, { lineage });
  return { bytes: Buffer.concat([head, output]), attempt: value.attempt ?? 1, stage: value.input ?? '', runs };
}

/**
 * @param {any} value
 * @param {Map<string, string>} raw
 */
function readFields(value, raw) {
  /** @type {any} */
  const fields = {};
  const payloads = ['json', 'text', 'base64'].filter((each) => raw.has(each));
  if (payloads.length > 1) throw new Error(`a record has one payload, not ${payloads.join(' and ')}`);
  if (raw.has('json')) {
    fields.payload = Buffer.from(compact(/** @type {string} */ (raw.get('json'))));
    fields.contentType = 'application/json';
  } else if (raw.has('text')) fields.payload = Buffer.from(string(value, 'text'));
  else if (raw.has('base64')) fields.payload = base64(value, 'base64');
  if (raw.has('key') && raw.has('key_base64')) throw new Error('a record has one key, not key and key_base64');
  if (raw.has('key')) fields.key = string(value, 'key');
  if (raw.has('key_base64')) fields.key = base64(value, 'key_base64');
  if (raw.has('schema')) fields.schema = string(value, 'schema');
  if (raw.has('schema_version')) fields.schemaVersion = value.schema_version;
  if (raw.has('content_type')) fields.contentType = string(value, 'content_type');
  if (raw.has('event_time')) fields.eventTime = readTime(value.event_time, /** @type {string} */ (raw.get('event_time')));
  if (raw.has('attributes')) fields.attributes = readAttributes(value.attributes, /** @type {string} */ (raw.get('attributes')));
  return fields;
}

/**
 * @param {any} value
 * @param {string} name
 */
function string(value, name) {
  if (typeof value[name] === 'string') return value[name];
  throw new Error(`${name} is a string, not ${JSON.stringify(value[name])}`);
}

/**
 * @param {any} value
 * @param {string} name
 */
function base64(value, name) {
  const text = string(value, name);
  if (/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return Buffer.from(text, 'base64');
  throw new Error(`${name} is not padded base64`);
}

/**
 * @param {any} value
 * @param {string} raw
 */
function readAttributes(value, raw) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('attributes is an object');
  /** @type {any} */
  const attributes = Object.create(null);
  for (const [name, text] of rawMembers(raw)) {
    const given = value[name];
    if (typeof given === 'number') attributes[name] = readNumber(text, given);
    else if (typeof given === 'string' || typeof given === 'boolean') attributes[name] = given;
    else throw new Error(`attribute ${JSON.stringify(name)} is a text, a number or a boolean, not ${text}`);
  }
  return attributes;
}

/**
 * An integer when it has neither fraction nor exponent and fits 64 bits.
 * @param {string} text
 * @param {number} value
 */
function readNumber(text, value) {
  if (!/^-?\d+$/.test(text)) return { double: value };
  const integer = BigInt(text);
  if (BigInt.asIntN(64, integer) !== integer) return { double: value };
  return Number.isSafeInteger(value) ? value || 0 : integer;
}

/**
 * @param {unknown} value
 * @param {string} raw
 */
function readTime(value, raw) {
  if (typeof value === 'number' && /^-?\d+$/.test(raw)) {
    const integer = BigInt(raw);
    if (BigInt.asIntN(64, integer) === integer) return integer;
  }
  const found = typeof value === 'string' ? INSTANT.exec(value) : null;
  if (!found) throw new Error(`event_time is a time such as 2026-01-05T10:30:00.000000Z, not ${raw}`);
  const [, year, month, day, hour, minute, second, fraction = '', sign, hours, minutes] = found;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  date.setUTCHours(Number(hour), Number(minute), Number(second));
  const isReal = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day)
    && Number(hour) < 24 && Number(minute) < 60 && Number(second) < 60 && Number(hours ?? 0) < 24 && Number(minutes ?? 0) < 60;
  if (!isReal) throw new Error(`event_time: there is no ${value}`);
  const offset = sign === undefined ? 0 : (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
  return BigInt(date.getTime() - offset) * 1000n + BigInt(fraction.padEnd(6, '0').slice(0, 6));
}

/**
 * @param {any} given
 * @param {Map<number, any>} runs filled with the runs of its hops
 */
function readLineage(given, runs) {
  const bytes = (/** @type {string} */ text) => Buffer.from(text, 'hex');
  const ingestTime = given.ingest_time === undefined ? 0n : readTime(given.ingest_time, JSON.stringify(given.ingest_time));
  const hops = (given.hops ?? []).map((/** @type {any} */ hop, /** @type {number} */ i) => {
    runs.set(i + 1, { stage: hop.stage ?? '', version: hop.version ?? '', instance: hop.instance ?? '', language: hop.language ?? '' });
    const time = hop.time === undefined ? ingestTime : readTime(hop.time, JSON.stringify(hop.time));
    return { run: i + 1, delta: time > ingestTime ? BigInt(time) - BigInt(ingestTime) : 0n, attempt: hop.attempt ?? 1 };
  });
  return {
    id: given.id === undefined ? undefined : bytes(given.id), parents: (given.parents ?? []).map(bytes),
    parentsTruncated: given.parents_truncated === true, root: given.root === undefined ? undefined : bytes(given.root),
    trace: given.trace, ingestTime, hops,
  };
}

// ---- Writing ----

/**
 * An encoded record (with lineage or without) as one line.
 * @param {Buffer} bytes
 * @param {{ port?: string }} options
 */
export function writeRecord(bytes, { port } = {}) {
  const parts = { lineage: 0, lineageEnd: 0, header: 0, headerEnd: 0, payload: 0, payloadEnd: 0 };
  locate(bytes, 0, bytes.length, parts);
  const header = decode(Header, bytes, parts.header, parts.headerEnd);
  /** @type {string[]} */
  const members = [];
  const put = (/** @type {string} */ name, /** @type {string} */ text) => members.push(`${JSON.stringify(name)}:${text}`);
  if (port !== undefined) put('port', JSON.stringify(port));
  if (header.key.length > 0) putBytes(put, header.key, 'key', 'key_base64');
  putPayload(put, bytes.subarray(parts.payload, parts.payloadEnd), header.contentType);
  if (header.schema !== '') put('schema', JSON.stringify(header.schema));
  if (header.schemaVersion !== 0) put('schema_version', String(header.schemaVersion));
  if (header.contentType !== '') put('content_type', JSON.stringify(header.contentType));
  if (header.eventTime !== 0) put('event_time', writeTime(header.eventTime));
  /** @type {string[]} */
  const attributes = [];
  eachAttribute(bytes, parts.header, parts.headerEnd, (name, value, kind) => {
    attributes.push(`${JSON.stringify(name)}:${writeValue(value, kind)}`);
  });
  if (attributes.length > 0) put('attributes', `{${attributes.join(',')}}`);
  return `{${members.join(',')}}`;
}

/**
 * @param {(name: string, text: string) => void} put
 * @param {Buffer} bytes
 * @param {string} asText
 * @param {string} asBase64
 */
function putBytes(put, bytes, asText, asBase64) {
  const text = decoded(bytes);
  if (text !== null) put(asText, JSON.stringify(text));
  else put(asBase64, JSON.stringify(bytes.toString('base64')));
}

/** @param {Buffer} bytes */
function decoded(bytes) {
  try {
    return UTF8.decode(bytes);
  } catch {
    return null;
  }
}

/**
 * @param {(name: string, text: string) => void} put
 * @param {Buffer} payload
 * @param {string} contentType
 */
function putPayload(put, payload, contentType) {
  if (payload.length === 0) return;
  const type = contentType.split(';')[0].trim().toLowerCase();
  if (type === 'application/json' || type.endsWith('+json')) {
    const text = decoded(payload);
    // A line break inside of a string is no JSON, so one anywhere is one outside.
    if (text !== null && !/[\n\r]/.test(text) && isJson(text)) return put('json', text);
  }
  putBytes(put, payload, 'text', 'base64');
}

/** @param {string} text */
function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * @param {string | number | bigint | boolean} value
 * @param {string} kind
 */
function writeValue(value, kind) {
  if (kind === INTEGER) return String(value);
  if (kind !== NUMBER) return JSON.stringify(value);
  if (!Number.isFinite(value)) return JSON.stringify(String(value));
  const text = Object.is(value, -0) ? '-0' : String(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

/** @param {number | bigint} time */
export function writeTime(time) {
  const micros = BigInt(time);
  if (micros < FIRST_MICROS || micros >= END_MICROS) return String(micros);
  const rest = ((micros % MICROS) + MICROS) % MICROS;
  const seconds = new Date(Number((micros - rest) / 1000n)).toISOString().slice(0, 19);
  return `"${seconds}.${String(rest).padStart(6, '0')}Z"`;
}

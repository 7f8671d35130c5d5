// Every message of proto/stagewire/v1 as a table, and a codec that walks the tables.
//
// It serves the handshake and all control messages, and it is the plain reference against which the tests hold
// the two fast paths (deliver.js, settle.js). Unknown fields are passed over (FR-3).

import { BYTES, FIXED64, Reader, VARINT, WireError } from './reader.js';
import { Writer } from './writer.js';

/**
 * @typedef {object} Field
 * @property {number} number
 * @property {string} name
 * @property {string | Message} type
 * @property {boolean} repeated
 * @property {boolean} optional written even when it is zero: members of a oneof, and messages
 *
 * @typedef {object} Message
 * @property {string} name
 * @property {Field[]} fields
 * @property {Map<number, Field>} byNumber
 */

const WIRE_TYPES = {
  uint32: VARINT, uint64: VARINT, sint64: VARINT, bool: VARINT, enum: VARINT,
  fixed64: FIXED64, sfixed64: FIXED64, double: FIXED64,
  string: BYTES, bytes: BYTES,
};
const ZEROS = { bool: false, string: '', bytes: Buffer.alloc(0) };

/**
 * @param {string} name
 * @param {Array<[number, string, string | Message, ('repeated' | 'optional')?]>} rows
 * @returns {Message}
 */
function message(name, ...rows) {
  const fields = rows.map(([number, field, type, label]) => ({
    number, name: field, type,
    repeated: label === 'repeated',
    optional: label === 'optional' || (typeof type !== 'string' && label !== 'repeated'),
  }));
  return { name, fields, byNumber: new Map(fields.map((each) => [each.number, each])) };
}

// ---- record.proto ----

export const TraceContext = message('TraceContext', [1, 'traceparent', 'string'], [2, 'tracestate', 'string']);
export const Hop = message('Hop', [1, 'run', 'uint32'], [2, 'delta', 'uint64'], [3, 'attempt', 'uint32']);
export const Lineage = message('Lineage',
  [1, 'id', 'bytes'], [2, 'parents', 'bytes', 'repeated'], [3, 'parentsTruncated', 'bool'], [4, 'root', 'bytes'],
  [5, 'trace', TraceContext], [6, 'ingestTime', 'fixed64'], [7, 'hops', Hop, 'repeated']);
export const Attribute = message('Attribute',
  [1, 'name', 'string'], [2, 'text', 'string', 'optional'], [3, 'integer', 'sint64', 'optional'],
  [4, 'number', 'double', 'optional'], [5, 'flag', 'bool', 'optional']);
export const Header = message('Header',
  [1, 'schema', 'string'], [2, 'schemaVersion', 'uint32'], [3, 'key', 'bytes'], [4, 'eventTime', 'sfixed64'],
  [5, 'contentType', 'string'], [6, 'attributes', Attribute, 'repeated']);
export const Record = message('Record', [1, 'lineage', Lineage], [2, 'header', Header], [3, 'payload', 'bytes']);

// ---- envelope.proto ----

export const Schema = message('Schema', [1, 'name', 'string'], [2, 'version', 'uint32'], [3, 'definition', 'bytes']);
export const Hello = message('Hello',
  [1, 'minVersion', 'uint32'], [2, 'maxVersion', 'uint32'], [3, 'stage', 'string'], [4, 'instance', 'string'],
  [5, 'stageVersion', 'string'], [6, 'offered', 'string', 'repeated'], [7, 'required', 'string', 'repeated'],
  [8, 'maxFrame', 'uint64'], [9, 'token', 'bytes'], [10, 'sdk', 'string'], [11, 'language', 'string'],
  [12, 'reads', Schema, 'repeated'], [13, 'writes', Schema, 'repeated']);
export const Input = message('Input',
  [1, 'number', 'uint32'], [2, 'stage', 'string'], [3, 'port', 'string'], [4, 'maxUnsettledRecords', 'uint64'],
  [5, 'maxUnsettledBytes', 'uint64'], [6, 'ordering', 'enum']);
export const Output = message('Output', [1, 'number', 'uint32'], [2, 'port', 'string']);
export const Welcome = message('Welcome',
  [1, 'version', 'uint32'], [2, 'session', 'uint64'], [3, 'features', 'string', 'repeated'],
  [4, 'maxFrame', 'uint64'], [5, 'maxRecord', 'uint64'], [6, 'stampReserve', 'uint64'],
  [7, 'maxStepRecords', 'uint64'], [8, 'maxStepBytes', 'uint64'], [9, 'heartbeatMs', 'uint32'],
  [10, 'idleMs', 'uint32'], [11, 'leaseMs', 'uint32'], [12, 'config', 'bytes'],
  [13, 'inputs', Input, 'repeated'], [14, 'outputs', Output, 'repeated'], [15, 'pipeline', 'string'],
  [16, 'instance', 'string']);
export const Close = message('Close', [1, 'code', 'uint32'], [2, 'message', 'string']);
export const Ping = message('Ping', [1, 'nonce', 'uint64']);
export const Pong = message('Pong', [1, 'nonce', 'uint64']);
export const Drain = message('Drain', [1, 'reason', 'enum'], [2, 'deadlineMs', 'uint32']);
export const Credit = message('Credit', [1, 'number', 'uint32'], [2, 'records', 'uint64'], [3, 'bytes', 'uint64']);
export const Deliver = message('Deliver',
  [1, 'input', 'uint32'], [2, 'firstDelivery', 'uint64'], [3, 'attempts', 'uint32', 'repeated'],
  [4, 'records', Record, 'repeated'], [5, 'stream', 'uint64'], [6, 'partition', 'uint64'],
  [7, 'sequence', 'uint64']);
export const Range = message('Range', [1, 'first', 'uint64'], [2, 'last', 'uint64']);
export const ErrorMessage = message('Error', [1, 'code', 'uint32'], [2, 'message', 'string'], [3, 'indefinite', 'bool']);
export const Emission = message('Emission',
  [1, 'port', 'uint32'], [2, 'parents', 'uint64', 'repeated'], [3, 'output', Record], [4, 'trace', TraceContext]);
export const Outcome = message('Outcome',
  [1, 'first', 'uint64'], [2, 'last', 'uint64'], [3, 'kind', 'enum'], [4, 'emissions', Emission, 'repeated'],
  [5, 'delayMs', 'uint32'], [6, 'error', ErrorMessage], [7, 'more', Range, 'repeated']);
export const Settle = message('Settle', [1, 'outcomes', Outcome, 'repeated']);
export const Refusal = message('Refusal', [1, 'id', 'uint64'], [2, 'error', ErrorMessage]);
export const Settled = message('Settled', [1, 'through', 'uint64'], [2, 'refused', Refusal, 'repeated']);
export const Extend = message('Extend');
export const Run = message('Run',
  [1, 'number', 'uint32'], [2, 'stage', 'string'], [3, 'version', 'string'], [4, 'instance', 'string'],
  [5, 'language', 'string']);
export const Runs = message('Runs', [1, 'runs', Run, 'repeated']);
export const Claim = message('Claim', [1, 'partition', 'string']);
export const Claimed = message('Claimed',
  [1, 'partition', 'string'], [2, 'epoch', 'uint64'], [3, 'lastEmitId', 'uint64'], [4, 'checkpoint', 'bytes']);
export const Emit = message('Emit',
  [1, 'partition', 'string'], [2, 'emitId', 'uint64'], [3, 'emissions', Emission, 'repeated'],
  [4, 'checkpoint', 'bytes']);
export const Committed = message('Committed',
  [1, 'partition', 'string'], [2, 'through', 'uint64'], [3, 'refused', Refusal, 'repeated']);
export const Finished = message('Finished', [1, 'partition', 'string']);
export const Envelope = message('Envelope',
  [1, 'version', 'uint32'], [2, 'hello', Hello], [3, 'welcome', Welcome], [4, 'close', Close], [5, 'ping', Ping],
  [6, 'pong', Pong], [7, 'credit', Credit], [8, 'deliver', Deliver], [9, 'settle', Settle], [10, 'emit', Emit],
  [11, 'committed', Committed], [12, 'settled', Settled], [13, 'extend', Extend], [14, 'drain', Drain],
  [15, 'runs', Runs], [16, 'claim', Claim], [17, 'claimed', Claimed], [18, 'finished', Finished]);

// ---- Decoding ----

/**
 * A message as a plain object. Absent fields have their zero, absent messages and members of a oneof are
 * undefined. Byte fields are views of `buffer`.
 * @param {Message} type
 * @param {Buffer} buffer
 * @param {number} [start]
 * @param {number} [end]
 * @returns {any}
 */
export function decode(type, buffer, start = 0, end = buffer.length) {
  const reader = new Reader(buffer, start, end);
  const result = zero(type);
  while (!reader.done) {
    const tag = reader.tag();
    const field = type.byNumber.get(tag >>> 3);
    if (!field || !readField(reader, field, tag & 7, result)) reader.skip(tag);
  }
  return result;
}

/** @param {Message} type */
function zero(type) {
  /** @type {any} */
  const result = {};
  for (const field of type.fields) {
    if (field.repeated) result[field.name] = [];
    else if (!field.optional) result[field.name] = ZEROS[/** @type {keyof ZEROS} */ (field.type)] ?? 0;
  }
  return result;
}

/**
 * False when the wire type is another one: an unknown field, as in every protobuf library.
 * @param {Reader} reader
 * @param {Field} field
 * @param {number} wireType
 * @param {any} result
 */
function readField(reader, field, wireType, result) {
  const { type } = field;
  const expected = typeof type === 'string' ? WIRE_TYPES[/** @type {keyof WIRE_TYPES} */ (type)] : BYTES;
  if (field.repeated && wireType === BYTES && expected !== BYTES) {
    const start = reader.span();
    const packed = new Reader(reader.buffer, start, reader.at);
    while (!packed.done) result[field.name].push(readValue(packed, type));
    return true;
  }
  if (wireType !== expected) return false;
  const value = readValue(reader, type);
  if (field.repeated) result[field.name].push(value);
  else {
    if (field.optional && typeof type === 'string') clearOneof(result);
    result[field.name] = value;
  }
  return true;
}

// An attribute's value is this protocol's only oneof of scalars: the last one on the wire counts.
/** @param {any} attribute */
function clearOneof(attribute) {
  delete attribute.text;
  delete attribute.integer;
  delete attribute.number;
  delete attribute.flag;
}

/**
 * @param {Reader} reader
 * @param {string | Message} type
 */
function readValue(reader, type) {
  if (typeof type !== 'string') {
    const start = reader.span();
    return decode(type, reader.buffer, start, reader.at);
  }
  switch (type) {
    case 'uint32': case 'enum': reader.varint(); return reader.low;
    case 'uint64': return reader.uint64();
    case 'sint64': return reader.sint64();
    case 'bool': return reader.bool();
    case 'fixed64': return reader.fixed64();
    case 'sfixed64': return reader.sfixed64();
    case 'double': return reader.double();
    case 'string': return reader.string();
    case 'bytes': return reader.bytes();
    default: throw new WireError(`no such type: ${type}`);
  }
}

// ---- Encoding ----

/**
 * The bytes of `value`; fields that it does not have are left out, as are zeros.
 * @param {Message} type
 * @param {any} value
 * @returns {Buffer}
 */
export function encode(type, value) {
  const writer = new Writer();
  for (const field of type.fields) {
    const given = value[field.name];
    if (given === undefined || given === null) continue;
    if (!field.repeated) writeField(writer, field, given);
    else if (given.length > 0) writeRepeated(writer, field, given);
  }
  return writer.finish();
}

/**
 * @param {Writer} writer
 * @param {Field} field
 * @param {any} value
 */
function writeField(writer, field, value) {
  if (!field.optional && isZero(value)) return;
  const wireType = typeof field.type === 'string' ? WIRE_TYPES[/** @type {keyof WIRE_TYPES} */ (field.type)] : BYTES;
  writer.varint((field.number << 3) | wireType);
  writeValue(writer, field.type, value);
}

/** @param {any} value */
function isZero(value) {
  return value === 0 || value === 0n || value === false || value.length === 0;
}

/**
 * @param {Writer} writer
 * @param {Field} field
 * @param {any[]} values
 */
function writeRepeated(writer, field, values) {
  const isNumeric = typeof field.type === 'string' && field.type !== 'string' && field.type !== 'bytes';
  if (!isNumeric) {
    for (const each of values) {
      writer.varint((field.number << 3) | BYTES);
      writeValue(writer, field.type, each);
    }
    return;
  }
  const packed = new Writer();
  for (const each of values) writeValue(packed, field.type, each);
  writer.varint((field.number << 3) | BYTES);
  writer.bytes(packed.finish());
}

/**
 * @param {Writer} writer
 * @param {string | Message} type
 * @param {any} value
 */
function writeValue(writer, type, value) {
  if (typeof type !== 'string') return writer.bytes(encode(type, value));
  switch (type) {
    case 'uint32': case 'enum': case 'uint64': return writer.varint(value);
    case 'sint64': return writer.sint64(value);
    case 'bool': return writer.varint(value ? 1 : 0);
    case 'fixed64': case 'sfixed64': return writer.fixed64(value);
    case 'double': return writer.double(value);
    case 'string': return writer.string(value);
    case 'bytes': return writer.bytes(value);
    default: throw new TypeError(`no such type: ${type}`);
  }
}

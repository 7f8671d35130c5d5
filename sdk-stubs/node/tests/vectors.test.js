// The vectors of conformance/vectors that concern a worker; the README there explains their form.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { emission, sink } from 'stagewire';
import * as codes from '../lib/codes.js';
import { detachedRecord, Record } from '../lib/record.js';
import { Batch } from '../lib/wire/deliver.js';
import { frame, FrameAssembler, FrameTooLarge, openEnvelope } from '../lib/wire/frames.js';
import { decode, encode, Envelope } from '../lib/wire/messages.js';
import * as messages from '../lib/wire/messages.js';
import { DataFrame, putAccepted, putAcceptedOne, putEmit, putFailed, putReleased } from '../lib/wire/settle.js';
import { work } from './support/broker.js';

const LIMIT = 1 << 26;
const ENUMS = {
  ORDERING_KEY: 1, ORDERING_NONE: 2, ORDERING_TOTAL: 3, DRAIN_REASON_INPUT_ENDED: 1, DRAIN_REASON_SHUTDOWN: 2,
  OUTCOME_KIND_ACCEPTED: 1, OUTCOME_KIND_REJECTED: 2, OUTCOME_KIND_RETRY: 3, OUTCOME_KIND_RELEASED: 4,
};

function vectors(file) {
  const text = readFileSync(fileURLToPath(new URL(`../../../conformance/vectors/${file}.json`, import.meta.url)), 'utf8');
  // Integers that a double cannot hold become texts, and then bigints.
  const exact = text.replace(/"(?:\\.|[^"\\])*"|-?\d{16,}(?![.\de])/g, (each) => (each.startsWith('"') ? each : `"#${each}"`));
  return JSON.parse(exact, (_, value) => (/^#-?\d+$/.test(value) ? safe(BigInt(value.slice(1))) : value))
    .map((each) => ({ ...each, bytes: joined(each.hex), usual: joined(each.usual ?? each.hex) }));
}

const safe = (value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value);

/** The unit of a repetition and how often it is meant. */
function repetition(value) {
  return value?.repeat !== undefined && value.times !== undefined ? [value.repeat, value.times] : [value, 1];
}

function joined(hex) {
  return Buffer.concat([].concat(hex).flatMap((piece) => {
    const [unit, times] = repetition(piece);
    return Array(times).fill(Buffer.from(unit, 'hex'));
  }));
}

function bytesOf(value = '') {
  const [unit, times] = repetition(value);
  const one = unit.startsWith('0x') ? Buffer.from(unit.slice(2), 'hex') : Buffer.from(unit);
  return Buffer.concat(Array(times).fill(one));
}

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The JSON of a vector as `decode` gives it: every field, absent ones as zero. */
function meaning(type, json = {}) {
  const result = {};
  const names = new Set(type.fields.map((field) => snake(field.name)));
  for (const name of Object.keys(json)) assert.ok(names.has(name), `${type.name} has no ${name}`);
  for (const field of type.fields) {
    const given = json[snake(field.name)];
    if (field.repeated) {
      const items = (given ?? []).flatMap((item) => {
        const [unit, times] = typeof field.type === 'string' ? [item, 1] : repetition(item);
        return Array(times).fill(unit);
      });
      result[field.name] = items.map((item) => scalar(field.type, item));
    } else if (given !== undefined || !field.optional) {
      result[field.name] = scalar(field.type, given);
    }
  }
  return result;
}

function scalar(type, given) {
  if (typeof type !== 'string') return meaning(type, given);
  switch (type) {
    case 'string': return bytesOf(given).toString().replace(/^$/, '');
    case 'bytes': return bytesOf(given);
    case 'bool': return given ?? false;
    case 'enum': return ENUMS[given] ?? given ?? 0;
    case 'double': return typeof given === 'string' ? Number(given) : given ?? 0;
    default: return given ?? 0;
  }
}

/** The frames of a stream that comes in pieces, up to the first that is empty; and the code of a fault. */
function cut(bytes, limit, size = bytes.length) {
  const assembler = new FrameAssembler(limit);
  const found = [];
  let code;
  try {
    for (let at = 0; at < bytes.length && code === undefined; at += size) {
      const piece = Buffer.from(bytes.subarray(at, at + size));
      assembler.feed(piece, piece.length, (each) => {
        if (each.length === 0) code = 'MALFORMED_FRAME'; // it has no version: the session refuses it
        else found.push(each);
        return each.length > 0;
      });
      piece.fill(0xff); // its buffer is read into again
    }
  } catch (error) {
    assert.ok(error instanceof FrameTooLarge, String(error));
    code = 'FRAME_TOO_LARGE';
  }
  return { found, code };
}

function expectFrame(bytes, json, name) {
  const { version, kind, start, end } = openEnvelope(bytes);
  assert.equal(version, json.version ?? 0, name);
  const field = Envelope.byNumber.get(kind);
  const [meant] = Object.keys(json).filter((each) => each !== 'version');
  assert.equal(field && snake(field.name), meant, name);
  if (field === undefined) return;
  if (field.name === 'deliver') expectDeliver(new Batch(bytes, start, end), meaning(messages.Deliver, json.deliver), name);
  else assert.deepStrictEqual(decode(field.type, bytes, start, end), meaning(field.type, json[meant]), name);
}

function expectDeliver(batch, meant, name) {
  // Delivery ids are numbers: exact below 2^53, which no session reaches.
  assert.deepEqual([batch.input, batch.first, batch.attempts], [meant.input, Number(meant.firstDelivery), meant.attempts], name);
  assert.equal(batch.count, meant.records.length, name);
  const origin = { first: 1, attempts: batch.attempts, input: batch.input, stage: 'above', inputName: '', runs: new Map() };
  meant.records.forEach((record, i) => {
    const got = new Record(origin, 1 + i, batch.frame, batch.bounds[2 * i], batch.bounds[2 * i + 1]);
    assert.equal(got.attempt, meant.attempts[i] ?? 1, name);
    expectRecord(got, record, name);
  });
}

function expectRecord(got, meant, name) {
  const header = meant.header ?? meaning(messages.Header);
  const lineage = meant.lineage ?? meaning(messages.Lineage);
  assert.deepEqual(got.payload, meant.payload, name);
  assert.deepEqual(got.keyBytes, header.key, name);
  assert.deepStrictEqual([got.eventTime, got.schema, got.schemaVersion, got.contentType],
    [header.eventTime, header.schema, header.schemaVersion, header.contentType], name);
  const attributes = Object.create(null);
  for (const each of header.attributes) {
    const value = each.text ?? each.integer ?? each.number ?? each.flag;
    if (value !== undefined && !(each.name in attributes)) attributes[each.name] = value; // absent without one (RE-2)
  }
  assert.deepStrictEqual(got.attributes, attributes, name);
  assert.deepEqual([got.id, got.root], [lineage.id, lineage.root.length > 0 ? lineage.root : lineage.id].map((id) => id.toString('hex')), name);
  assert.deepEqual(got.parents, lineage.parents.map((each) => each.toString('hex')), name);
  assert.deepEqual([got.parentsTruncated, got.ingestTime, got.trace], [lineage.parentsTruncated, lineage.ingestTime, lineage.trace], name);
  assert.deepEqual(got.hops.map(({ time, attempt }) => ({ time, attempt })), lineage.hops.map((hop) => ({
    time: safe(BigInt(lineage.ingestTime) + BigInt(hop.delta)), attempt: hop.attempt || 1,
  })), name);
}

test('frames to a worker', () => {
  for (const { name, bytes, json } of vectors('frames-to-worker')) {
    const { found, code } = cut(bytes, LIMIT);
    assert.deepEqual([found.length, code], [1, undefined], name);
    expectFrame(found[0], json, name);
  }
});

test('frames to the broker: what is written through the tables', () => {
  let met = 0;
  for (const { name, json, canonical, bytes, usual } of vectors('frames-to-broker')) {
    const meant = meaning(Envelope, json);
    assert.deepStrictEqual(decode(Envelope, bytes.subarray(4)), meant, name);
    assert.deepEqual(encode(Envelope, meant), usual.subarray(4), name);
    if (!canonical || json.version !== codes.PROTOCOL_VERSION) continue;
    met++;
    assert.deepEqual(frame(meant), bytes, name);
  }
  assert.ok(met > 40, `${met}`);
});

const rangesOf = ({ first, last, more }) => [{ first, last }, ...more].flatMap((each) => [each.first, each.last || each.first]);

/** Whether the fast path can have written it: ids are numbers, outputs are always there, errors go with their verdicts. */
function isSayable({ kind, emissions, error, delayMs, ...ranges }) {
  const failed = kind === codes.REJECTED || kind === codes.RETRY;
  return rangesOf(ranges).every(Number.isSafeInteger) && emissions.every((each) => each.output) && (error !== undefined) === failed
    && (failed || delayMs === 0) && Buffer.byteLength(error?.message ?? '') <= codes.MAX_TEXT
    && [ranges, ...ranges.more].every(({ first, last }) => first !== last);
}

/** An emission as a handler makes it, from the bytes of its record. */
function emissionOf({ output, parents, trace }) {
  const made = detachedRecord(encode(messages.Record, output)).emit();
  made.parents = parents.length > 0 ? parents : undefined;
  made.trace = trace && encode(messages.TraceContext, trace);
  return made;
}

function putOutcome(data, outcome) {
  const { kind, emissions, delayMs, error } = outcome;
  const ranges = rangesOf(outcome);
  if (kind === codes.RELEASED) return putReleased(data, ranges);
  if (kind !== codes.ACCEPTED) return putFailed(data, ranges, kind, { ...error, delayMs });
  if (emissions.length === 1 && ranges.length === 2 && ranges[0] === ranges[1]) {
    return putAcceptedOne(data, ranges[0], emissionOf(emissions[0]), emissions[0].port);
  }
  return putAccepted(data, ranges, emissions.map(emissionOf), emissions.map((each) => each.port));
}

test('settles and emits: what is written without the tables', () => {
  let settles = 0;
  let emits = 0;
  for (const { name, json, usual } of vectors('frames-to-broker')) {
    const { settle, emit } = meaning(Envelope, json);
    const data = new DataFrame(1024);
    if (settle?.outcomes.every(isSayable)) {
      settles++;
      for (const outcome of settle.outcomes) putOutcome(data, outcome);
      assert.deepEqual(Buffer.from(data.settle()), usual, name);
    } else if (emit?.emissions.every((each) => each.output)) {
      emits++;
      putEmit(data, emit, emit.emissions.map(emissionOf), emit.emissions.map((each) => each.port));
      assert.deepEqual(Buffer.from(data.emit()), usual, name);
    }
  }
  assert.ok(settles > 25 && emits > 3, `${settles} ${emits}`);
});

test('outputs: read, passed on and written', () => {
  let met = 0;
  for (const { name, json, key, canonical, bytes } of vectors('outputs-valid')) {
    const meant = meaning(messages.Record, json);
    const got = detachedRecord(bytes);
    assert.deepEqual(got.keyBytes, bytesOf(key), name);
    expectRecord(got, meant, name);
    const passed = got.emit();
    const buffer = Buffer.alloc(passed.size);
    passed.write(buffer, 0);
    expectRecord(detachedRecord(buffer), meant, name);
    const fields = outputFields(meant);
    if (!canonical || fields === undefined) continue;
    met++;
    const made = emission(fields);
    const written = Buffer.alloc(made.size);
    made.write(written, 0);
    assert.deepEqual(written, bytes, name);
  }
  assert.ok(met > 8, `${met}`);
});

/** What an author names; undefined when no author can say it. */
function outputFields({ header, payload }) {
  if (header === undefined) return { payload };
  const attributes = {};
  for (const each of header.attributes) {
    const value = each.text ?? each.integer ?? each.flag ?? (each.number === undefined ? undefined : { double: each.number });
    if (value === undefined || each.name in attributes) return undefined;
    attributes[each.name] = value;
  }
  const { schema, schemaVersion, key, eventTime, contentType } = header;
  const isEmpty = encode(messages.Header, header).length === 0;
  return isEmpty ? undefined : { payload, schema, schemaVersion, key, eventTime, contentType, attributes };
}

test('streams in any fragmentation', () => {
  for (const { name, bytes, limit, frames, invalid } of vectors('splits')) {
    for (const size of [1, 3, 1000, bytes.length || 1]) {
      const { found, code } = cut(bytes, limit, size);
      assert.deepEqual([found.length, code], [frames.length, invalid?.code], `${name} in pieces of ${size}`);
      frames.forEach((each, i) => {
        assert.equal(found[i].length, each.length, name);
        expectFrame(found[i], each.json, name);
      });
    }
  }
});

const idle = sink(() => {});

/** Sends the bytes of a vector and no more; `said` gets the codes of what the worker closes with. */
async function tell(peer, { bytes, state }, said) {
  if (state === 'greeting') await peer.expect('hello');
  else await peer.welcome();
  peer.socket.write(bytes);
  peer.socket.end();
  await peer.until(() => peer.hungUp, 'the end');
  said.push(...peer.messages.filter((each) => each.kind === 'close').map((each) => each.message.code));
}

async function leave(peer) {
  await peer.welcome();
  await peer.close();
}

test('exit codes', async () => {
  for (const vector of vectors('exit-codes')) {
    const said = [];
    const first = (peer) => tell(peer, vector, said);
    // Of profile reconnect: after a retryable code it comes again, and ends as the broker then says.
    const run = await work(idle, vector.retryable ? [first, leave] : [first]);
    assert.equal(run.code, vector.retryable ? 0 : vector.exit, `${vector.name}: ${run.stderr}`);
    if (vector.closes) assert.deepEqual(said, [codes[vector.closes]], vector.name);
    if (vector.exit === 2) assert.ok(run.stderr.includes(codes.printable(vector.json?.close.message ?? '')), `${vector.name}: ${run.stderr}`);
    assert.doesNotMatch(run.stderr, /\x1b|\n./, vector.name);
  }
});

test('frames that no broker sends', async () => {
  let met = 0;
  for (const vector of vectors('frames-invalid').filter(({ invalid }) => invalid.by === 'worker')) {
    met++;
    const said = [];
    const run = await work(idle, (peer) => tell(peer, vector, said));
    const got = `${vector.name}: exit ${run.code}, Close ${said}, ${run.stderr}`;
    if (vector.invalid.or) {
      // Taken somehow, until the broker hangs up, or refused with any code; but the worker does not fall over.
      const refusals = said.filter((code) => code !== 0);
      assert.equal(run.code, refusals.length > 0 ? 2 : 1, got);
      assert.doesNotMatch(run.stderr, /\n +at /, got);
    } else {
      assert.deepEqual([run.code, said], [2, [codes[vector.invalid.code]]], got);
    }
  }
  assert.ok(met > 10, `${met}`);
});

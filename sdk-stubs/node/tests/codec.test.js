// The codec against Python's protobuf, in both directions, and against the protocol's worked frames.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openEnvelope, frame, FrameAssembler, FrameTooLarge } from '../lib/wire/frames.js';
import * as messages from '../lib/wire/messages.js';
import { decode, encode } from '../lib/wire/messages.js';
import { Reader, WireError } from '../lib/wire/reader.js';
import { Writer } from '../lib/wire/writer.js';
import { randomFrom } from './support/random.js';

const SEED = Number(process.env.SEED ?? 1);
const COUNT = 3000;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PYTHON = process.env.STAGEWIRE_PYTHON ?? here('../../../build/venv/bin/python3');
const hasOracle = existsSync(PYTHON) || Boolean(process.env.STAGEWIRE_REQUIRE_ORACLES);
const skip = hasOracle ? false : 'needs build/venv (make setup)';
const TYPES = Object.fromEntries(Object.values(messages).filter((each) => each.fields).map((each) => [each.name, each]));

function oracle(args, input = '') {
  const run = spawnSync(PYTHON, [here('support/oracle.py'), ...args], { input, encoding: 'utf8', maxBuffer: 1 << 28 });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout.trim().split('\n').map((line) => JSON.parse(line));
}

/** A decoded message in the form that the oracle writes. */
function canonical(type, value) {
  const result = {};
  for (const field of type.fields) {
    const given = value[field.name];
    if (given === undefined) continue;
    result[field.name] = field.repeated ? given.map((each) => plain(field.type, each)) : plain(field.type, given);
  }
  return result;
}

function plain(type, value) {
  if (typeof type !== 'string') return canonical(type, value);
  if (type === 'bytes') return value.toString('hex');
  if (type === 'double') {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    return bytes.toString('hex');
  }
  return typeof value === 'boolean' || typeof value === 'string' ? value : String(value);
}

const EDGES = {
  uint32: [0, 1, 127, 128, 2 ** 31, 2 ** 32 - 1],
  uint64: [0, 1, 2 ** 21, 2 ** 32, 2 ** 53 - 1, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n],
  sint64: [0, 1, -1, 2 ** 31, -(2 ** 32), 2 ** 52, -(2 ** 52), 2 ** 53 - 1, 1 - 2 ** 53, 2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)],
  double: [0, -0, 1.5, 1e300, -3.25, Infinity],
  bool: [true, false],
  string: ['', 'a', 'grüße', '😀', 'x'.repeat(200), '\0'],
  bytes: [Buffer.alloc(0), Buffer.from([0]), Buffer.alloc(300, 7)],
  enum: [0, 1, 2, 3],
};
EDGES.fixed64 = EDGES.uint64;
EDGES.sfixed64 = EDGES.sint64;

function randomMessage(type, random, depth = 0) {
  const value = {};
  let oneof = type.name === 'Attribute' || type.name === 'Envelope';
  for (const field of type.fields) {
    const one = () => (typeof field.type === 'string' ? random.pick(EDGES[field.type]) : randomMessage(field.type, random, depth + 1));
    if (field.optional && type.name !== 'Envelope' && typeof field.type === 'string') {
      if (!oneof || random.next() < 0.6) continue;
      oneof = false;
    } else if (type.name === 'Envelope' && field.number > 1) {
      if (!oneof || random.next() < 0.8) continue;
      oneof = false;
    } else if (random.next() < 0.3 || (typeof field.type !== 'string' && depth > 4)) continue;
    value[field.name] = field.repeated ? Array.from({ length: random.below(4) }, one) : one();
  }
  return value;
}

test('what Python encodes is decoded alike, unknown fields passed over', { skip }, () => {
  for (const { type, hex, value } of oracle(['generate', String(SEED), String(COUNT)])) {
    const bytes = Buffer.from(hex, 'hex');
    const decoded = decode(TYPES[type], bytes);
    assert.deepEqual(canonical(TYPES[type], decoded), value, `seed ${SEED}: ${type} ${hex}`);
  }
});

test('what is encoded here Python decodes alike, and would encode to the same bytes', { skip }, () => {
  const random = randomFrom(SEED);
  const names = Object.keys(TYPES);
  const made = Array.from({ length: COUNT }, () => {
    const type = TYPES[random.pick(names)];
    const bytes = encode(type, randomMessage(type, random));
    return { type: type.name, hex: bytes.toString('hex') };
  });
  const answers = oracle(['decode'], made.map((each) => JSON.stringify(each)).join('\n'));
  assert.equal(answers.length, COUNT);
  made.forEach(({ type, hex }, i) => {
    const decoded = decode(TYPES[type], Buffer.from(hex, 'hex'));
    assert.deepEqual(canonical(TYPES[type], decoded), answers[i].value, `seed ${SEED}: ${type} ${hex}`);
    assert.equal(hex, answers[i].hex, `seed ${SEED}: ${type}`);
  });
});

const WORKED = here('../../../conformance/vectors/worked');
for (const name of readdirSync(WORKED).filter((each) => each.endsWith('.hex'))) {
  test(`worked frame ${name} comes out as it went in`, () => {
    const bytes = Buffer.from(readFileSync(`${WORKED}/${name}`, 'utf8').replace(/;.*$/gm, '').replace(/\s/g, ''), 'hex');
    const body = bytes.subarray(4);
    const value = decode(messages.Envelope, body);
    assert.equal(bytes.readUInt32BE(0), body.length);
    assert.equal(value.version, 1000);
    const { kind } = openEnvelope(body);
    const field = messages.Envelope.byNumber.get(kind);
    assert.deepEqual(frame({ [field.name]: value[field.name] }), bytes);
    const vector = JSON.parse(readFileSync(`${WORKED}/${name.replace('.hex', '.json')}`, 'utf8'));
    assert.ok(JSON.stringify(vector).includes(field.name), name);
  });
}

test('every truncation of a message is an error or a shorter message, never a read beyond its end', () => {
  const bytes = encode(messages.Envelope, { version: 1000, welcome: { version: 1000, session: 7, config: Buffer.from('{}'),
    inputs: [{ number: 1, stage: 'a', maxUnsettledBytes: 4194304 }], instance: 'x' } });
  for (let end = 0; end < bytes.length; end++) {
    try {
      decode(messages.Envelope, bytes, 0, end);
    } catch (error) {
      assert.ok(error instanceof WireError, `at ${end}: ${error}`);
    }
  }
});

test('malformed numbers', () => {
  for (const hex of ['ffffffffffffffffffff01', 'ffffffffffffffffff02', '80', '00', '07', '0b', '0c']) {
    assert.throws(() => {
      const reader = new Reader(Buffer.from(hex, 'hex'));
      reader.skip(reader.tag());
      if (hex.startsWith('ff')) reader.varint();
    }, WireError, hex);
  }
});

test('64-bit numbers: numbers while they are exact, bigints beyond', () => {
  const writer = new Writer();
  const values = [2 ** 53 - 1, 2n ** 53n, 2n ** 64n - 1n];
  for (const each of values) writer.varint(each);
  const reader = new Reader(Buffer.from(writer.finish()));
  for (const each of values) assert.strictEqual(reader.uint64(), each);
  for (const each of [0, -1, 1 - 2 ** 53, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n]) {
    const one = new Writer();
    one.sint64(each);
    one.fixed64(each);
    const back = new Reader(Buffer.from(one.finish()));
    assert.strictEqual(back.sint64(), each);
    assert.strictEqual(back.sfixed64(), each);
  }
});

test('frames in any fragmentation, and one that is too large', () => {
  const frames = [frame({ ping: { nonce: 1 } }), frame({ extend: {} }), frame({ close: { code: 1, message: 'x'.repeat(300) } })];
  const stream = Buffer.concat(frames);
  for (const size of [1, 2, 3, 7, 64, stream.length]) {
    const found = [];
    const assembler = new FrameAssembler(400);
    for (let at = 0; at < stream.length; at += size) {
      const chunk = Buffer.from(stream.subarray(at, at + size));
      assembler.feed(chunk, chunk.length, (each) => found.push(each) > 0);
      chunk.fill(0xff); // its buffer is read into again
    }
    assert.deepEqual(found, frames.map((each) => each.subarray(4)), `pieces of ${size}`);
  }
  assert.throws(() => new FrameAssembler(10).feed(frames[2], 4, () => true), FrameTooLarge);
});

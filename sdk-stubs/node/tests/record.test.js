// Records as handlers see them, and what emit() makes of them, byte for byte and as JSON.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emission } from 'stagewire';
import { detachedRecord } from '../lib/record.js';
import { compact, rawMembers } from '../lib/rawjson.js';
import { readRecord, writeRecord } from '../lib/recordjson.js';
import { decode, encode, Header, Record, Settle } from '../lib/wire/messages.js';
import { DataFrame, putAccepted, putAcceptedOne, putFailed, putReleased } from '../lib/wire/settle.js';
import { randomFrom } from './support/random.js';

const LINEAGE = { id: Buffer.alloc(16, 1), root: Buffer.alloc(16, 2), parents: [Buffer.alloc(16, 3)], ingestTime: 1_000_000,
  trace: { traceparent: '00-a', tracestate: '' }, hops: [{ run: 1, delta: 5 }, { run: 2, delta: 9, attempt: 3 }] };
const HEADER = { schema: 'sensor.raw', schemaVersion: 2, key: Buffer.from('k'), eventTime: 1767225599000000, contentType: 'text/plain',
  attributes: [{ name: 'unit', text: 'C' }, { name: 'level', integer: -3 }, { name: 'level', integer: 9 }, { name: 'ratio', number: 2 }, { name: 'on', flag: true }, { name: 'big', integer: 2n ** 60n }, { name: 'none' }] };
const RUNS = new Map([[1, { stage: 'ingest', version: '1', instance: 'i', language: 'rust' }]]);
const given = (header = HEADER, payload = '21.5') => detachedRecord(encode(Record, { lineage: LINEAGE, header, payload: Buffer.from(payload) }),
  { runs: RUNS, attempts: [4], stage: 'ingest' });
const written = (made) => {
  const bytes = Buffer.alloc(made.size);
  assert.equal(made.write(bytes, 0), made.size);
  return bytes;
};
const output = (made) => decode(Record, written(made));

test('reading', () => {
  const one = given();
  assert.deepEqual([one.text(), one.json(), one.payload.toString(), one.size], ['21.5', 21.5, '21.5', 4]);
  assert.deepEqual([one.key, one.schema, one.schemaVersion, one.contentType, one.eventTime], ['k', 'sensor.raw', 2, 'text/plain', 1767225599000000]);
  assert.equal(one.eventDate.toISOString(), '2025-12-31T23:59:59.000Z');
  assert.deepEqual({ ...one.attributes }, { unit: 'C', level: -3, ratio: 2, on: true, big: 2n ** 60n });
  assert.deepEqual([one.id, one.root, one.parents], ['01'.repeat(16), '02'.repeat(16), ['03'.repeat(16)]]);
  assert.deepEqual([one.attempt, one.input, one.trace.traceparent, one.ingestTime], [4, 'ingest', '00-a', 1_000_000]);
  assert.deepEqual(one.hops, [
    { stage: 'ingest', version: '1', instance: 'i', language: 'rust', time: 1_000_005, attempt: 1 },
    { stage: '', version: '', instance: '', language: '', time: 1_000_009, attempt: 3 }]);
  assert.throws(() => given(HEADER, Buffer.from([0xff])).text(), TypeError);
  assert.equal(given(HEADER, '\ufffd\ufeff').text(), '\ufffd\ufeff');
  const far = given({ eventTime: 2n ** 60n });
  assert.equal(far.eventTime, 2n ** 60n);
  const empty = detachedRecord(Buffer.alloc(0));
  assert.deepEqual([empty.text(), empty.key, empty.eventTime, empty.id, { ...empty.attributes }, empty.attempt], ['', '', 0, '', {}, 1]);
});

test('what is not named is taken over, unknown fields of the header too; lineage never', () => {
  const unknown = Buffer.from('980101', 'hex'); // field 19
  const header = Buffer.concat([encode(Header, HEADER), unknown]);
  const bytes = Buffer.concat([encode(Record, { lineage: LINEAGE }), Buffer.from([0x12, header.length]), header, Buffer.from('1a0178', 'hex'), Buffer.from('780a', 'hex')]);
  const one = detachedRecord(bytes);
  const same = written(one.emit());
  assert.deepEqual(same, Buffer.concat([Buffer.from([0x12, header.length]), header, Buffer.from('1a0178', 'hex')]));
  const changed = written(one.emit({ attributes: { unit: null, level: 7 } }));
  assert.ok(changed.includes(unknown));
  const { header: result, payload, lineage } = decode(Record, changed);
  assert.equal(lineage, undefined);
  assert.equal(payload.toString(), 'x');
  assert.deepEqual(result.attributes.map((each) => each.name).sort(), ['big', 'level', 'none', 'on', 'ratio']);
  assert.equal(result.attributes.find((each) => each.name === 'level').integer, 7);
  assert.equal(result.schema, 'sensor.raw');
});

test('a new payload drops the old one\'s schema and content type, and nothing else', () => {
  const json = output(given().emit({ json: { a: 1 } }));
  assert.deepEqual([json.payload.toString(), json.header.contentType, json.header.schema, json.header.schemaVersion], ['{"a":1}', 'application/json', '', 0]);
  assert.deepEqual([json.header.key.toString(), json.header.eventTime, json.header.attributes.length], ['k', 1767225599000000, 7]);
  assert.equal(output(given().emit({ text: 'ü' })).header.contentType, 'text/plain; charset=utf-8');
  assert.equal(output(given().emit({ payload: Buffer.from([1]) })).header.contentType, '');
  const named = output(given().emit({ payload: new Uint8Array([1, 2]).subarray(1), schema: 's', schemaVersion: 4, contentType: 'x/y', key: '', eventTime: new Date(5) })).header;
  assert.deepEqual([named.schema, named.schemaVersion, named.contentType, named.key.length, named.eventTime], ['s', 4, 'x/y', 0, 5000]);
  assert.equal(output(given().emit({ schema: 't' })).header.schemaVersion, 0, 'it was the old schema\'s');
});

test('attributes keep their kind', () => {
  const { attributes } = output(emission({ attributes: { a: 1, b: 1.5, c: { double: 1 }, d: 2n ** 62n, e: 'x', f: false, g: 1e300, h: -0, i: undefined } })).header;
  assert.deepEqual(attributes.map(({ name, ...value }) => [name, value]), [
    ['a', { integer: 1 }], ['b', { number: 1.5 }], ['c', { number: 1 }], ['d', { integer: 2n ** 62n }], ['e', { text: 'x' }],
    ['f', { flag: false }], ['g', { number: 1e300 }], ['h', { integer: 0 }]]);
});

test('mistakes in what is emitted say what they are', () => {
  for (const [fields, words] of [
    [{ atributes: {} }, /no field named "atributes"; it has: .*attributes/], [{ json: 1, text: 'x' }, /one payload/],
    [{ json: undefined }, /undefined is no JSON/], [{ json: () => 1 }, /a function is no JSON/], [{ text: 5 }, /text is a string, not number/],
    [{ payload: 'x' }, /use text or json/], [{ key: 5 }, /key is a string or a Uint8Array/], [{ eventTime: 1.5 }, /eventTime is a Date/],
    [{ eventTime: new Date(NaN) }, /an invalid Date/], [{ schemaVersion: -1 }, /schemaVersion is an integer/],
    [{ attributes: { a: [] } }, /attribute "a" is a string, number, bigint or boolean, not object/], [{ attributes: { a: 2n ** 63n } }, /does not fit 64 bits/],
    [{ attributes: [] }, /attributes is an object/],
  ]) assert.throws(() => emission(fields), words);
});

test('a buffer may be used again once it was yielded', () => {
  const buffer = Buffer.from('first');
  const made = emission({ payload: buffer }).detach();
  buffer.fill(0);
  assert.equal(output(made).payload.toString(), 'first');
});

test('the fast path writes what the plain codec reads, of any size', () => {
  const random = randomFrom(3);
  for (let i = 0; i < 2000; i++) {
    const frame = new DataFrame(64);
    const expected = [];
    for (let n = random.below(4); n >= 0; n--) {
      const first = random.pick([1, 127, 128, 16383, 16384, 2 ** 31, 2 ** 40, 2 ** 53 - 1]);
      const made = random.next() < 0.5 ? given(HEADER, 'x'.repeat(random.pick([0, 1, 100, 127, 128, 20_000]))).emit()
        : emission({ text: 'ü'.repeat(random.below(300)), key: 'k'.repeat(random.below(3)) });
      const port = random.pick([0, 1, 300]);
      const emissions = [{ port, parents: [], output: output(made) }];
      const base = { last: 0, emissions: [], delayMs: 0, more: [] };
      switch (random.below(4)) {
        case 0:
          putAcceptedOne(frame, first, made, port);
          expected.push({ ...base, first, kind: 1, emissions });
          break;
        case 1:
          made.parents = [1, 300];
          putAccepted(frame, [1, 3, 5, 5, 9, 300], [made, made], [port, port]);
          expected.push({ ...base, first: 1, last: 3, kind: 1, emissions: [0, 1].map(() => ({ ...emissions[0], parents: [1, 300] })), more: [{ first: 5, last: 0 }, { first: 9, last: 300 }] });
          break;
        case 2:
          putReleased(frame, [first, first]);
          expected.push({ ...base, first, kind: 4 });
          break;
        default:
          putFailed(frame, [first, first], 3, { code: 1000, message: 'ü', delayMs: 70_000, indefinite: true });
          expected.push({ ...base, first, kind: 3, delayMs: 70_000, error: { code: 1000, message: 'ü', indefinite: true } });
      }
    }
    const bytes = frame.settle();
    assert.equal(bytes.readUInt32BE(0), bytes.length - 4);
    assert.deepEqual(decode(Settle, bytes, bytes.length - frame.size).outcomes, expected);
    // Minimal tags and lengths (FR-5): the plain codec, which writes nothing else, comes to the same size.
    assert.equal(encode(Settle, { outcomes: expected }).length, frame.size);
  }
});

// ---- As JSON ----

const again = (line, options) => writeRecord(readRecord(line).bytes, options);

test('one record as JSON, there and back', () => {
  for (const line of [
    '{"key":"k","json":{"a":1.0,"b":[1e2,"x y"],"n":12345678901234567890},"content_type":"application/json"}',
    '{"key_base64":"/w==","base64":"AP8="}',
    '{"text":"21.5","schema":"sensor.raw","schema_version":1,"event_time":"2026-01-05T10:30:00.000001Z"}',
    '{"json":null,"content_type":"application/problem+json; charset=utf-8"}',
    '{"text":"x","attributes":{"a":1,"b":1.0,"c":9223372036854775807,"d":-9223372036854775808,"e":9007199254740993,"f":"x","g":true,"h":1e+300}}',
    '{"event_time":-62135596800000001}', '{"event_time":253402300800000000}', '{"event_time":"0001-01-01T00:00:00.000000Z"}',
    '{"event_time":"9999-12-31T23:59:59.999999Z"}', '{"event_time":"1969-12-31T23:59:59.999999Z"}', '{}',
  ]) assert.equal(again(line), line);
});

test('what readers accept and writers do not write', () => {
  assert.equal(again('{ "json" : { "a" : 1 ,\t"b": "x y" } , "event_time":"2026-01-05T12:30:00.1234567+02:00" }'),
    '{"json":{"a":1,"b":"x y"},"content_type":"application/json","event_time":"2026-01-05T10:30:00.123456Z"}');
  assert.equal(again('{"attributes":{"a":18446744073709551616}}'), '{"attributes":{"a":18446744073709552000.0}}');
  assert.equal(again('{"text":"x","lineage":{"id":"00","odd":1},"attempt":3,"input":"a.b"}'), '{"text":"x"}');
  assert.equal(again('{"json":1,"content_type":"text/x"}'), '{"text":"1","content_type":"text/x"}');
  assert.equal(writeRecord(encode(Record, { header: { contentType: 'application/json' }, payload: Buffer.from('{\n}') })), '{"text":"{\\n}","content_type":"application/json"}');
  assert.equal(writeRecord(encode(Record, { header: { attributes: [{ name: 'a', number: NaN }, { name: 'b', number: -Infinity }, { name: 'c', number: -0 }] } })),
    '{"attributes":{"a":"NaN","b":"-Infinity","c":-0.0}}');
  assert.equal(writeRecord(Buffer.alloc(0), { port: 'late' }), '{"port":"late"}');
});

test('what the broker adds can be read by handlers', () => {
  const { bytes, runs, attempt } = readRecord('{"text":"x","lineage":{"id":"5d","root":"aa","parents":["bb"],"ingest_time":"1970-01-01T00:00:01.000000Z","trace":{"traceparent":"00"},'
    + '"hops":[{"stage":"ingest","version":"1.2","instance":"1","language":"rust","time":"1970-01-01T00:00:01.000005Z","attempt":2}]},"attempt":3}');
  const one = detachedRecord(bytes, { runs, attempts: [attempt] });
  assert.deepEqual([one.id, one.root, one.parents, one.attempt, one.trace.traceparent], ['5d', 'aa', ['bb'], 3, '00']);
  assert.deepEqual(one.hops, [{ stage: 'ingest', version: '1.2', instance: '1', language: 'rust', time: 1_000_005, attempt: 2 }]);
});

test('what is no record', () => {
  for (const [line, words] of [
    ['[]', /a JSON object/], ['{"atributes":{}}', /"atributes" is no field/], ['{"text":"a","json":1}', /one payload, not json and text/],
    ['{"text":1}', /text is a string, not 1/], ['{"base64":"A"}', /not padded base64/], ['{"event_time":"yesterday"}', /event_time is a time such as/],
    ['{"event_time":"2026-02-30T00:00:00Z"}', /there is no 2026-02-30/], ['{"event_time":1.5}', /event_time is a time/], ['{"key":"a","key_base64":""}', /one key/],
    ['{"attributes":{"a":null}}', /attribute "a" is a text, a number or a boolean, not null/], ['{"a":', /JSON/],
  ]) assert.throws(() => readRecord(line), words, line);
});

test('raw members keep every digit', () => {
  const text = ' { "a" : [1, {"b": "}\\""}], "c\\n" :1.50 ,"d":"x,\\\\", "e" : { } , "f":true}';
  assert.deepEqual([...rawMembers(text)], [['a', '[1, {"b": "}\\""}]'], ['c\n', '1.50'], ['d', '"x,\\\\"'], ['e', '{ }'], ['f', 'true']]);
  assert.equal(compact('[1, {"b": "} \\""}]'), '[1,{"b":"} \\""}]');
});

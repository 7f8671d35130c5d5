// Transforms and sinks: verdicts, emissions, credit, concurrency.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reject, Release, Retry, sink, transform } from 'stagewire';
import { gate, idsOf, record, RESERVE, work } from './support/broker.js';
import { randomFrom } from './support/random.js';

const verdicts = transform(function* double(given) {
  const value = given.json();
  if (value === 'filter') return;
  if (value === 'reject') throw new Reject(1001, 'no such thing');
  if (value === 'retry') throw new Retry('later', { seconds: 1.5 });
  if (value === 'release') throw new Release();
  if (value === 'wrong') throw new RangeError('reading');
  yield given.emit({ json: value + value });
});

async function settle(stage, values, check, changes = {}) {
  return work(stage, async (peer) => {
    await peer.welcome(changes);
    peer.grant();
    await peer.deliver(values.map((each, i) => record(JSON.stringify(each), { number: i })));
    await check(await peer.outcomes(values.length));
    await peer.close();
  });
}

test('every verdict', async () => {
  const run = await settle(verdicts, ['a', 'filter', 'filter', 'reject', 'retry', 'release', 'wrong', 'b'], (outcomes) => {
    // Whether 2 and 3 share an outcome depends on how fast they were handled.
    const [first, , , rejected, retried, , wrong] = outcomes.flatMap((each) => idsOf(each).map(() => each));
    assert.deepEqual(outcomes.flatMap((each) => idsOf(each).map((id) => [each.kind, id])),
      [[1, 1], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [3, 7], [1, 8]]);
    assert.equal(first.emissions[0].output.payload.toString(), '"aa"');
    assert.deepEqual(rejected.error, { code: 1001, message: 'no such thing', indefinite: false });
    assert.equal(retried.delayMs, 1500);
    assert.deepEqual(wrong.error, { code: 1000, message: 'RangeError: reading', indefinite: false });
  });
  assert.equal(run.code, 0);
  assert.match(run.stderr, /RangeError: reading\n +at double/);
});

const forms = {
  'a value': (given) => given.emit(),
  'an array': (given) => [given.emit()],
  'a generator': function* (given) { yield given.emit(); },
  'a promise': async (given) => given.emit(),
  'a promise of an array': async (given) => [given.emit()],
  'an async generator': async function* (given) { await null; yield given.emit(); },
};
for (const [name, handler] of Object.entries(forms)) {
  for (const concurrency of [1, 4]) {
    test(`${name}, concurrency ${concurrency}`, async () => {
      const run = await settle(transform(handler, { concurrency }), ['x', 'y', 'z'], (outcomes) => {
        assert.deepEqual(outcomes.map((each) => each.emissions[0].output.payload.toString()), ['"x"', '"y"', '"z"']);
      });
      assert.deepEqual(run, { code: 0, stderr: '' });
    });
  }
}

test('several emissions on several ports are one step', async () => {
  const stage = transform((given) => [given.emit(), given.emit({ port: 'late', text: 'second' })]);
  await settle(stage, ['x'], ([outcome]) => {
    assert.deepEqual(outcome.emissions.map((each) => each.port), [0, 1]);
    assert.deepEqual(outcome.emissions[1].output.header.contentType, 'text/plain; charset=utf-8');
  });
});

test('what is no emission is an error that says what to do', async () => {
  for (const [given, words] of [[{ a: 1 }, 'not a Object'], ['text', 'not a string'], [[1], 'not a number'], [7, 'not a number']]) {
    await settle(transform(() => given), ['x'], ([outcome]) => {
      assert.equal(outcome.kind, 3);
      assert.match(outcome.error.message, new RegExp(words));
    });
  }
  await settle(transform((each) => each.emit({ port: 'nowhere' })), ['x'], ([outcome]) => {
    assert.match(outcome.error.message, /no output named "nowhere"; it has: out, late/);
  });
});

test('a sink gives nothing; what it returns by the way does not matter', async () => {
  const seen = [];
  await settle(sink((given) => seen.push(given.json())), ['x', 'y'], (outcomes) => {
    assert.deepEqual(outcomes.flatMap(idsOf), [1, 2]);
  });
  assert.deepEqual(seen, ['x', 'y']);
  await settle(sink((given) => given.emit()), ['x'], ([outcome]) => assert.match(outcome.error.message, /make it a transform/));
  await settle(sink(function* () { yield 1; }), ['x'], ([outcome]) => assert.match(outcome.error.message, /not a generator/));
});

test('a batch sink gets what has arrived, and one verdict is for all of it', async () => {
  for (const wrap of [(f) => f, (f) => async (...given) => f(...given)]) {
    const seen = [];
    const stage = sink(wrap((records) => {
      seen.push(records.length);
      if (seen.length === 2) throw new Error('disk full');
    }), { batch: true });
    await work(stage, async (peer) => {
      await peer.welcome();
      await peer.deliver([record('a'), record('b'), record('c')]);
      assert.deepEqual((await peer.outcomes(3)).map((each) => [each.kind, idsOf(each)]), [[1, [1, 2, 3]]]);
      await peer.deliver([record('a'), record('b')]);
      assert.deepEqual((await peer.outcomes(2)).map((each) => [each.kind, idsOf(each)]), [[3, [4, 5]]]);
      await peer.close();
    });
    assert.deepEqual(seen, [3, 2]);
  }
});

// ---- Limits ----

test('an output above max_record and a step above max_step are rejected, without credit', async () => {
  const stage = transform((given) => {
    switch (given.text()) {
      case 'record': return given.emit({ payload: Buffer.alloc(5000) });
      case 'records': return Array.from({ length: 11 }, () => given.emit());
      case 'bytes': return Array.from({ length: 3 }, () => given.emit({ payload: Buffer.alloc(3000) }));
      default: return undefined;
    }
  });
  const run = await work(stage, async (peer) => {
    await peer.welcome({ maxRecord: 4000, maxStepRecords: 10, maxStepBytes: 8000 });
    await peer.deliver(['record', 'records', 'bytes', ''].map((each) => record(each)));
    const outcomes = await peer.outcomes(4);
    assert.deepEqual(outcomes.map((each) => [each.kind, each.error?.code]), [[2, 304], [2, 305], [2, 305], [1, undefined]]);
    assert.match(outcomes[0].error.message, /a record may have 4000/);
    await peer.close();
  });
  assert.equal(run.code, 0);
});

test('text that is no Unicode is rejected with 306 and not changed in silence', async () => {
  for (const fields of [{ text: '\ud800' }, { key: 'a\udc00' }, { attributes: { a: '\ud800x' } }, { schema: '\udfff' }]) {
    await settle(transform((given) => given.emit(fields)), ['x'], ([outcome]) => {
      assert.deepEqual([outcome.kind, outcome.error.code], [2, 306], JSON.stringify(fields));
    });
  }
});

test('the largest outputs go out whole, in frames of their own', async () => {
  const size = (1 << 20) - RESERVE - 4;
  await settle(transform((given) => given.emit({ payload: Buffer.alloc(size, 1), key: '' })), [1, 2, 3], (outcomes) => {
    assert.deepEqual(outcomes.map((each) => each.emissions[0].output.payload.length), [size, size, size]);
  });
});

test('an error text is cut', async () => {
  await settle(transform(() => { throw new Reject(1001, 'ü'.repeat(10_000)); }), ['x'], ([outcome]) => {
    assert.ok(Buffer.byteLength(outcome.error.message) <= 8192);
    assert.doesNotMatch(outcome.error.message, /\ufffd/);
  });
});

// ---- Credit ----

for (const [name, wrap, concurrency] of [['sync', (f) => f, 1], ['async', (f) => async (given) => f(given), 1], ['concurrent', (f) => async (given) => f(given), 7]]) {
  test(`credit arrives in drops: exact in records and in bytes, ${name}`, async () => {
    const random = randomFrom(7);
    const stage = transform(wrap((given) => Array.from({ length: given.size % 3 }, () => given.emit())), { concurrency });
    const run = await work(stage, async (peer) => {
      await peer.welcome();
      const records = Array.from({ length: 300 }, (_, i) => record('x'.repeat(random.below(200)), { number: i, key: `${i % 5}` }));
      await peer.deliver(records);
      let settled = 0;
      while (settled < 300) {
        const used = [...peer.used.values()].reduce((sum, each) => ({ records: sum.records + each.records, bytes: sum.bytes + each.bytes }), { records: 0, bytes: 0 });
        peer.grant(used.records + 2 + random.below(4), used.bytes + 2 * (RESERVE + 230) + random.below(400));
        for (const outcome of (await peer.expect('settle')).outcomes) settled += idsOf(outcome).length;
      }
      await peer.close();
    });
    assert.deepEqual(run, { code: 0, stderr: '' });
  });
}

test('without credit nothing is emitted, what emits nothing goes, and pings are answered', async () => {
  await work(transform((given) => (given.size > 0 ? given.emit() : undefined)), async (peer) => {
    await peer.welcome();
    await peer.deliver([record(''), record('x'), record('')]);
    assert.equal((await peer.outcomes(1))[0].emissions.length, 0);
    peer.send({ ping: { nonce: 2n ** 60n } });
    assert.equal((await peer.expect('pong')).nonce, 2n ** 60n);
    peer.grant();
    assert.equal((await peer.outcomes(2))[0].emissions.length, 1);
    await peer.close();
  });
});

test('input credit comes back when records leave the buffer', async () => {
  await work(sink(() => {}), async (peer) => {
    await peer.welcome();
    for (let i = 0; i < 60; i++) { // 30,000 records of 4,096 bytes: far beyond any window
      await peer.deliver(Array.from({ length: 500 }, (_, j) => record(Buffer.alloc(4000), { number: j })));
      assert.ok(peer.credit.records - (peer.charged.records - 500) <= 8192);
    }
    assert.ok((await peer.outcomes(30_000)).length < 15_000, 'neighbours share an outcome');
    await peer.close();
  });
});

test('a record of the largest size always fits', async () => {
  await work(sink(() => {}), async (peer) => {
    await peer.welcome({ maxRecord: 6 << 20, maxFrame: 16 << 20, maxStepBytes: 6 << 20 });
    for (let i = 0; i < 6; i++) {
      await peer.deliver([record(Buffer.alloc(1000)), record(Buffer.alloc(1000))]);
      await peer.deliver([record(Buffer.alloc((6 << 20) - 200))]);
    }
    await peer.outcomes(18);
    await peer.close();
  });
});

test('frames byte by byte, unknown kinds and unknown fields', async () => {
  const unknownField = Buffer.from('a206036162639a0601ff', 'hex');
  const run = await work(transform((given) => given.emit()), async (peer) => {
    await peer.welcome();
    peer.grant();
    peer.sendRaw(Buffer.from('00000008' + '08e807' + '9a06020102', 'hex')); // field 99, with a version
    peer.sendRaw(Buffer.concat([Buffer.from([0, 0, 0, 3 + 2 + unknownField.length, 0x08, 0xe8, 0x07, 0x2a, unknownField.length]), unknownField]));
    await peer.expect('pong');
    await peer.deliver([record('x', { key: 'k', attributes: [{ name: 'a', integer: 5 }] })]);
    const [outcome] = await peer.outcomes(1);
    assert.equal(outcome.emissions[0].output.header.attributes[0].integer, 5);
    await peer.close();
  }, { chunk: 1 });
  assert.deepEqual(run, { code: 0, stderr: '' });
});

// ---- Concurrency ----

test('as many calls in flight as allowed, and records of one key one after the other', async () => {
  const gates = new Map();
  const begun = [];
  let inFlight = 0;
  let most = 0;
  const stage = transform(async (given) => {
    const name = given.text();
    begun.push(name);
    most = Math.max(most, ++inFlight);
    gates.set(name, gate());
    await gates.get(name).opened;
    inFlight--;
    return given.emit();
  }, { concurrency: 3 });
  await work(stage, async (peer) => {
    await peer.welcome();
    peer.grant();
    await peer.deliver(['a1', 'a2', 'b1', 'a3', 'c1', 'd1', 'b2'].map((each) => record(each, { key: each[0] })));
    const settled = async () => idsOf((await peer.outcomes(1))[0])[0];
    await peer.until(() => begun.length === 3, 'three calls');
    assert.deepEqual(begun, ['a1', 'b1', 'c1']);
    gates.get('c1').open();
    assert.equal(await settled(), 5);
    gates.get('a1').open(); // b1 is still in flight: b2 waits, a2 follows
    assert.equal(await settled(), 1);
    await peer.until(() => begun.length === 5, 'five calls');
    assert.deepEqual(begun.slice(3).sort(), ['a2', 'd1']);
    for (const each of ['d1', 'a2', 'b1']) gates.get(each).open();
    await peer.outcomes(3);
    await peer.until(() => begun.length === 7, 'seven calls');
    for (const each of ['a3', 'b2']) gates.get(each).open();
    await peer.outcomes(2);
    await peer.close();
  });
  assert.equal(most, 3);
});

for (const seed of [1, 2, 3, 4, 5]) {
  test(`any delays, any verdicts: settled once and in order per key (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const running = new Set();
    const stage = transform(async (given) => {
      const key = given.key;
      if (key !== '') assert.ok(!running.has(key), 'two records of one key at once');
      running.add(key);
      for (let i = random.below(4); i > 0; i--) await new Promise((resolve) => setImmediate(resolve));
      running.delete(key);
      if (random.next() < 0.1) throw new Retry();
      return random.next() < 0.3 ? undefined : given.emit();
    }, { concurrency: 1 + random.below(8) });
    const run = await work(stage, async (peer) => {
      await peer.welcome();
      peer.grant();
      for (let i = 0; i < 20; i++) {
        await peer.deliver(Array.from({ length: 1 + random.below(20) }, (_, j) => record('x', { number: j, key: random.pick(['', 'a', 'b', 'c', 'd']) })));
      }
      await peer.outcomes(peer.delivered);
      await peer.close();
    });
    assert.deepEqual(run, { code: 0, stderr: '' });
  });
}

test('ordering total: nothing runs beside anything', async () => {
  let inFlight = 0;
  const stage = transform(async () => {
    assert.equal(++inFlight, 1);
    await new Promise((resolve) => setImmediate(resolve));
    inFlight--;
  }, { concurrency: 8 });
  await work(stage, async (peer) => {
    await peer.welcome({ inputs: [{ number: 0, stage: 's', maxUnsettledRecords: 100, maxUnsettledBytes: 4 << 20, ordering: 3 }] });
    await peer.deliver(Array.from({ length: 20 }, (_, i) => record('x', { number: i })));
    for (const each of await peer.outcomes(20)) assert.equal(each.kind, 1);
    await peer.close();
  });
});

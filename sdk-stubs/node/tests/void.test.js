// What the broker voids when something is given back (OR-3): it is not handled, but released.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reject, Release, Retry, sink, transform, window } from 'stagewire';
import { ClosedLanes } from '../lib/lanes.js';
import { gate, idsOf, record, work } from './support/broker.js';
import { randomFrom } from './support/random.js';
import { KEY, NONE, Stream, TOTAL } from './support/voiding.js';

const [ACCEPTED, REJECTED, RETRY, RELEASED] = [1, 2, 3, 4];
const input = (ordering) => ({ inputs: [{ number: 0, stage: 's', maxUnsettledRecords: 4096, maxUnsettledBytes: 4 << 20, ordering }] });
const of = (...payloads) => payloads.map((each) => record(each, { key: each[0] }));
const verdictOf = (outcomes) => Object.fromEntries(outcomes.flatMap((each) => idsOf(each).map((id) => [id, each.kind])));

/** Plays the broker without answering a Ping, other than by `peer.pong()` and `peer.pongs()`. */
async function play(stage, changes, body) {
  const run = await work(stage, async (peer) => {
    peer.unanswered = [];
    await peer.welcome(changes);
    peer.grant();
    await body(peer);
    await peer.close();
  });
  assert.deepEqual(run, { code: 0, stderr: '' });
}

/** A handler that fails at first at the records that it is told; and what it was given. */
function failing(at, fail = () => { throw new Retry(); }) {
  const handled = [];
  const left = new Set(at);
  const handler = (given) => {
    handled.push(given.text());
    if (left.delete(given.text())) fail();
  };
  return { handler, handled };
}

const WAYS = [
  ['one at a time', (f) => f, 1], ['asynchronous', (f) => async (given) => f(given), 1], ['several at once', (f) => async (given) => f(given), 4],
];
for (const [name, wrap, concurrency] of WAYS) {
  for (const [verdict, kind, fail] of [['retry', RETRY, () => { throw new Retry(); }], ['release', RELEASED, () => { throw new Release(); }]]) {
    test(`${verdict}, ${name}: later ones of the key are released until the Pong, other keys go on`, async () => {
      const { handler, handled } = failing(['a1'], fail);
      await play(transform(wrap(handler), { concurrency }), {}, async (peer) => {
        await peer.deliver(of('b1', 'a1', 'a2', 'b2', 'a3'));
        assert.deepEqual(verdictOf(await peer.outcomes(5)), { 1: ACCEPTED, 2: kind, 3: RELEASED, 4: ACCEPTED, 5: RELEASED });
        await peer.until(() => peer.hasPing(), 'a Ping');
        assert.equal(peer.settledBeforePing.has(2), true, 'the Ping is behind the Settle');
        await peer.deliver(of('a4', 'b3', '-')); // on their way when the broker learned of it
        assert.deepEqual(verdictOf(await peer.outcomes(3)), { 6: RELEASED, 7: ACCEPTED, 8: ACCEPTED });
        await peer.pongs();
        await peer.deliver(of('a1', 'a2', 'a3', 'a4'));
        assert.deepEqual(verdictOf(await peer.outcomes(4)), { 9: ACCEPTED, 10: ACCEPTED, 11: ACCEPTED, 12: ACCEPTED });
        assert.equal(await peer.pongs(), 0, 'no Ping behind what gives nothing back');
      });
      assert.deepEqual(handled.filter((each) => each[0] === 'a'), ['a1', 'a1', 'a2', 'a3', 'a4']);
      assert.deepEqual(handled.filter((each) => each[0] === 'b'), ['b1', 'b2', 'b3']);
    });
  }

  test(`ordering, ${name}: TOTAL closes all of the input, NONE and no key nothing`, async () => {
    const total = failing(['a1']);
    await play(sink(wrap(total.handler), { concurrency }), input(TOTAL), async (peer) => {
      await peer.deliver(of('a1', 'b1', '-'));
      assert.deepEqual(verdictOf(await peer.outcomes(3)), { 1: RETRY, 2: RELEASED, 3: RELEASED });
      assert.ok(await peer.pongs() > 0, 'a Ping');
      await peer.deliver(of('a1', 'b1', '-'));
      assert.deepEqual(verdictOf(await peer.outcomes(3)), { 4: ACCEPTED, 5: ACCEPTED, 6: ACCEPTED });
    });
    assert.deepEqual(total.handled, ['a1', 'a1', 'b1', '-']);
    const none = failing(['a1']);
    await play(sink(wrap(none.handler), { concurrency }), input(NONE), async (peer) => {
      await peer.deliver(of('a1', 'a2'));
      assert.deepEqual(verdictOf(await peer.outcomes(2)), { 1: RETRY, 2: ACCEPTED });
      assert.equal(peer.hasPing(), false);
    });
    const keyless = failing(['1']);
    await play(sink(wrap(keyless.handler), { concurrency }), {}, async (peer) => {
      await peer.deliver([record('1'), record('2')]);
      assert.deepEqual(verdictOf(await peer.outcomes(2)), { 1: RETRY, 2: ACCEPTED });
      assert.equal(peer.hasPing(), false);
    });
  });

  test(`given back again, ${name}: the lane opens and closes with each Pong`, async () => {
    const handled = [];
    const stage = sink(wrap((given) => {
      handled.push(given.text());
      if (given.attempt < 3) throw new Retry();
    }), { concurrency });
    await play(stage, {}, async (peer) => {
      for (const attempt of [1, 2]) {
        const first = await peer.deliver(of('a1', 'a2'), [attempt, 1]);
        assert.deepEqual(verdictOf(await peer.outcomes(2)), { [first]: RETRY, [first + 1]: RELEASED });
        assert.ok(await peer.pongs() > 0, 'a Ping');
      }
      await peer.deliver(of('a1', 'a2'), [3, 3]);
      assert.deepEqual(verdictOf(await peer.outcomes(2)), { 5: ACCEPTED, 6: ACCEPTED });
    });
    assert.deepEqual(handled, ['a1', 'a1', 'a1', 'a2']);
  });
}

test('rejected: what is behind it is handled', async () => {
  const { handler, handled } = failing(['a1'], () => { throw new Reject(1001); });
  await play(sink(handler), {}, async (peer) => {
    await peer.deliver(of('a1', 'a2'));
    assert.deepEqual(verdictOf(await peer.outcomes(2)), { 1: REJECTED, 2: ACCEPTED });
    assert.equal(peer.hasPing(), false);
  });
  assert.deepEqual(handled, ['a1', 'a2']);
});

for (const [name, wrap, concurrency] of WAYS) {
  test(`a release of what is void counts as giving back, ${name}: its lane opens behind the last of them`, async () => {
    // The broker has made a1 a dead letter, so nothing was void: a2 is released in truth, and voids a3, which is under way.
    const { handler, handled } = failing(['a1']);
    await play(transform(wrap(handler), { concurrency }), {}, async (peer) => {
      await peer.deliver(of('a1'), [5]);
      assert.deepEqual(verdictOf(await peer.outcomes(1)), { 1: RETRY });
      await peer.until(() => peer.hasPing(), 'a Ping');
      await peer.deliver(of('a2'));
      assert.deepEqual(verdictOf(await peer.outcomes(1)), { 2: RELEASED });
      await peer.until(() => peer.hasPing(2), 'a Ping behind the release');
      assert.equal(peer.settledBeforePing.has(2), true, 'the Ping is behind the Settle');
      peer.pong();
      await peer.deliver(of('a3', 'b1'));
      assert.deepEqual(verdictOf(await peer.outcomes(2)), { 3: RELEASED, 4: ACCEPTED });
      assert.equal(await peer.pongs(), 2);
      await peer.deliver(of('a2', 'a3'));
      assert.deepEqual(verdictOf(await peer.outcomes(2)), { 5: ACCEPTED, 6: ACCEPTED });
    });
    assert.deepEqual(handled, ['a1', 'b1', 'a2', 'a3']);
  });
}

test('each release of what is void is an outcome of its own, in the order of the ids', async () => {
  const stages = [
    sink(failing(['a1']).handler), sink(async () => { throw new Retry(); }, { concurrency: 4 }),
    sink(() => { throw new Retry(); }, { batch: true }), window(() => { throw new Retry(); }, { records: 1, byKey: true }),
  ];
  for (const stage of stages) {
    await play(stage, {}, async (peer) => {
      await peer.deliver(of('a1'));
      await peer.deliver(of('a2', 'a3', 'a4'));
      const outcomes = await peer.outcomes(4);
      assert.deepEqual(outcomes.map((each) => [each.kind, ...idsOf(each)]), [[RETRY, 1], [RELEASED, 2], [RELEASED, 3], [RELEASED, 4]]);
    });
  }
});

test('lanes that are closed together share a Ping: there is one behind each Settle', async () => {
  const { handler } = failing(['a1', 'b1']);
  await play(sink(handler), {}, async (peer) => {
    await peer.deliver(of('a1', 'b1', ...Array(50).fill(['a2', 'b2']).flat()));
    const outcomes = await peer.outcomes(102);
    assert.deepEqual(outcomes.map((each) => each.kind), [RETRY, RETRY, ...Array(100).fill(RELEASED)]);
    assert.equal(await peer.pongs(), peer.settles); // one, unless the worker was so slow that its slice ended
    await peer.deliver(of('a1', 'b1'));
    assert.deepEqual(verdictOf(await peer.outcomes(2)), { 103: ACCEPTED, 104: ACCEPTED });
  });
});

for (const [name, wrap] of [['synchronous', (f) => f], ['asynchronous', (f) => async (records) => f(records)]]) {
  test(`a batch's verdict closes the lanes of all its records, ${name}`, async () => {
    const handled = [];
    const stage = sink(wrap((records) => {
      handled.push(records.splice(0).map((each) => each.text())); // the array is the handler's own
      if (handled.length === 1) throw new Retry();
      if (handled.length === 3) throw new Reject(1001);
    }), { batch: true });
    await play(stage, {}, async (peer) => {
      await peer.deliver(of('a1', 'b1', 'a2'));
      assert.deepEqual(verdictOf(await peer.outcomes(3)), { 1: RETRY, 2: RETRY, 3: RETRY });
      await peer.until(() => peer.hasPing(), 'a Ping');
      await peer.deliver(of('a3', 'c1', 'b2', 'c2'));
      assert.deepEqual(verdictOf(await peer.outcomes(4)), { 4: RELEASED, 5: ACCEPTED, 6: RELEASED, 7: ACCEPTED });
      await peer.deliver(of('a4', 'b3')); // nothing is left of it: no call
      assert.deepEqual(verdictOf(await peer.outcomes(2)), { 8: RELEASED, 9: RELEASED });
      await peer.pongs();
      await peer.deliver(of('a1', 'b1'));
      assert.deepEqual(verdictOf(await peer.outcomes(2)), { 10: REJECTED, 11: REJECTED });
      await peer.deliver(of('a2', 'a3'));
      assert.deepEqual(verdictOf(await peer.outcomes(2)), { 12: ACCEPTED, 13: ACCEPTED });
    });
    assert.deepEqual(handled, [['a1', 'b1', 'a2'], ['c1', 'c2'], ['a1', 'b1'], ['a2', 'a3']]);
  });
}

test('a lane that is given back again while it is closed opens at the last of its Pongs', async () => {
  const T = 1_800_000_000_000_000;
  const at = (second, payload) => record(payload, { key: 'a', eventTime: T + second * 1_000_000 });
  const seen = [];
  const second = gate();
  const stage = window(async (each) => {
    seen.push(each.records.map((one) => one.text()).join());
    if (seen.length === 2) await second.opened;
    if (seen.length <= 2) throw new Retry();
  }, { eventTime: { size: 10, lateness: 20 }, idle: 0 });
  await play(stage, {}, async (peer) => {
    // The later window [10, 20) has the earlier id: it is not void when [0, 10) is given back, and so comes to its turn.
    await peer.deliver([at(11, 'x'), at(1, 'y'), at(45, 'end')]);
    assert.deepEqual(verdictOf(await peer.outcomes(2)), { 2: RETRY, 3: RELEASED });
    await peer.until(() => peer.hasPing(), 'a Ping');
    second.open();
    assert.deepEqual(verdictOf(await peer.outcomes(1)), { 1: RETRY });
    await peer.until(() => peer.hasPing(2), 'two Pings');
    peer.pong();
    await peer.deliver([at(2, 'void')]);
    assert.deepEqual(verdictOf(await peer.outcomes(1)), { 4: RELEASED });
    await peer.pongs();
    await peer.deliver([at(1, 'y')]);
    peer.drain(1, 0);
    assert.deepEqual(verdictOf(await peer.outcomes(1)), { 5: ACCEPTED });
  });
  assert.deepEqual(seen, ['y', 'x', 'y']);
});

test('a window that the Pong was waited for with ends all the same', async () => {
  // Pong and Drain in one read: nothing else comes that could end the window.
  let calls = 0;
  const stage = window(() => { if (++calls === 1) throw new Retry(); }, { records: 2 });
  await play(stage, {}, async (peer) => {
    await peer.deliver(of('a1', 'a2', 'b1'));
    await peer.outcomes(2);
    await peer.until(() => peer.hasPing(), 'a Ping');
    peer.socket.cork();
    peer.pong();
    peer.drain(1, 0);
    peer.socket.uncork();
    assert.deepEqual(verdictOf(await peer.outcomes(1)), { 3: ACCEPTED });
  });
});

test('closed lanes: as many Pongs as Pings, in any interleaving', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const random = randomFrom(seed);
    const due = []; // what the broker has not answered
    const lanes = new ClosedLanes({ inputs: new Map([[0, { ordering: KEY }]]), barrier: (done) => due.push(done) });
    const expected = new Map(['a', 'b', 'c'].map((key) => [key, []])); // key -> Pings that it waits for
    const isClosed = (key) => lanes.has({ _origin: { input: 0 }, keyBytes: Buffer.from(key) });
    let pings = 0;
    let answered = 0;
    for (let i = 0; i < 1000; i++) {
      const key = random.pick(['a', 'b', 'c']);
      const roll = random.below(3);
      if (roll === 0) {
        lanes.close(`0:${key}`);
        expected.get(key).push(pings + 1); // that of the next Ping
      } else if (roll === 1 && lanes.isUnsaid) {
        lanes.ask((open) => open());
        pings++;
      } else if (due.length > 0) {
        due.shift()();
        answered++;
      }
      for (const [each, waitsFor] of expected) assert.equal(isClosed(each), waitsFor.some((ping) => ping > answered), `step ${i}, seed ${seed}`);
      assert.equal(lanes.isAny, ['a', 'b', 'c'].some(isClosed));
    }
  }
});

// ---- Against a broker that voids ----

const KINDS = {
  'a transform': (f) => transform((given) => f(given)),
  'an asynchronous sink': (f) => sink(async (given) => f(given)),
  'a transform with several calls': (f, wait) => transform(async (given) => { await wait(); return f(given); }, { concurrency: 5 }),
  'a batch sink': (f, wait) => sink(async (records) => { await wait(); f(...records); }, { batch: true }),
};

/** Handles until all is done; what was handled. */
async function flow(make, keys, { ordering, fail, seed, most, batch }) {
  const random = randomFrom(seed);
  const handled = [];
  let stream;
  const wait = async () => { for (let i = random.below(4); i > 0; i--) await new Promise((resolve) => setImmediate(resolve)); };
  const stage = make((...records) => {
    for (const each of records) handled.push({ delivery: each.delivery, index: Number(each.text()), attempt: each.attempt });
    fail(records[0], random);
  }, wait);
  const run = await work(stage, async (peer) => {
    await peer.welcome(input(ordering));
    peer.grant();
    if (ordering === NONE) peer.holds = true; // so that the order of settlement is not looked at
    stream = new Stream(peer, keys(random), { ordering, most, batch: batch ?? (() => 1 + random.below(20)) });
    await stream.run();
    await peer.close();
  });
  assert.deepEqual(run, { code: 0, stderr: '' });
  return { handled, stream };
}

for (const [name, make] of Object.entries(KINDS)) {
  for (const [orderingName, ordering] of Object.entries({ KEY, NONE, TOTAL })) {
    test(`${name}, ordering ${orderingName}: nothing that is void is handled, everything is in order`, async () => {
      for (const seed of [1, 2, 3]) {
        const keys = (random) => Array.from({ length: 400 }, () => random.pick(['', 'a', 'b', 'c', 'd']));
        const fail = (_, random) => { if (random.next() < 0.12) throw random.next() < 0.5 ? new Retry() : new Release(); };
        const { handled, stream } = await flow(make, keys, { ordering, fail, seed });
        assert.deepEqual(handled.filter(({ delivery }) => stream.void.has(delivery)), [], `seed ${seed}`);
        const last = new Map();
        for (const { index, lane } of stream.done) {
          if (lane !== '') assert.ok(index > (last.get(lane) ?? -1), `record ${index} is out of order, seed ${seed}`);
          last.set(lane, index);
        }
        if (ordering !== NONE) assert.ok(stream.void.size > 0, 'the test sees void deliveries');
      }
    });
  }
}

for (const [name, make] of Object.entries(KINDS)) {
  if (name === 'a batch sink') continue; // a call is for many records there
  test(`${name}: many held records of one key and many retries cost a call each, not their product`, async () => {
    const records = 600;
    const fail = (given) => { if (Number(given.text()) % 20 === 0 && given.attempt <= 3) throw new Retry(); };
    const { handled, stream } = await flow(make, () => Array(records).fill('k'), { ordering: KEY, fail, seed: 1, most: 300, batch: () => 150 });
    assert.equal(handled.length, records + 3 * records / 20);
    assert.ok(stream.redelivered > 20 * records, `only ${stream.redelivered} came again`);
  });
}

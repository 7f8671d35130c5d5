// Windows: bounds, event time, what is late, what the broker voids.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reject, Release, Retry, window } from 'stagewire';
import { WindowSet } from '../lib/windowset.js';
import { idsOf, record, work } from './support/broker.js';
import { randomFrom } from './support/random.js';

const S = 1_000_000;
const T = 1_800_000_000 * S; // a multiple of ten seconds
const at = (seconds, payload = 'x', header = {}) => record(payload, { eventTime: T + seconds * S, ...header });
let serial = 1000;
const unique = (each) => { each.lineage.id.writeUInt32BE(serial++, 0); return each; };

/** Runs a window stage; `body` plays the broker after the handshake. */
async function play(handler, bounds, body, changes = {}) {
  const stage = window(handler, bounds);
  return work(stage, async (peer) => {
    const hello = await peer.welcome(changes);
    assert.deepEqual([hello.offered, hello.required], [['single-threaded', 'settle-confirm'], ['holds']]);
    peer.grant();
    await body(peer);
    await peer.close();
  });
}

const lengths = [];
const remember = (each) => { lengths.push([each.size, each.complete]); return each.emit({ json: each.size }); };
const sizes = () => lengths.splice(0).map(([size]) => size);

test('records, bytes, seconds: the first bound that is reached', async () => {
  await play(remember, { records: 3, bytes: 10 }, async (peer) => {
    await peer.deliver(['a', 'b', 'c', 'dddddd', 'eeeee', 'f'].map((each) => record(each)));
    assert.deepEqual((await peer.outcomes(4)).map(idsOf), [[1, 2, 3], [4]]);
    peer.drain(1, 0);
    assert.deepEqual((await peer.outcomes(2)).map(idsOf), [[5, 6]]);
  });
  assert.deepEqual(sizes(), [3, 1, 2]);
  await play(remember, { records: 100, seconds: 0.05 }, async (peer) => {
    await peer.deliver([record('a'), record('b')]);
    const [outcome] = await peer.outcomes(2);
    assert.deepEqual([idsOf(outcome), outcome.emissions.length, outcome.emissions[0].parents], [[1, 2], 1, []]);
  });
  assert.deepEqual(sizes(), [2]);
});

test('by key: ranges of one outcome, parents of single emissions', async () => {
  const handler = (each) => [each.emit({ text: each.key }), each.records[1].emit({ text: 'second' })];
  await play(handler, { records: 2, byKey: true }, async (peer) => {
    await peer.deliver(['a', 'b', 'a', 'b'].map((key) => record('x', { key })));
    const outcomes = await peer.outcomes(4);
    assert.deepEqual(outcomes.map(idsOf), [[1, 3], [2, 4]]);
    assert.deepEqual(outcomes[0].emissions.map((each) => each.parents), [[], [3]]);
    assert.deepEqual(outcomes[1].emissions[0].output.payload.toString(), 'b');
  });
});

test('event time: tumbling, with lateness; late and untimed records are rejected', async () => {
  const seen = [];
  const handler = (each) => { seen.push([(each.start - T) / S, (each.end - T) / S, each.size, each.complete]); };
  await play(handler, { eventTime: { size: 10, lateness: 2 } }, async (peer) => {
    await peer.deliver([at(1), at(9), at(11), at(3), record('x')]); // watermark 9: the first is open
    const [untimed] = await peer.outcomes(1);
    assert.deepEqual([untimed.kind, idsOf(untimed), untimed.error.message], [2, [5], "no event time, which this stage's windows go by"]);
    await peer.deliver([at(12), at(4)]); // watermark 10
    const outcomes = await peer.outcomes(4);
    assert.deepEqual(outcomes.map((each) => [each.kind, idsOf(each)]).sort(), [[1, [1, 2, 4]], [2, [7]]]);
    const late = outcomes.find((each) => each.kind === 2);
    assert.equal(late.error.message, `late: its window ended at ${new Date(T / 1000 + 10_000).toISOString()}`);
    peer.drain(1, 0);
    await peer.outcomes(2);
  });
  assert.deepEqual(seen, [[0, 10, 3, true], [10, 20, 2, true]]);
});

test('late: accept drops what is late; idle ends what is held', async () => {
  await play(() => {}, { eventTime: { size: 10 }, late: 'accept', idle: 0.05 }, async (peer) => {
    await peer.deliver([at(1)]);
    assert.deepEqual((await peer.outcomes(1)).map((each) => each.kind), [1]);
    await peer.deliver([at(2)]);
    const [outcome] = await peer.outcomes(1);
    assert.deepEqual([outcome.kind, outcome.emissions.length], [1, 0]);
  });
});

test('what needs more than the broker lets be held ends early, the oldest first', async () => {
  const inputs = [{ number: 0, stage: 's', maxUnsettledRecords: 5, maxUnsettledBytes: 4 << 20, ordering: 1 }];
  await play(remember, { eventTime: { size: 10 }, idle: 0, byKey: true }, async (peer) => {
    await peer.deliver(['a', 'b', 'a', 'b', 'a'].map((key, i) => at(i, 'x', { key })));
    assert.deepEqual((await peer.outcomes(3)).map(idsOf), [[1, 3, 5]]);
    await peer.deliver([at(6, 'x', { key: 'c' })]);
  }, { inputs });
  assert.deepEqual(lengths.splice(0), [[3, false]]);
  await play(remember, { seconds: 3600 }, async (peer) => {
    await peer.deliver(Array.from({ length: 3 }, () => record(Buffer.alloc(3000))));
    await peer.outcomes(3);
  }, { inputs: [{ ...inputs[0], maxUnsettledRecords: 4096, maxUnsettledBytes: 15_000 }], maxRecord: 8000 });
  assert.deepEqual(lengths.splice(0), [[3, false]]);
});

test('shutdown gives back what is held, and what still comes', async () => {
  await play(() => assert.fail('not on shutdown'), { records: 100 }, async (peer) => {
    await peer.deliver(Array.from({ length: 5 }, () => record('x')));
    peer.drain(2);
    assert.deepEqual((await peer.outcomes(5)).map((each) => [each.kind, idsOf(each)]), [[4, [1, 2, 3, 4, 5]]]);
    await peer.deliver([record('x')]);
    assert.equal((await peer.outcomes(1))[0].kind, 4);
  });
});

test('verdicts are for all; single records can be rejected', async () => {
  await play(() => { throw new Reject(1002, 'none of them'); }, { records: 2 }, async (peer) => {
    await peer.deliver([record('x'), record('x')]);
    const [outcome] = await peer.outcomes(2);
    assert.deepEqual([outcome.kind, idsOf(outcome), outcome.error.code], [2, [1, 2], 1002]);
  });
  const handler = (each) => {
    each.reject(each.records[1], 1003, 'this one');
    return each.emit({ json: each.size });
  };
  await play(handler, { records: 3 }, async (peer) => {
    await peer.deliver([record('x'), record('x'), record('x')]);
    const outcomes = await peer.outcomes(3);
    assert.deepEqual(outcomes.map((each) => [each.kind, idsOf(each)]), [[1, [1, 3]], [2, [2]]]);
    assert.equal(outcomes[0].emissions.length, 1);
  });
});

test('parents are of this window and not rejected', async () => {
  const earlier = [];
  const handler = (each) => {
    earlier.push(...each);
    return each.emit({ text: 'x', parents: earlier });
  };
  const run = await play(handler, { records: 1 }, async (peer) => {
    await peer.deliver([record('x'), record('x')]);
    assert.deepEqual((await peer.outcomes(2)).map((each) => each.kind), [1, 3]);
  });
  assert.match(run.stderr, /parents are accepted records of its window/);
});

test('asynchronous handlers: one after the other; records go on being collected', async () => {
  let inFlight = 0;
  const handler = async (each) => {
    assert.equal(++inFlight, 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    inFlight--;
    return each.emit({ json: each.size });
  };
  const run = await play(handler, { records: 2 }, async (peer) => {
    await peer.deliver(Array.from({ length: 10 }, () => record('x')));
    assert.equal((await peer.outcomes(10)).length, 5);
  });
  assert.equal(run.stderr, '');
});

test('without credit a window waits, and comes back when asked to leave', async () => {
  const stage = window((each) => each.emit({ json: 1 }), { records: 2 });
  await work(stage, async (peer) => {
    await peer.welcome();
    await peer.deliver([record('x'), record('x')]);
    peer.send({ ping: { nonce: 3 } });
    await peer.expect('pong');
    process.kill(process.pid, 'SIGTERM');
    assert.deepEqual((await peer.outcomes(2)).map((each) => each.kind), [4]);
    assert.equal((await peer.expect('close')).code, 0);
  });
});

for (const [name, verdict] of [['retry', () => new Retry()], ['release', () => new Release()]]) {
  test(`${name}: what comes again is not late, and is one window again`, async () => {
    let attempt = 0;
    const seen = [];
    const handler = (each) => {
      seen.push([(each.start - T) / S, each.size]);
      if (attempt++ === 0) throw verdict();
    };
    await play(handler, { eventTime: { size: 10 }, idle: 0 }, async (peer) => {
      const records = [at(1), at(2), at(15), at(12)].map(unique);
      await peer.deliver(records);
      assert.deepEqual(idsOf((await peer.outcomes(2))[0]), [1, 2]);
      await peer.deliver([records[0]]);
      await peer.deliver([records[1]]);
      assert.deepEqual((await peer.outcomes(2)).map((each) => [each.kind, idsOf(each)]), [[1, [5, 6]]]);
      peer.drain(1, 0);
      await peer.outcomes(2);
    });
    assert.deepEqual(seen, [[0, 2], [0, 2], [10, 2]]);
  });
}

test('what the broker voids is taken out of its windows, on its way too', async () => {
  let attempt = 0;
  const seen = [];
  const handler = (each) => {
    if (attempt++ === 0) throw new Retry();
    seen.push([(each.start - T) / S, each.records.map((one) => one.text())]);
  };
  await play(handler, { eventTime: { size: 10 }, idle: 0 }, async (peer) => {
    const a = [at(1, 'a1', { key: 'a' }), at(11, 'a2', { key: 'a' })].map(unique);
    const b = unique(at(10, 'b1', { key: 'b' }));
    await peer.deliver([a[0], b, a[1]]); // ids 1, 2, 3: the window [0, 10) ends with b1 and is given back
    const outcomes = await peer.outcomes(2);
    assert.deepEqual(outcomes.map((each) => [each.kind, idsOf(each)]), [[3, [1]], [4, [3]]]);
    // This one was on its way: void, and so it goes back. The Ping was not answered yet.
    const onItsWay = unique(at(12, 'a3', { key: 'a' }));
    await peer.deliver([onItsWay, unique(at(13, 'b2', { key: 'b' }))]);
    assert.deepEqual((await peer.outcomes(1)).map((each) => [each.kind, idsOf(each)]), [[4, [4]]]);
    await peer.pongs(); // that behind this release, too
    await peer.deliver([...a, onItsWay]);
    assert.deepEqual((await peer.outcomes(1)).map((each) => [each.kind, idsOf(each)]), [[1, [6]]]);
    peer.drain(1, 0);
    await peer.outcomes(4);
  });
  assert.deepEqual(seen, [[0, ['a1']], [10, ['b1', 'b2', 'a2', 'a3']]]);
});

test('what waited behind a window that was given back is not late when it comes', async () => {
  let attempt = 0;
  const seen = [];
  const handler = (each) => {
    if (each.key === 'a' && attempt++ === 0) throw new Retry();
    seen.push([each.key, (each.start - T) / S, each.size]);
  };
  await play(handler, { eventTime: { size: 10 }, idle: 0, byKey: true }, async (peer) => {
    const first = unique(at(1, 'x', { key: 'a' }));
    await peer.deliver([first, unique(at(12, 'x', { key: 'b' }))]);
    await peer.outcomes(1);
    // The broker keeps all of `a` behind the first, while `b` goes on for a minute.
    await peer.deliver([13, 40, 70].map((second) => unique(at(second, 'x', { key: 'b' }))));
    assert.deepEqual((await peer.outcomes(3)).map((each) => each.kind), [1, 1]);
    await peer.deliver([first, ...[11, 15, 31, 75].map((second) => unique(at(second, 'x', { key: 'a' })))]);
    assert.deepEqual((await peer.outcomes(4)).map((each) => each.kind), [1, 1, 1]);
    // It has caught up: what is late now is late.
    await peer.deliver([unique(at(33, 'x', { key: 'a' }))]);
    assert.deepEqual((await peer.outcomes(1)).map((each) => each.kind), [2]);
    peer.drain(1, 0);
    await peer.outcomes(2);
  });
  assert.deepEqual(seen, [['b', 10, 2], ['b', 40, 1], ['a', 0, 1], ['a', 10, 2], ['a', 30, 1], ['b', 70, 1], ['a', 70, 1]]);
});

test('bounds that make no sense are an error where the stage is defined', () => {
  for (const bounds of [undefined, {}, { records: 0 }, { seconds: -1 }, { eventTime: {} }, { eventTime: { size: 1 }, records: 2 }, { records: 1, late: 'x' }, { record: 1 }]) {
    assert.throws(() => window(() => {}, bounds), /window: /, JSON.stringify(bounds));
  }
});

for (const seed of [1, 2, 3]) {
  test(`every record is in exactly one window or late, against a naive account (seed ${seed})`, () => {
    const random = randomFrom(seed);
    const set = new WindowSet({ eventTime: { size: 10, lateness: random.below(15) }, byKey: true, idle: 0 });
    const fake = (time, key, delivery) => ({ eventTime: T + time * S, keyBytes: Buffer.from(key), size: 1, delivery, id: `${delivery}` });
    const placed = new Map();
    const late = new Set();
    const take = (panes) => {
      for (const pane of panes) for (const one of pane.records) {
        assert.ok(!placed.has(one.delivery));
        placed.set(one.delivery, pane);
        assert.ok(one.eventTime >= pane.start && one.eventTime < pane.end);
      }
    };
    const all = [];
    let latest = -Infinity;
    for (let i = 0; i < 2000; i++) {
      const one = fake(i / 10 + random.below(30), random.pick(['a', 'b', 'c']), i);
      all.push(one);
      const end = (Math.floor(one.eventTime / (10 * S)) + 1) * 10 * S;
      const isLate = end <= latest - set.latenessMicros;
      const { verdict, ended } = set.add(one, 0);
      assert.equal(verdict, isLate ? 'late' : 'held', `record ${i}`);
      if (isLate) late.add(i);
      else latest = Math.max(latest, one.eventTime);
      take(ended);
      for (const pane of set.panes.values()) assert.ok(pane.end > set.watermark, 'it should have ended');
    }
    take(set.endAll());
    assert.equal(placed.size + late.size, all.length);
    assert.ok(late.size > 0 || set.latenessMicros > 2 * S, 'the test sees late records');
  });
}

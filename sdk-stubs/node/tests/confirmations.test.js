// `record.onConfirmed`: the worker's side of settle-confirm.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { Reject, Release, Retry, sink, transform, window } from 'stagewire';
import { record, work } from './support/broker.js';

const settled = (peer, through, ...refused) => peer.send({
  settled: { through, refused: refused.map((id) => ({ id, error: { code: 306, message: 'no\x1b output' } })) },
});

/** Delivers, waits for the outcomes, lets `body` confirm. */
async function play(stage, payloads, body) {
  const run = await work(stage, async (peer) => {
    const hello = await peer.welcome();
    assert.ok(hello.offered.includes('settle-confirm'));
    peer.grant();
    await peer.deliver(payloads.map((each, number) => record(each, { number })));
    await peer.outcomes(payloads.length);
    await body(peer);
    await peer.close();
  });
  assert.equal(run.code, 0, run.stderr);
  return run.stderr;
}

for (const concurrency of [1, 4]) {
  test(`only what is confirmed is done, and in order, concurrency ${concurrency}`, async () => {
    const done = [];
    const stage = sink(async (given) => {
      given.onConfirmed(() => done.push(given.text()));
      given.onConfirmed(() => done.push('again'));
    }, { concurrency });
    await play(stage, ['a', 'b', 'c', 'd'], (peer) => [1, 3, 3].forEach((through) => settled(peer, through)));
    assert.deepEqual(done, ['a', 'again', 'b', 'again', 'c', 'again']);
  });
}

test('an action that waits delays the next one and the end', async () => {
  const done = [];
  const stage = sink((given) => given.onConfirmed(async () => {
    if (given.text() === 'a') await sleep(20);
    done.push(given.text());
  }));
  await play(stage, ['a', 'b'], (peer) => settled(peer, 2));
  assert.deepEqual(done, ['a', 'b']);
});

test('what is not accepted is not done', async () => {
  const done = [];
  const verdicts = {
    reject: new Reject(1001, 'no'), retry: new Retry('later', { seconds: 1 }), release: new Release(), fail: new RangeError('oops'),
  };
  const stage = sink((given) => {
    given.onConfirmed(() => done.push(given.text()));
    if (given.text() in verdicts) throw verdicts[given.text()];
  });
  await play(stage, [...Object.keys(verdicts), 'good'], (peer) => settled(peer, 5));
  assert.deepEqual(done, ['good']);
});

test('a batch', async () => {
  const done = [];
  const stage = sink((given) => given.forEach((each) => each.onConfirmed(() => done.push(each.text()))), { batch: true });
  await play(stage, ['a', 'b'], (peer) => settled(peer, 2));
  assert.deepEqual(done, ['a', 'b']);
});

test('what the broker refuses is said and not done', async () => {
  const done = [];
  const stage = transform((given) => {
    given.onConfirmed(() => done.push(given.text()));
    return [given.emit(), given.emit()];
  });
  const stderr = await play(stage, ['a', 'b', 'c'], (peer) => {
    settled(peer, 1, 2); // a refusal may come before its outcome is confirmed
    settled(peer, 3);
  });
  assert.deepEqual(done, ['a', 'c']);
  assert.match(stderr, /refused what delivery 2 emitted, which is a dead letter now: no\\x1b output \(306\)/);
});

test('a refused window is named by its first record', async () => {
  const done = [];
  const stage = window((given) => {
    for (const each of given) each.onConfirmed(() => done.push(each.text()));
    return given.emit({ text: 'window' });
  }, { records: 2 });
  await play(stage, ['a', 'b', 'c', 'd'], (peer) => settled(peer, 4, 1));
  assert.deepEqual(done, ['c', 'd']);
});

test('an action that fails is shown and ends nothing', async () => {
  const done = [];
  const stage = sink((given) => given.onConfirmed(async () => {
    if (given.text() === 'bad') throw new RangeError('the file is gone');
    done.push(given.text());
  }));
  const stderr = await play(stage, ['bad', 'good'], (peer) => settled(peer, 2));
  assert.deepEqual(done, ['good']);
  assert.match(stderr, /RangeError: the file is gone/);
});

// Sources: claims, steps, checkpoints, credit, what comes after a reconnect.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emission, source } from 'stagewire';
import { gate, work } from './support/broker.js';

const INPUTS = { inputs: [] };
const count = (end, size = 1) => function* numbers(partition) {
  for (let next = partition.checkpoint ?? 0; next < end; next += size) {
    const emissions = [];
    for (let i = next; i < Math.min(next + size, end); i++) emissions.push(emission({ json: i }));
    yield { emissions, checkpoint: next + size };
  }
};
const asyncCount = (end) => async function* numbers(partition) {
  yield* count(end)(partition);
};
const payloads = (emit) => emit.emissions.map((each) => Number(each.output.payload));

async function claim(peer, lastEmitId = 0, checkpoint = '') {
  const { partition } = await peer.expect('claim');
  peer.send({ claimed: { partition, epoch: 1, lastEmitId, checkpoint: Buffer.from(checkpoint) } });
  return partition;
}

for (const [name, make] of [['sync', count], ['async', asyncCount]]) {
  test(`goes on behind its checkpoint, waits for commits, finishes (${name})`, async () => {
    const run = await work(source(make(5)), async (peer) => {
      await peer.welcome(INPUTS);
      peer.grant();
      const partition = await claim(peer, 2, '2');
      for (const [id, value] of [[3, 2], [4, 3], [5, 4]]) {
        const emit = await peer.expect('emit');
        assert.deepEqual([emit.emitId, payloads(emit), emit.checkpoint.toString()], [id, [value], String(value + 1)]);
      }
      peer.send({ committed: { partition, through: 5 } });
      assert.equal((await peer.expect('finished')).partition, partition);
      await peer.close();
    });
    assert.deepEqual(run, { code: 0, stderr: '' });
  });

  test(`after a reconnect, again what was not committed, with the same ids (${name})`, async () => {
    const first = async (peer) => {
      await peer.welcome(INPUTS);
      peer.grant();
      const partition = await claim(peer);
      for (let i = 0; i < 4; i++) await peer.expect('emit');
      peer.send({ committed: { partition, through: 1 } });
      peer.socket.end();
    };
    const second = async (peer) => {
      await peer.welcome(INPUTS);
      peer.grant();
      const partition = await claim(peer, 2, '2'); // it has one more than it could say
      const emits = [await peer.expect('emit'), await peer.expect('emit')];
      assert.deepEqual(emits.map((each) => [each.emitId, payloads(each)]), [[3, [2]], [4, [3]]]);
      peer.send({ committed: { partition, through: 4 } });
      await peer.expect('finished');
      await peer.close();
    };
    assert.equal((await work(source(make(4)), [first, second], { token: '' })).code, 0);
  });

  test(`a broker that knows less is right (${name})`, async () => {
    const first = async (peer) => {
      await peer.welcome(INPUTS);
      peer.grant();
      const partition = await claim(peer);
      for (let i = 0; i < 3; i++) await peer.expect('emit');
      peer.send({ committed: { partition, through: 3 } });
      await peer.expect('finished');
      peer.socket.end();
    };
    const second = async (peer) => {
      await peer.welcome(INPUTS);
      peer.grant();
      const partition = await claim(peer, 1, '1');
      assert.deepEqual([payloads(await peer.expect('emit')), payloads(await peer.expect('emit'))], [[1], [2]]);
      peer.send({ committed: { partition, through: 3 } });
      await peer.expect('finished');
      await peer.close();
    };
    assert.equal((await work(source(make(3)), [first, second], { token: '' })).code, 0);
  });

  test(`shutdown: stops, waits for what it sent, says Close (${name})`, async () => {
    await work(source(make(Infinity)), async (peer) => {
      await peer.welcome(INPUTS);
      peer.grant(10);
      const partition = await claim(peer);
      for (let i = 0; i < 10; i++) await peer.expect('emit');
      peer.drain(2);
      peer.send({ ping: { nonce: 1 } });
      await peer.expect('pong');
      assert.equal(peer.messages.length, 0, 'it waits');
      peer.send({ committed: { partition, through: 10 } });
      assert.equal((await peer.expect('close')).code, 0);
    });
  });

  test(`credit in drops (${name})`, async () => {
    await work(source(make(50)), async (peer) => {
      await peer.welcome(INPUTS);
      const partition = await claim(peer);
      for (let i = 1; i <= 50; i++) {
        peer.grant(i, i * 140);
        assert.equal((await peer.expect('emit')).emitId, i);
      }
      peer.send({ committed: { partition, through: 50 } });
      await peer.expect('finished');
      await peer.close();
    });
  });
}

test('several partitions side by side, and none', async () => {
  const stage = source(count(3), { partitions: (config) => config.files });
  await work(stage, async (peer) => {
    await peer.welcome({ ...INPUTS, config: Buffer.from('{"files":["a","b"]}') });
    peer.grant();
    assert.deepEqual([await claim(peer), await claim(peer)].sort(), ['a', 'b']);
    const last = new Map();
    for (let i = 0; i < 6; i++) {
      const { partition, emitId } = await peer.expect('emit');
      assert.equal(emitId, (last.get(partition) ?? 0) + 1);
      last.set(partition, emitId);
    }
    for (const partition of ['a', 'b']) peer.send({ committed: { partition, through: 3 } });
    await peer.expect('finished');
    await peer.expect('finished');
    await peer.close();
  });
  await work(source(count(3), { partitions: [] }), async (peer) => {
    await peer.welcome(INPUTS);
    assert.equal(await claim(peer), 'one');
    await peer.expect('finished');
    await peer.close();
  });
});

test('a source that waits for input answers pings, and its signal ends the wait', async () => {
  let reason;
  const stage = source(async function* wait(partition, { signal }) {
    yield { emissions: emission({ text: 'x' }), checkpoint: 1 };
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    reason = signal.reason.name;
  });
  await work(stage, async (peer) => {
    await peer.welcome(INPUTS);
    peer.grant();
    const partition = await claim(peer);
    await peer.expect('emit');
    peer.send({ ping: { nonce: 9 } });
    await peer.expect('pong');
    peer.send({ committed: { partition, through: 1 } });
    process.kill(process.pid, 'SIGTERM');
    assert.equal((await peer.expect('close')).code, 0);
  });
  assert.equal(reason, 'AbortError');
});

test('a step that was asked for when the broker went is not lost', async () => {
  const { opened, open } = gate();
  let calls = 0;
  const stage = source(async function* wait() {
    calls++;
    await opened;
    yield { emissions: emission({ json: 1 }), checkpoint: 1 };
  });
  const first = async (peer) => {
    await peer.welcome(INPUTS);
    await claim(peer);
    peer.socket.end();
  };
  const second = async (peer) => {
    await peer.welcome(INPUTS);
    peer.grant();
    const partition = await claim(peer);
    open();
    assert.deepEqual(payloads(await peer.expect('emit')), [1]);
    peer.send({ committed: { partition, through: 1 } });
    await peer.expect('finished');
    await peer.close();
  };
  await work(stage, [first, second], { token: '' });
  assert.equal(calls, 1);
});

test('refused steps are reported', async () => {
  const run = await work(source(count(1)), async (peer) => {
    await peer.welcome(INPUTS);
    peer.grant();
    const partition = await claim(peer);
    await peer.expect('emit');
    peer.send({ committed: { partition, through: 1, refused: [{ id: 1, error: { code: 306, message: 'a key too long' } }] } });
    await peer.expect('finished');
    await peer.close();
  });
  assert.match(run.stderr, /step 1 of partition "0" was refused and is not part of the stream: a key too long \(306\)/);
});

test('a source that fails, or emits too much, ends the worker with 1', async () => {
  const failing = [
    [function* () { throw new Error('no such file'); }, /no such file/],
    [async function* () { throw new Error('no such file'); }, /no such file/],
    [function* () { yield 7; }, /yields \{ emissions, checkpoint \}/],
    [function* () { yield { emissions: [{}], checkpoint: 1 }; }, /emission\(\{\.\.\.\}\)/],
    [function* () { yield { emissions: [], checkpoint: 'x'.repeat(70_000) }; }, /a checkpoint of 70002 bytes; the limit is 65536/],
    [function* () { yield { emissions: emission({ payload: Buffer.alloc(2 << 20) }), checkpoint: 1 }; }, /a record may have 1048576/],
    [() => 5, /a source is a generator/],
  ];
  for (const [handler, words] of failing) {
    const run = await work(source(handler), async (peer) => {
      await peer.welcome(INPUTS);
      await claim(peer);
      await peer.until(() => peer.hungUp, 'the end');
    });
    assert.equal(run.code, 1, run.stderr);
    assert.match(run.stderr, words);
  }
});

test('a trace context goes with an emission; bytes are a checkpoint too', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const stage = source(function* () {
    yield { emissions: [emission({ text: 'x', trace: { traceparent } })], checkpoint: Buffer.from([1, 2]) };
  });
  await work(stage, async (peer) => {
    await peer.welcome(INPUTS);
    peer.grant();
    const partition = await claim(peer);
    const emit = await peer.expect('emit');
    assert.equal(emit.emissions[0].trace.traceparent, traceparent);
    assert.deepEqual(emit.checkpoint, Buffer.from([1, 2]));
    peer.send({ committed: { partition, through: 1 } });
    await peer.expect('finished');
    await peer.close();
  });
});

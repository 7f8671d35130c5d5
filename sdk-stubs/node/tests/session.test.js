// Handshake, liveness, timeouts, endings and what comes again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sink, transform } from 'stagewire';
import { main } from '../lib/run.js';
import { gate, idsOf, record, work } from './support/broker.js';

const forward = transform((given) => given.emit());

test('hello', async () => {
  const run = await work(forward, async (peer) => {
    const hello = await peer.welcome();
    assert.deepEqual([hello.minVersion, hello.maxVersion, hello.stage, hello.language], [1000, 1000, 'score', 'javascript']);
    assert.deepEqual(hello.offered, ['single-threaded', 'settle-confirm']);
    assert.deepEqual(hello.token, Buffer.from([0, 255]));
    assert.equal(hello.stageVersion, '2.1');
    await peer.close();
  }, { options: { version: '2.1' } });
  assert.deepEqual(run, { code: 0, stderr: '' });
});

test('a refusal is printed, with control characters escaped, and ends with 2', async () => {
  const run = await work(forward, (peer) => peer.close(200, "no stage named 'scor'\x1b[31m; did you mean 'score'?"));
  assert.equal(run.code, 2);
  assert.equal(run.stderr, "stagewire: no stage named 'scor'\\x1b[31m; did you mean 'score'? (200)\n");
});

test('refused before Hello was read', async () => {
  const run = await work(forward, async (peer) => {
    peer.send({ close: { code: 106, message: 'your user may not' } });
    peer.socket.end();
  });
  assert.equal(run.code, 2, run.stderr);
  assert.match(run.stderr, /your user may not/);
});

test('a Close of another major version is read', async () => {
  const run = await work(forward, (peer) => {
    peer.sendVersion = 2000;
    return peer.close(102, 'this broker speaks 2.0');
  });
  assert.deepEqual([run.code, run.stderr], [2, 'stagewire: this broker speaks 2.0 (102)\n']);
});

test('any other frame of another major version closes with 102', async () => {
  const run = await work(forward, async (peer) => {
    await peer.expect('hello');
    peer.sendVersion = 2000;
    peer.send({ ping: { nonce: 1 } });
    assert.equal((await peer.expect('close')).code, 102);
  });
  assert.equal(run.code, 2);
});

test('garbage closes with 100, too much with 101, a delivery out of line with 100', async () => {
  const cases = [
    [100, (peer) => peer.sendRaw(Buffer.from('00000003616263', 'hex'))],
    [101, (peer) => peer.sendRaw(Buffer.from('7f000000', 'hex'))],
    [100, (peer) => peer.send({ deliver: { firstDelivery: 7, records: [record('x')] } })],
    [100, (peer) => peer.send({ deliver: { input: 9, firstDelivery: 1, records: [record('x')] } })],
  ];
  for (const [code, send] of cases) {
    const run = await work(forward, async (peer) => {
      await peer.welcome();
      send(peer);
      assert.equal((await peer.expect('close')).code, code);
    });
    assert.equal(run.code, 2);
  }
});

test('Close is answered by Close, and nothing is sent after it', async () => {
  await work(forward, async (peer) => {
    await peer.welcome();
    peer.send({ close: {} });
    assert.equal((await peer.expect('close')).code, 0);
  });
});

// ---- The broker goes ----

test('a worker that the broker started ends with it', async () => {
  const run = await work(forward, async (peer) => {
    await peer.welcome();
    await peer.until(() => peer.credit.records > 0, 'credit');
    peer.socket.destroy();
  });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /lost the broker at .*hung up/);
});

test('others attach again, and say so once', async () => {
  const seen = [];
  const stage = sink((given) => { seen.push(given.text()); });
  const first = async (peer) => {
    await peer.welcome();
    await peer.deliver([record('a')]);
    await peer.outcomes(1);
    peer.socket.destroy(); // the broker was killed
  };
  const second = async (peer) => {
    const hello = await peer.welcome();
    assert.deepEqual([hello.stage, hello.token.length], ['score', 0]);
    await peer.deliver([record('b')]);
    await peer.outcomes(1);
    await peer.close(211, 'the broker is shutting down');
  };
  const busy = (peer) => peer.close(201, 'another worker has this name');
  const last = async (peer) => {
    await peer.welcome();
    await peer.close();
  };
  const run = await work(stage, [first, second, busy, last], { token: '' });
  assert.equal(run.code, 0, run.stderr);
  assert.deepEqual(seen, ['a', 'b']);
  assert.equal(run.stderr.match(/trying again/g).length, 2, run.stderr);
});

test('a broker that is not there yet is waited for, or not', async () => {
  const script = async (peer) => {
    await peer.welcome();
    await peer.close();
  };
  const late = (listen) => new Promise((resolve) => { setTimeout(() => resolve(listen()), 30); });
  const run = await work(forward, script, { token: '', onListen: late });
  assert.equal(run.code, 0);
  assert.match(run.stderr, /ENOENT.*trying again/);
  const spawned = await work(forward, [], { onListen: async () => {} });
  assert.equal(spawned.code, 1);
  assert.match(spawned.stderr, /lost the broker/);
});

test('without a socket, with a token that is none, with something that is no stage', async () => {
  const write = process.stderr.write;
  let said = '';
  process.stderr.write = (text) => { said += text; return true; };
  try {
    process.env.STAGEWIRE_SOCKET = '';
    assert.equal(await main(forward, {}, []), 2);
    assert.equal(await main(() => {}, {}, []), 2);
    process.env.STAGEWIRE_SOCKET = '/nowhere';
    delete process.env.STAGEWIRE_STAGE;
    assert.equal(await main(sink(() => {}), {}, []), 2);
    process.env.STAGEWIRE_TOKEN = 'xyz';
    assert.equal(await main(forward, {}, []), 2);
  } finally {
    process.stderr.write = write;
  }
  assert.match(said, /STAGEWIRE_SOCKET is not set.*stagewire run/);
  assert.match(said, /run\(\) takes what transform/);
  assert.match(said, /this stage has no name: set STAGEWIRE_STAGE/);
  assert.match(said, /STAGEWIRE_TOKEN is not hexadecimal/);
});

// ---- Busy ----

test('while an asynchronous handler runs: pongs, and the lease is renewed', async () => {
  const { opened, open } = gate();
  await work(sink(() => opened), async (peer) => {
    await peer.welcome({ leaseMs: 90 });
    await peer.deliver([record('x')]);
    await peer.until(() => peer.extends >= 3, 'three Extends');
    peer.send({ ping: { nonce: 1 } });
    await peer.expect('pong');
    open();
    await peer.outcomes(1);
    const before = peer.extends;
    await new Promise((resolve) => setTimeout(resolve, 90));
    assert.equal(peer.extends, before, 'nothing is held');
    await peer.close();
  });
});

test('a handler beyond its timeout: its signal fires, nothing new is begun, the lease runs out', async () => {
  const reasons = [];
  const { opened, open } = gate();
  const stage = sink((given, { signal }) => {
    if (given.text() === 'next') return undefined;
    signal.addEventListener('abort', () => reasons.push(signal.reason.name));
    return opened;
  }, { timeout: 0.05, concurrency: 2 });
  const first = async (peer) => {
    await peer.welcome({ leaseMs: 60 });
    await peer.deliver([record('stuck')]);
    await peer.until(() => reasons.length === 1, 'the signal');
    peer.send({ ping: { nonce: 1 } }); // behind the Pong: what was written before the signal has come
    await peer.expect('pong');
    const before = peer.extends;
    await peer.deliver([record('next')]);
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(peer.extends, before);
    assert.equal(peer.messages.filter((each) => each.kind === 'settle').length, 0);
    peer.send({ close: { code: 207, message: 'lease expired' } });
    await peer.until(() => peer.hungUp || peer.messages.some((each) => each.kind === 'close'), 'an answer').catch(() => {});
    open();
  };
  const second = async (peer) => {
    await peer.welcome();
    await peer.deliver([record('next')]);
    assert.equal((await peer.outcomes(1))[0].kind, 1);
    await peer.close();
  };
  const run = await work(stage, [first, second], { token: '' });
  assert.equal(run.code, 0, run.stderr);
  assert.deepEqual(reasons, ['TimeoutError']);
});

test('a handler that heeds its signal is tried again; the effect may have happened', async () => {
  const stage = sink((given, { signal }) => new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  }), { timeout: 0.03 });
  const run = await work(stage, async (peer) => {
    await peer.welcome();
    await peer.deliver([record('x')]);
    const [outcome] = await peer.outcomes(1);
    assert.deepEqual([outcome.kind, outcome.error.indefinite], [3, true]);
    assert.match(outcome.error.message, /TimeoutError: the call has taken longer than its timeout of 0.03 s/);
    await peer.close();
  });
  assert.equal(run.stderr, '', 'no trace: nothing is wrong with the handler');
});

test('synchronous handlers let the event loop have its turn', async () => {
  let count = 0;
  const stage = sink(() => {
    count++;
    for (const end = performance.now() + 2; performance.now() < end;);
  });
  await work(stage, async (peer) => {
    await peer.welcome();
    await peer.deliver(Array.from({ length: 100 }, () => record('x')));
    peer.send({ ping: { nonce: 5 } });
    const came = (kind) => peer.messages.some((each) => each.kind === kind);
    await peer.until(() => came('settle') && came('pong'), 'Settle and Pong');
    assert.ok(count < 100, 'neither waits for the rest');
    await peer.outcomes(100);
    await peer.close();
  });
});

// ---- Leaving ----

test('shutdown: what is at hand is finished, what was not begun goes back', async () => {
  const { opened, open } = gate();
  await work(sink(() => opened), async (peer) => {
    await peer.welcome();
    await peer.deliver([0, 1, 2, 3].map((number) => record('', { number })));
    peer.send({ ping: { nonce: 1 } });
    await peer.expect('pong');
    peer.drain(2);
    peer.send({ ping: { nonce: 2 } });
    await peer.expect('pong');
    open();
    const found = await peer.outcomes(4);
    assert.deepEqual(found.map((each) => [each.kind, idsOf(each)]), [[1, [1]], [4, [2, 3, 4]]]);
    await peer.deliver([record('late')]);
    assert.equal((await peer.outcomes(1))[0].kind, 4);
    await peer.close();
  });
});

test('shutdown: signals of handlers at hand fire when half of the time is over', async () => {
  const stage = sink((given, { signal }) => new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  }));
  await work(stage, async (peer) => {
    await peer.welcome();
    await peer.deliver([record('x')]);
    peer.send({ ping: { nonce: 1 } });
    await peer.expect('pong');
    peer.drain(2, 60);
    const [outcome] = await peer.outcomes(1);
    assert.deepEqual([outcome.kind, outcome.error.message], [3, 'AbortError: the stage shuts down']);
    await peer.close();
  });
});

test('after the input has ended redeliveries are still handled', async () => {
  await work(sink(() => {}), async (peer) => {
    await peer.welcome();
    peer.drain(1, 0);
    await peer.deliver([record('')], [2]);
    assert.equal((await peer.outcomes(1))[0].kind, 1);
    await peer.close();
  });
});

test('SIGTERM finishes what has begun, gives back the rest, says Close(0)', async () => {
  const stage = sink((given) => { if (given.delivery === 2) process.kill(process.pid, 'SIGTERM'); });
  // Ends when the signal has been seen, so that nothing is begun before.
  const slow = sink(async (given) => {
    if (given.delivery !== 2) return;
    const seen = new Promise((resolve) => { process.once('SIGTERM', resolve); });
    process.kill(process.pid, 'SIGTERM');
    await seen;
  });
  for (const [each, count] of [[slow, 2], [stage, 0]]) {
    const run = await work(each, async (peer) => {
      await peer.welcome();
      await peer.deliver([0, 1, 2, 3].map((number) => record('', { number })));
      const found = await peer.outcomes(4);
      const accepted = found.filter((outcome) => outcome.kind === 1).flatMap(idsOf);
      const released = found.filter((outcome) => outcome.kind === 4).flatMap(idsOf);
      // A synchronous handler has the slice before the signal is seen.
      assert.deepEqual([...accepted, ...released], [1, 2, 3, 4]);
      if (count > 0) assert.equal(accepted.length, count);
      assert.equal((await peer.expect('close')).code, 0);
    });
    assert.equal(run.code, 0);
  }
});

test('SIGTERM while there is no credit gives the record back', async () => {
  const run = await work(forward, async (peer) => {
    await peer.welcome();
    await peer.deliver([record('a')]);
    peer.send({ ping: { nonce: 1 } });
    await peer.expect('pong');
    process.kill(process.pid, 'SIGTERM');
    assert.equal((await peer.outcomes(1))[0].kind, 4);
    assert.equal((await peer.expect('close')).code, 0);
  });
  assert.equal(run.code, 0);
});

test('SIGTERM while nobody is there ends the attempts', async () => {
  const run = await work(forward, [], { token: '', onListen: async () => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    process.kill(process.pid, 'SIGTERM');
  } });
  assert.equal(run.code, 0);
});

// ---- Configuration ----

const configured = (schema, document) => {
  const seen = [];
  const stage = sink((given, { config }) => { seen.push(config); }, { config: schema });
  return work(stage, async (peer) => {
    await peer.welcome({ config: Buffer.from(document) });
    await peer.until(() => peer.credit.records > 0 || peer.messages.length > 0, 'credit or Close');
    if (peer.credit.records === 0) {
      assert.ok((await peer.expect('close')).code >= 1000);
      return;
    }
    await peer.deliver([record('x')]);
    await peer.outcomes(1);
    await peer.close();
  }).then((run) => ({ ...run, seen }));
};

test('a configuration that fits', async () => {
  const { optional, oneOf, mapOf } = await import('stagewire');
  const schema = { threshold: 'number', names: ['string'], mode: optional(oneOf('a', 'b'), 'a'), limits: optional(mapOf('integer'), {}) };
  const { code, seen } = await configured(schema, '{"threshold": 3.5, "names": ["x"], "limits": {"y": 2}}');
  assert.deepEqual([code, seen], [0, [{ threshold: 3.5, names: ['x'], mode: 'a', limits: { y: 2 } }]]);
  assert.deepEqual((await configured((value) => value.a * 2, '{"a": 4}')).seen, [8]);
  assert.deepEqual((await configured(undefined, '{"a": [1]}')).seen, [{ a: [1] }]);
});

test('one that does not ends the worker with 2 and names the field', async () => {
  const schema = { threshold: 'number', names: ['string'] };
  for (const [document, sentence] of [
    ['{"threshold": "high", "names": []}', 'config.threshold: expected a number, got "high"'],
    ['{"names": []}', 'config.threshold: missing; this stage cannot do without it'],
    ['{"threshold": 1, "names": ["a", 2]}', 'config.names[1]: expected a string, got 2'],
    ['{"threshold": 1, "names": [], "treshold": 2}', 'config.treshold: not known to this stage; it knows threshold, names'],
    ['[1]', 'config: expected a mapping, got [1]'],
    ['{"a":', 'config: not JSON'],
  ]) {
    const { code, stderr, seen } = await configured(schema, document);
    assert.deepEqual([code, seen], [2, []], document);
    assert.ok(stderr.includes(`stagewire: stage score: ${sentence}`), stderr);
  }
  const own = await configured(() => { throw new Error('config.a: too small'); }, '{}');
  assert.deepEqual([own.code, own.stderr], [2, 'stagewire: stage score: config: config.a: too small\n']);
});

test('setup is called once over all sessions, and what it made is closed', async () => {
  const calls = [];
  const stage = sink((given, { state }) => { calls.push(state.name); }, {
    setup: async (config) => { calls.push(config); return { name: 'model', close: () => calls.push('closed') }; },
  });
  const one = async (peer, code) => {
    await peer.welcome({ config: Buffer.from('{"a":1}') });
    await peer.deliver([record('x')]);
    await peer.outcomes(1);
    await peer.close(code, code ? 'lease expired' : '');
  };
  await work(stage, [(peer) => one(peer, 207), (peer) => one(peer, 0)]);
  assert.deepEqual(calls, [{ a: 1 }, 'model', 'model', 'closed']);
});

test('an author\'s mistakes show when the stage is defined', () => {
  assert.throws(() => transform('x'), /expected a function/);
  assert.throws(() => transform(() => {}, { concurency: 2 }), /no option "concurency"; it has: .*concurrency/);
  assert.throws(() => transform(() => {}, { concurrency: 0 }), /concurrency is a number from 1/);
  assert.throws(() => transform(() => {}, { config: { a: 'strng' } }), /config\.a: "strng" is no schema/);
});

// The conformance worker (conformance/), as conformance/README.md of the repository describes it.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { idsOf, record } from './support/broker.js';
import { against } from './support/process.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const WORKER = here('../conformance/worker.js');
const [ACCEPTED, REJECTED, RETRY, RELEASED] = [1, 2, 3, 4];
const HEADER = {
  schema: 's', schemaVersion: 3, key: 'k', eventTime: 1_800_000_000_000_000, contentType: 'text/x', attributes: [{ name: 'a', integer: 5 }],
};

/** Runs the worker as `stage` against a broker that plays `body` behind the handshake. */
async function play(stage, body, { config = '{}', changes = {}, env = {} } = {}) {
  return against(WORKER, async (peer, worker) => {
    const hello = await peer.welcome({ config: Buffer.from(config), ...changes });
    assert.equal(hello.stage, stage);
    peer.grant();
    await body(peer, worker);
    if (!peer.hungUp) await peer.close();
  }, { env: { STAGEWIRE_STAGE: stage, ...env } });
}

const outputs = (outcome) => outcome.emissions.map(({ port, output }) => `${port}:${output.payload}`);

/** What the worker makes of one record with that payload. */
async function one(peer, payload, { attempt = 1, header = HEADER } = {}) {
  await peer.deliver([record(payload, { number: 7, ...header })], [attempt]);
  const [outcome] = await peer.outcomes(1);
  for (const { output } of outcome.emissions) {
    const { key, attributes, ...rest } = output.header;
    assert.deepEqual({ ...rest, key: key.toString(), attributes: attributes.map(({ name, integer }) => ({ name, integer })) }, HEADER);
  }
  return outcome;
}

// ---- The description ----

/** A file of `key: JSON`, and one level of keys below a key alone. */
function readDescription() {
  const found = {};
  let inner;
  for (const line of readFileSync(here('../conformance/conformance.yaml'), 'utf8').split('\n')) {
    const [, indent, key, value] = /^( *)(\w+):(?: (.*))?$/.exec(line) ?? [];
    if (key === undefined) assert.match(line, /^(#.*)?$/);
    else if (value === undefined) inner = found[key] = {};
    else (indent ? inner : found)[key] = JSON.parse(value);
  }
  return found;
}

test('conformance.yaml says how to start the worker, and what Hello has', async () => {
  const { command, build, profiles, features, ...rest } = readDescription();
  assert.deepEqual([command, build, rest], [['node', 'worker.js'], '', {}]);
  assert.deepEqual(profiles, ['core', 'source', 'window', 'ordered', 'reconnect', 'confirm']);
  assert.deepEqual(Object.keys(features), ['transform', 'ordered', 'source', 'window']);
  for (const [stage, expected] of Object.entries(features)) {
    const changes = stage === 'source' ? { inputs: [] } : {};
    const run = await against(WORKER, async (peer) => {
      const hello = await peer.welcome(changes);
      assert.deepEqual([...hello.offered, ...hello.required].sort(), [...expected].sort(), stage);
      await peer.close();
    }, { env: { STAGEWIRE_STAGE: stage } });
    assert.deepEqual(run, { code: 0, stderr: '' }, stage);
  }
});

test('another stage than the four: exit code 2 and a sentence', () => {
  const { status, stderr } = spawnSync(process.execPath, [WORKER], { encoding: 'utf8', env: { ...process.env, STAGEWIRE_STAGE: 'join' } });
  assert.equal(status, 2);
  assert.match(stderr, /STAGEWIRE_STAGE is "join"; it is one of transform, ordered, source, window/);
});

// ---- transform ----

test('directives that emit, with the input\'s header', async () => {
  const config = '{"big": 9007199254740993, "text": "ü"}';
  const run = await play('transform', async (peer) => {
    const cases = [
      ['', []], ['echo', ['0:echo']], ['emit 3', ['0:0', '0:1', '0:2']], ['emit 2 4', ['0:0   ', '0:1   ']], ['emit 11 1', [...Array(11).keys()].map((n) => `0:${n}`)],
      ['emit 1 2 side', ['1:0 ']], ['emit 0', []], ['id', [`0:${Buffer.from('iiiiiiiiiiii\0\0\0\x07').toString('hex')}`]],
      ['config', [`0:${config}`]], ['env STAGEWIRE_TEST', ['0:a b']], ['env STAGEWIRE_TOKEN', []], ['env STAGEWIRE_NOT_SET', []],
      ['wait 1;echo;emit 1 0 side;id', ['0:wait 1;echo;emit 1 0 side;id', '1:0', `0:${'69'.repeat(12)}00000007`]],
    ];
    for (const [payload, expected] of cases) {
      const outcome = await one(peer, payload);
      assert.deepEqual([outcome.kind, outputs(outcome)], [ACCEPTED, expected], payload);
    }
    assert.deepEqual(outputs(await one(peer, 'attempt', { attempt: 4 })), ['0:4']);
  }, { config, changes: { outputs: [{ number: 0, port: 'out' }, { number: 1, port: 'side' }] }, env: { STAGEWIRE_TEST: 'a b' } });
  assert.deepEqual(run, { code: 0, stderr: '' });
});

test('port numbers come from Welcome, and so does the first one\'s name', async () => {
  await play('transform', async (peer) => {
    assert.deepEqual(outputs(await one(peer, 'echo;emit 1 1 side')), ['1:echo;emit 1 1 side', '0:0']);
  }, { changes: { outputs: [{ number: 0, port: 'side' }, { number: 1, port: 'out' }] } });
});

test('verdicts: the first one ends the record, and what was emitted before it is not sent', async () => {
  const run = await play('transform', async (peer) => {
    const cases = [
      ['reject', REJECTED, 1000, 'rejected'], ['reject 1234', REJECTED, 1234, 'rejected'], ['reject 1234 two words', REJECTED, 1234, 'two words'],
      ['echo;reject 1001 x;echo', REJECTED, 1001, 'x'], ['retry', RETRY, 1000, 'to be tried again', 0], ['retry 70', RETRY, 1000, 'to be tried again', 70],
      ['retry 70 1002', RETRY, 1002, 'to be tried again', 70], ['retry 0 1003 a b', RETRY, 1003, 'a b', 0], ['throw an accident', RETRY, 1000, 'Error: an accident', 0],
      ['dance', REJECTED, 1999], ['emit', REJECTED, 1999], ['emit x', REJECTED, 1999], ['echo ', REJECTED, 1999], ['echo;', REJECTED, 1999], ['wait', REJECTED, 1999],
      [Buffer.from([0xff]), REJECTED, 1999], ['toString', REJECTED, 1999],
    ];
    for (const [payload, kind, code, message, delayMs = 0] of cases) {
      const outcome = await one(peer, payload, { header: {} });
      assert.deepEqual([outcome.kind, outcome.error.code, outcome.delayMs, outcome.emissions], [kind, code, delayMs, []], String(payload));
      if (message !== undefined) assert.equal(outcome.error.message, message);
    }
    assert.equal((await one(peer, 'echo;release')).kind, RELEASED);
  });
  assert.equal(run.code, 0);
  assert.match(run.stderr, /an accident/);
});

test('exit ends the process at once', async () => {
  const run = await play('transform', async (peer) => {
    await peer.deliver([record('exit 7')]);
    await peer.until(() => peer.hungUp, 'the end');
    assert.deepEqual(peer.messages.filter((each) => each.kind === 'close' || each.kind === 'settle'), []);
  });
  assert.equal(run.code, 7);
});

// ---- ordered ----

test('ordered: at least four handlers at once, one for each key', async () => {
  const run = await play('ordered', async (peer, worker) => {
    // Three that take longer than any test; d can be done only beside them, f only beside four of them.
    await peer.deliver(['a', 'b', 'c'].map((key) => record('wait 3600000', { key })));
    await peer.deliver([record('echo', { key: 'a' }), record('echo', { key: 'd' })]);
    assert.deepEqual((await peer.outcomes(1)).map(idsOf), [[5]]);
    await peer.deliver([record('wait 3600000', { key: 'e' }), record('retry 0', { key: 'f' }), record('echo', { key: 'f' })]);
    assert.deepEqual((await peer.outcomes(2)).map((each) => [each.kind, idsOf(each)]), [[RETRY, [7]], [RELEASED, [8]]]);
    worker().kill('SIGKILL');
    await peer.until(() => peer.hungUp, 'the end');
  });
  assert.equal(run.code, null);
});

// ---- source ----

/** Answers Claim and reads Emits to the last of the partition. */
async function emits(peer, partition, { lastEmitId = 0, checkpoint = '', count }) {
  assert.equal((await peer.expect('claim')).partition, partition);
  peer.send({ claimed: { partition, epoch: 1, lastEmitId, checkpoint: Buffer.from(checkpoint) } });
  const found = [];
  for (let i = 0; i < count; i++) {
    const { emitId, emissions, checkpoint: reached } = await peer.expect('emit');
    found.push([emitId, emissions.map(({ output }) => `${output.header.key}:${output.payload}`), reached.toString()]);
  }
  peer.send({ committed: { partition, through: lastEmitId + count } });
  return found;
}

test('source: its defaults', async () => {
  const run = await play('source', async (peer) => {
    assert.deepEqual(await emits(peer, 'p', { count: 5 }), [
      [1, ['k1:1', 'k2:2'], '2'], [2, ['k0:3', 'k1:4'], '4'], [3, ['k2:5', 'k0:6'], '6'], [4, ['k1:7', 'k2:8'], '8'], [5, ['k0:9', 'k1:10'], '10'],
    ]);
    assert.equal((await peer.expect('finished')).partition, 'p');
  }, { changes: { inputs: [] } });
  assert.deepEqual(run, { code: 0, stderr: '' });
});

test('source: configured, behind a checkpoint, staying until it is told to stop', async () => {
  const config = '{"partition": "q", "records": 6, "per_emit": 3, "size": 4, "keys": 2, "pause_ms": 1, "stay": true}';
  const run = await play('source', async (peer) => {
    assert.deepEqual(await emits(peer, 'q', { lastEmitId: 9, checkpoint: '2', count: 2 }), [[10, ['k1:3   ', 'k0:4   ', 'k1:5   '], '5'], [11, ['k0:6   '], '6']]);
    peer.drain(2);
    assert.equal((await peer.expect('close')).code, 0); // and no Finished before it
  }, { config, changes: { inputs: [] } });
  assert.deepEqual(run, { code: 0, stderr: '' });
});

test('source: a configuration that does not fit', async () => {
  const run = await against(WORKER, async (peer) => {
    await peer.welcome({ inputs: [], config: Buffer.from('{"records": "ten"}') });
    await peer.expect('close');
    peer.socket.destroy();
  }, { env: { STAGEWIRE_STAGE: 'source' } });
  assert.equal(run.code, 2);
  assert.match(run.stderr, /config.records: expected an integer, got "ten"/);
});

// ---- window ----

const emitted = ({ emissions }) => emissions.map(({ port, output }) => [port, output.payload.toString(), output.header?.key?.toString() ?? '']);

test('window: three records by default, without a key', async () => {
  const run = await play('window', async (peer) => {
    await peer.deliver(['a', 'b', 'c', 'd'].map((each) => record(each, { key: each })));
    const [outcome] = await peer.outcomes(3);
    assert.deepEqual([outcome.kind, idsOf(outcome), emitted(outcome)], [ACCEPTED, [1, 2, 3], [[0, 'a,b,c', '']]]);
    peer.drain(1, 0);
    assert.deepEqual(emitted((await peer.outcomes(1))[0]), [[0, 'd', '']]);
  });
  assert.deepEqual(run, { code: 0, stderr: '' });
});

test('window: by key, with keys that are no text; by seconds alone', async () => {
  await play('window', async (peer) => {
    const key = Buffer.from([0xff, 0x00]);
    await peer.deliver([record('a', { key }), record('b', { key: 'k' }), record('c', { key })]);
    const [outcome] = await peer.outcomes(2);
    assert.deepEqual([idsOf(outcome), outcome.emissions[0].output.payload.toString(), outcome.emissions[0].output.header.key], [[1, 3], 'a,c', key]);
  }, { config: '{"records": 2, "by_key": true}' });
  await play('window', async (peer) => {
    await peer.deliver([record('a'), record('b'), record('c'), record('d')]);
    assert.deepEqual(emitted((await peer.outcomes(4))[0]), [[0, 'a,b,c,d', '']]);
  }, { config: '{"records": 0, "seconds": 0.05}' });
});

test('window: the first directive of a record is the window\'s verdict', async () => {
  await play('window', async (peer) => {
    const cases = [
      [['a', 'reject 1004 no'], REJECTED, 1004], [['retry 70 1005', 'reject'], RETRY, 1005], [['a', 'release'], RELEASED], [['wait 1', 'a'], ACCEPTED],
      [['rejected', 'a'], REJECTED, 1999], [['retry;echo', 'a'], RETRY, 1000],
    ];
    for (const [payloads, kind, code] of cases) {
      await peer.deliver(payloads.map((each) => record(each)));
      const [outcome] = await peer.outcomes(2);
      assert.deepEqual([outcome.kind, outcome.error?.code], [kind, code], payloads.join());
      assert.deepEqual(emitted(outcome), kind === ACCEPTED ? [[0, payloads.join(), '']] : []);
    }
  }, { config: '{"records": 2}' });
});

test('window: bounds that make no sense are a wrong configuration', async () => {
  const run = await against(WORKER, async (peer) => {
    await peer.welcome({ config: Buffer.from('{"records": 0}') });
    assert.match((await peer.expect('close')).message, /bounds are records, bytes and seconds/);
    peer.socket.destroy();
  }, { env: { STAGEWIRE_STAGE: 'window' } });
  assert.equal(run.code, 2);
  assert.match(run.stderr, /stage window: config: window: bounds are records/);
});

test('window: its bounds come from the configuration without a broker, too', () => {
  const run = (config) => spawnSync(process.execPath, [WORKER, '--test', '-', '--config', config], {
    input: '{"text": "a"}\n{"text": "b"}\n{"text": "c"}\n', encoding: 'utf8', env: { ...process.env, STAGEWIRE_STAGE: 'window' },
  });
  const { status, stdout } = run('{"records": 2}');
  assert.deepEqual([status, stdout.trim().split('\n').map((line) => JSON.parse(line).text)], [0, ['a,b', 'c']]);
  const wrong = run('{"records": -1}');
  assert.deepEqual([wrong.status, wrong.stdout], [2, '']);
  assert.match(wrong.stderr, /window: records is a number over 0/);
});

// The examples and the README's quick start, as their authors would run them: processes of their own.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { record } from './support/broker.js';
import { against } from './support/process.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const example = (name) => here(`../examples/${name}.js`);
const EVERY = /^(\d+) records: (\d+) accepted \((\d+) filtered\), (\d+) rejected, (\d+) to be retried, (\d+) released; (\d+) emitted$/m;

function offline(program, args, input = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { input, encoding: 'utf8', env: { ...process.env, STAGEWIRE_SOCKET: '' } });
  return { code: status, lines: stdout.split('\n').filter(Boolean), stderr, summary: (EVERY.exec(stderr) ?? []).slice(1).map(Number) };
}

/** A program in a directory of its own, where the package can be found. */
function inDirectory(source, use) {
  // Beside the package, so that the import finds it as an installed one.
  const directory = mkdtempSync(here('../.scratch-'));
  const program = join(directory, 'stage.mjs');
  writeFileSync(program, source);
  try {
    return use(program, directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('the quick start of the README', async () => {
  const readme = readFileSync(here('../README.md'), 'utf8');
  const source = /```js\n([\s\S]*?)```/.exec(readme)[1];
  const shown = /```console\n\$ (.*)\n([\s\S]*?)```/.exec(readme);
  inDirectory(source, (program) => {
    const [, command, expected] = shown;
    const input = /'(.*)'/.exec(command)[1];
    const run = offline(program, ['--test', '-'], input);
    assert.equal(`${run.lines.join('\n')}\n${run.stderr}`, expected);
    assert.equal(run.code, 0);
  });
  const run = await against(example('shout'), async (peer) => {
    const hello = await peer.welcome();
    assert.equal(hello.stage, 'shout');
    peer.grant();
    await peer.deliver([record('hello')]);
    assert.equal((await peer.outcomes(1))[0].emissions[0].output.payload.toString(), 'HELLO');
    await peer.close();
  });
  assert.deepEqual(run, { code: 0, stderr: '' });
});

test('the program in the README is the example', () => {
  const source = /```js\n([\s\S]*?)```/.exec(readFileSync(here('../README.md'), 'utf8'))[1];
  assert.ok(readFileSync(example('shout'), 'utf8').endsWith(source));
});

test('numbers: a source with a checkpoint', async () => {
  const run = offline(example('numbers'), ['--test', '--limit', '3', '--config', '{"count": 200}']);
  assert.deepEqual(run.lines.map((each) => JSON.parse(each).json), [0, 1, 2]);
  assert.equal(run.code, 0);
  const online = await against(example('numbers'), async (peer) => {
    await peer.welcome({ inputs: [], config: Buffer.from('{"count": 150}') });
    peer.grant();
    const { partition } = await peer.expect('claim');
    peer.send({ claimed: { partition, epoch: 1, lastEmitId: 1, checkpoint: Buffer.from('100') } });
    const emit = await peer.expect('emit');
    assert.deepEqual([emit.emitId, emit.emissions.length, emit.checkpoint.toString()], [2, 50, '150']);
    peer.send({ committed: { partition, through: 2 } });
    await peer.expect('finished');
    await peer.close();
  });
  assert.deepEqual(online, { code: 0, stderr: '' });
});

test('mean: windows by event time', () => {
  const reading = (key, celsius, second) => JSON.stringify({ key, json: { celsius }, event_time: `2026-01-01T00:00:${String(second).padStart(2, '0')}Z` });
  const input = [reading('a', 1, 1), reading('b', 5, 2), reading('a', 3, 9), reading('a', 10, 13), reading('b', 1, 3), '{"json":{"celsius":1}}', reading('a', 'x', 30)].join('\n');
  const run = offline(example('mean'), ['--test', '-'], input);
  const means = run.lines.map((each) => JSON.parse(each)).map((each) => [each.key, each.json.readings, each.json.mean, each.event_time]);
  assert.deepEqual(means, [['a', 2, 2, '2026-01-01T00:00:00.000000Z'], ['b', 1, 5, '2026-01-01T00:00:00.000000Z'],
    ['a', 1, 10, '2026-01-01T00:00:10.000000Z'], ['a', 1, null, '2026-01-01T00:00:30.000000Z']]);
  assert.match(run.stderr, /record 5: REJECTED 1000: late: its window ended at 2026-01-01T00:00:10.000Z/);
  assert.match(run.stderr, /record 6: REJECTED 1000: no event time/);
  assert.deepEqual([run.code, run.summary], [1, [7, 5, 0, 2, 0, 0, 4]]);
});

test('notify: posts once, retries on 5xx and timeouts, rejects on 4xx, the record id is the idempotency key', async () => {
  const requests = [];
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => { body += chunk; });
    request.on('end', () => {
      const { data } = JSON.parse(body);
      requests.push([request.headers['idempotency-key'], data]);
      if (data === 'hang up') return void request.socket.destroy();
      response.writeHead({ busy: 503, wrong: 422 }[data] ?? 204, data === 'busy' ? { 'retry-after': '3' } : {}).end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}/hook`;
  try {
    const run = await against(example('notify'), async (peer) => {
      await peer.welcome({ config: Buffer.from(JSON.stringify({ url })) });
      await peer.deliver(['ok', 'busy', 'wrong', 'hang up'].map((each, number) => record(JSON.stringify(each), { number })));
      const outcomes = (await peer.outcomes(4)).sort((a, b) => a.first - b.first);
      assert.deepEqual(outcomes.map((each) => [each.kind, each.delayMs, each.error?.code, each.error?.indefinite]),
        [[1, 0, undefined, undefined], [3, 3000, 1000, false], [2, 0, 1422, false], [3, 0, 1000, true]]);
      await peer.close();
    });
    assert.deepEqual(run, { code: 0, stderr: '' });
    assert.deepEqual(requests.map(([id, data]) => `${id.slice(-1)} ${data}`).sort(), ['0 ok', '1 busy', '2 wrong', '3 hang up']);
  } finally {
    server.closeAllConnections?.();
    server.close();
  }
});

test('--test: verdicts, ends and errors', () => {
  const source = `import { Reject, Release, Retry, run, transform } from 'stagewire';
    run(transform(function pick(record, { config }) {
      if (record.text() === 'reject') throw new Reject(1001, 'no such unit');
      if (record.text() === 'retry') throw new Retry('later');
      if (record.text() === 'release') throw new Release();
      if (record.text() === 'throw') throw new Error('oops\\nnext');
      if (record.text() === 'drop') return;
      return [record.emit({ port: 'late' }), record.emit({ text: config.word })];
    }, { config: { word: 'string' } }));`;
  inDirectory(source, (program, directory) => {
    const lines = ['a', 'drop', 'reject', 'retry', 'release', 'throw'].map((text) => JSON.stringify({ text }));
    const file = join(directory, 'records.jsonl');
    writeFileSync(file, lines.join('\n'));
    const all = offline(program, ['--test', file, '--config', '{"word":"w"}']);
    assert.deepEqual(all.lines.map((each) => JSON.parse(each)), [{ port: 'late', text: 'a' }, { text: 'w', content_type: 'text/plain; charset=utf-8' }]);
    assert.match(all.stderr, /^record 3: REJECTED 1001: no such unit\nrecord 4: RETRY 1000: later\nrecord 5: RELEASED\n/);
    assert.match(all.stderr, /record 6: RETRY 1000: Error: oops\\nnext\n/);
    assert.deepEqual([all.code, all.summary], [1, [6, 2, 1, 1, 2, 1, 2]]);
    writeFileSync(join(directory, 'config.json'), '{"word":"v"}');
    assert.equal(offline(program, ['--test', '-', '--config', `@${directory}/config.json`], lines[0]).code, 0);
    writeFileSync(file, '{"text":"a"}\n{"txt":"b"}\n');
    const bad = offline(program, ['--test', file, '--config', '{"word":"w"}']);
    assert.equal(bad.code, 2);
    assert.match(bad.stderr, /records\.jsonl:2: "txt" is no field of a record/);
    for (const [args, words] of [
      [['--test', '/nowhere'], /config\.word: missing/], [['--test', '/nowhere', '--config', '{"word":"w"}'], /\/nowhere: ENOENT/],
      [['--test'], /needs a file/], [['--test', '-', '--limit', 'x'], /--limit needs a number/], [['--test', '-', '--verbose'], /knows no --verbose/],
      [['--test', '-', '--config', '@/nowhere'], /\/nowhere: ENOENT/], [['--test', '-', '--config', '{'], /config: not JSON/],
    ]) {
      const run = offline(program, args);
      assert.equal(run.code, 2, args.join(' '));
      assert.match(run.stderr, words);
    }
  });
});

const stuck = `import { run, sink } from 'stagewire';
  run(sink(async function stuck() { await new Promise(() => setInterval(() => {}, 1000)); }, { timeout: 0.05 }));`;

test('a handler that never returns: no Extend beyond its timeout; after the lease the process ends with 1', async () => {
  await inDirectoryAsync(stuck, async (program) => {
    const run = await against(program, async (peer) => {
      await peer.welcome({ leaseMs: 60 });
      await peer.deliver([record('x')]);
      await peer.until(() => peer.extends > 0, 'an Extend').catch(() => {});
      await peer.close(207, 'the lease of delivery 1 expired');
    });
    assert.equal(run.code, 1);
    assert.match(run.stderr, /the lease of delivery 1 expired; a handler still runs and is given up/);
  });
});

test('a second signal ends it at once', async () => {
  await inDirectoryAsync(`${stuck.replace('0.05', '300')} process.once('SIGTERM', () => console.error('seen'));`, async (program) => {
    const run = await against(program, async (peer, worker) => {
      await peer.welcome();
      await peer.deliver([record('x'), record('y')]);
      peer.send({ ping: { nonce: 1 } });
      await peer.expect('pong');
      worker().kill('SIGTERM');
      // Two that come together are one.
      await peer.until(() => worker().text.includes('seen'), 'the first signal');
      worker().kill('SIGTERM');
      await peer.until(() => peer.hungUp, 'the end');
    });
    assert.equal(run.code, 143);
  });
});

test('the token is out of the environment that children inherit', async () => {
  const source = `import { execSync } from 'node:child_process';
    import { run, transform } from 'stagewire';
    run(transform(function count(record) { return record.emit({ text: execSync('env | grep -c STAGEWIRE_TOKEN || true').toString().trim() }); }));`;
  await inDirectoryAsync(source, async (program) => {
    await against(program, async (peer) => {
      assert.deepEqual((await peer.welcome()).token, Buffer.from([255]));
      peer.grant();
      await peer.deliver([record('x')]);
      assert.equal((await peer.outcomes(1))[0].emissions[0].output.payload.toString(), '0');
      await peer.close();
    });
  });
});

async function inDirectoryAsync(source, use) {
  const directory = mkdtempSync(here('../.scratch-'));
  const program = join(directory, 'stage.mjs');
  writeFileSync(program, source);
  try {
    await use(program);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

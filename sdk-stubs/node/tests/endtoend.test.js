// Against the real broker, where it is built: three stages in JavaScript, one of them killed in the middle, twice.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const BROKER = process.env.STAGEWIRE_BIN ?? here('../../../build/bin/stagewire');
const skip = existsSync(BROKER) ? false : 'needs build/bin/stagewire (make build)';
const COUNT = 5000;

const STAGES = {
  numbers: `import { emission, run, source } from 'stagewire';
    run(source(async function* numbers(partition) {
      for (let next = partition.checkpoint ?? 0; next < ${COUNT};) {
        const emissions = [];
        for (const end = Math.min(next + 50, ${COUNT}); next < end; next++) emissions.push(emission({ json: next, key: String(next % 7) }));
        yield { emissions, checkpoint: next };
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }));`,
  // Dies by the record itself, once for each: with deliveries held, outcomes on their way and calls in flight.
  double: `import { existsSync, writeFileSync } from 'node:fs';
    import { run, transform } from 'stagewire';
    run(transform(async function double(record, { config }) {
      const value = record.json();
      if (value === 1234 || value === 3456) {
        const mark = config.marks + '/' + value;
        if (!existsSync(mark)) {
          writeFileSync(mark, '');
          process.kill(process.pid, 'SIGKILL');
        }
      }
      await null;
      return record.emit({ json: { value, twice: 2 * value } });
    }, { config: { marks: 'string' }, concurrency: 4 }));`,
  pairs: `import { run, window } from 'stagewire';
    run(window(function pairs(each) {
      return each.emit({ json: each.records.map((one) => one.json().value), key: each.key });
    }, { records: 2, seconds: 0.2, byKey: true }));`,
  write: `import { appendFileSync } from 'node:fs';
    import { run, sink } from 'stagewire';
    run(sink(function write(record, { config }) {
      appendFileSync(config.output, JSON.stringify([record.id, record.key, record.json(), record.hops.map((each) => each.stage), record.parents.length]) + '\\n');
    }, { config: { output: 'string' } }));`,
};

/** Runs a pipeline to its end; what was written, a value for each line. */
async function pipeline(name, stages, yaml, prepare = () => {}) {
  const directory = mkdtempSync(here('../.scratch-'));
  const output = join(directory, 'output.jsonl');
  try {
    prepare(directory);
    for (const [each, source] of Object.entries(stages)) writeFileSync(join(directory, `${each}.mjs`), source);
    const run = (stage, rest) => `  ${stage}: {run: [${JSON.stringify(process.execPath)}, ${stage}.mjs], ${rest}}\n`;
    const text = Object.entries(yaml({ directory, output })).map(([stage, rest]) => run(stage, rest)).join('');
    writeFileSync(join(directory, 'pipeline.yaml'), `pipeline: ${name}\nstages:\n${text}`);
    const broker = spawn(BROKER, ['run', 'pipeline.yaml'], { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [broker.stdout, broker.stderr]) stream.on('data', (chunk) => { said += chunk; });
    const code = await new Promise((resolve) => broker.on('close', resolve));
    assert.equal(code, 0, said);
    const lines = readFileSync(output, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
    return { lines, said };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('nothing is lost and nothing doubled by SIGKILL', { skip, timeout: 120_000 }, async () => {
  const { lines, said } = await pipeline('killed', STAGES, ({ directory, output }) => ({
    numbers: 'source: true',
    double: `from: numbers, workers: 2, config: {marks: ${JSON.stringify(join(directory, 'marks'))}}`,
    pairs: 'from: double',
    write: `from: pairs, config: {output: ${JSON.stringify(output)}}`,
  }), (directory) => mkdirSync(join(directory, 'marks')));
  assert.equal(said.match(/was killed by SIGKILL/g)?.length, 2, said);
  check(lines);
});

const RETRIED = {
  readings: `import { emission, run, source } from 'stagewire';
    run(source(function* readings() {
      for (let i = 0; i < 600; i += 20) {
        const emissions = [];
        for (let n = i; n < i + 20; n++) emissions.push(emission({ json: n, key: String(n % 3), eventTime: 1_800_000_000_000_000 + n * 1_000_000 }));
        yield { emissions, checkpoint: i + 20 };
      }
    }));`,
  // Every fourth window is given back at first, while later ones of its keys are held and on their way.
  sum: `import { Release, Retry, run, window } from 'stagewire';
    const seen = new Set();
    run(window(function sum(each) {
      const name = each.start + each.key;
      const number = (each.start - 1_800_000_000_000_000) / 10_000_000;
      if (number % 4 === 0 && !seen.has(name)) {
        seen.add(name);
        throw number % 8 === 0 ? new Retry('not yet') : new Release();
      }
      return each.emit({ json: { number, values: each.records.map((one) => one.json()) }, key: each.key });
    }, { eventTime: { size: 10, lateness: 3 }, byKey: true, idle: 60 }));`,
  write: `import { appendFileSync } from 'node:fs';
    import { run, sink } from 'stagewire';
    run(sink(function write(record, { config }) {
      appendFileSync(config.output, JSON.stringify([record.key, record.json()]) + '\\n');
    }, { config: { output: 'string' } }));`,
};

test('windows that are given back come again whole, and make no other one late', { skip, timeout: 120_000 }, async () => {
  const { lines, said } = await pipeline('retried', RETRIED, ({ output }) => ({
    readings: 'source: true',
    sum: 'from: readings, retry: {attempts: 5, backoff: 20ms}',
    write: `from: sum, config: {output: ${JSON.stringify(output)}}`,
  }));
  const expected = Array.from({ length: 600 }, (_, i) => i);
  assert.deepEqual(lines.flatMap(([, { values }]) => values).sort((a, b) => a - b), expected, said);
  for (const [key, { number, values }] of lines) {
    assert.ok(values.every((each) => String(each % 3) === key && Math.floor(each / 10) === number), JSON.stringify([key, number, values]));
  }
  assert.equal(lines.length, 180, 'every window is whole');
});

/** @param {Array<[string, string, number[], string[], number]>} lines */
function check(lines) {
  assert.equal(new Set(lines.map(([id]) => id)).size, lines.length, 'ids are unique');
  const last = new Map();
  const all = [];
  for (const [, key, values, hops, parents] of lines) {
    assert.deepEqual(hops, ['numbers', 'double', 'pairs']);
    assert.equal(parents, values.length);
    for (const value of values) {
      assert.equal(String(value % 7), key);
      assert.ok(value > (last.get(key) ?? -1), `${value} is out of order`);
      last.set(key, value);
      all.push(value);
    }
  }
  assert.deepEqual(all.sort((a, b) => a - b), Array.from({ length: COUNT }, (_, i) => i));
}

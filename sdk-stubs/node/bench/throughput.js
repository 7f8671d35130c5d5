// Records per second of this SDK alone: a worker process against a broker that does nothing.
//
//     node bench/throughput.js [RECORDS] [STAGE...] [--prof]
//
// The broker runs in a process of its own and only copies prepared bytes, so the worker is what is measured. Records
// have 100 bytes of payload, a header (schema, key, event time) and two hops of lineage, as behind two stages.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, sink, transform } from 'stagewire';
import { FrameAssembler, frame, openEnvelope } from '../lib/wire/frames.js';
import { Credit, decode, Deliver, encode, Settle } from '../lib/wire/messages.js';
import { Reader } from '../lib/wire/reader.js';
import { putVarint, varintSize } from '../lib/wire/writer.js';

const BATCH = 512;
const UNSETTLED = 4096;
const BIG = 1e12;

const STAGES = {
  forward: transform((record) => record.emit()),
  generator: transform(function* (record) { yield record.emit(); }),
  rewrite: transform((record) => record.emit({ text: record.text().toUpperCase(), attributes: { size: record.size } })),
  json: transform((record) => {
    const reading = record.json();
    return record.emit({ json: { ...reading, prediction: 'normal' }, attributes: { prediction: 'normal' } });
  }),
  discard: sink((record) => { void record.payload.length; }),
  async: transform(async (record) => record.emit(), { concurrency: 16 }),
};

function preparedRecords(stage) {
  const payload = stage === 'json'
    ? Buffer.from(`{"sensor":"machine","time":"2013-12-02T21:15:00Z","celsius":23.315,"note":"${'x'.repeat(23)}"}`)
    : Buffer.alloc(100, 'p');
  const records = [];
  for (let i = 0; i < BATCH; i++) {
    const id = Buffer.alloc(16, i);
    records.push({
      lineage: { id, parents: [Buffer.alloc(16, 2)], root: id, ingestTime: 1_700_000_000_000_000,
        hops: [{ run: 1, delta: 10 }, { run: 2, delta: 900 }] },
      header: { schema: 'sensor.raw', schemaVersion: 1, key: Buffer.from(`s-${i % 10}`), eventTime: 1_700_000_000_000_000 },
      payload,
    });
  }
  return encode(Deliver, { records });
}

function deliverFrame(first, records) {
  const inner = 1 + varintSize(first) + records.length;
  const out = Buffer.allocUnsafe(4 + 4 + varintSize(inner) + inner);
  out.writeUInt32BE(out.length - 4, 0);
  let at = 4;
  for (const byte of [0x08, 0xe8, 0x07, 0x42]) out[at++] = byte;
  at = putVarint(out, at, inner);
  out[at++] = 0x10;
  at = putVarint(out, at, first);
  records.copy(out, at);
  return out;
}

/** How many deliveries a Settle settles, without decoding its emissions. */
function settledBy(frameBytes, { start, end }) {
  const settle = new Reader(frameBytes, start, end);
  let count = 0;
  while (!settle.done) {
    settle.tag();
    const begin = settle.span();
    const outcome = new Reader(frameBytes, begin, settle.at);
    let first = 0;
    let last = 0;
    while (!outcome.done) {
      const tag = outcome.tag();
      if (tag === 0x08) first = outcome.uint32();
      else if (tag === 0x10) last = outcome.uint32();
      else break;
    }
    count += (last || first) - first + 1;
  }
  return count;
}

/** Delivers `total` records as far as credit goes; the seconds that it took, and the worker's end. */
function broker(path, stage, total) {
  const records = preparedRecords(stage);
  return new Promise((resolve) => {
    const server = net.createServer((socket) => {
      const assembler = new FrameAssembler(1 << 26);
      const state = { granted: 0, delivered: 0, settled: 0, begun: 0 };
      const deliver = () => {
        while (state.delivered < total && state.delivered + BATCH <= state.granted
            && state.delivered + BATCH - state.settled <= UNSETTLED) {
          socket.write(deliverFrame(state.delivered + 1, records));
          state.delivered += BATCH;
        }
        if (state.settled < total) return;
        resolve((performance.now() - state.begun) / 1000);
        socket.end(frame({ close: {} }));
        server.close();
      };
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        assembler.feed(chunk, chunk.length, (bytes) => {
          const envelope = openEnvelope(bytes);
          if (envelope.kind === 2) {
            state.begun = performance.now();
            socket.write(frame({ welcome: { version: 1000, session: 1, maxFrame: 4 << 20, maxRecord: 1 << 20, stampReserve: 800,
              maxStepRecords: 4096, maxStepBytes: 1 << 20, leaseMs: 30_000,
              inputs: [{ number: 0, stage: 's', maxUnsettledRecords: UNSETTLED, maxUnsettledBytes: 4 << 20, ordering: 1 }],
              outputs: [{ number: 0, port: 'out' }] } }));
            socket.write(frame({ credit: { records: BIG, bytes: BIG * 1000 } }));
          } else if (envelope.kind === 7) state.granted = decode(Credit, bytes, envelope.start, envelope.end).records;
          else if (envelope.kind === 9) state.settled += settledBy(bytes, envelope);
          return true;
        });
        deliver();
      });
    });
    server.listen(path);
  });
}

async function measure(name, total, flags) {
  const directory = mkdtempSync(join(tmpdir(), 'stagewire-'));
  const path = join(directory, 'broker');
  const seconds = broker(path, name, total);
  const worker = spawn(process.execPath, [...flags, fileURLToPath(import.meta.url)], {
    env: { ...process.env, STAGEWIRE_SOCKET: path, BENCH_STAGE: name }, stdio: ['ignore', 'pipe', 'inherit'],
  });
  let report = '';
  worker.stdout.on('data', (chunk) => { report += chunk; });
  const took = await seconds;
  const code = await new Promise((resolve) => worker.on('exit', resolve));
  rmSync(directory, { recursive: true });
  const { cpu, rss } = JSON.parse(report);
  console.log(`${name.padEnd(10)} ${Math.round(total / took).toLocaleString('en').padStart(10)} records/s   `
    + `${(cpu / total).toFixed(2)} us of CPU per record   ${Math.round(rss / 1024)} MiB${code === 0 ? '' : `   exit ${code}`}`);
}

if (process.env.BENCH_STAGE) {
  process.on('exit', () => {
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    console.log(JSON.stringify({ cpu: userCPUTime + systemCPUTime, rss: maxRSS }));
  });
  await run(STAGES[process.env.BENCH_STAGE], { name: process.env.BENCH_STAGE });
} else {
  const count = Number(process.argv[2] ?? 1_000_000);
  const flags = process.argv.includes('--prof') ? ['--cpu-prof'] : [];
  const chosen = process.argv.slice(3).filter((each) => each in STAGES);
  for (const name of chosen.length > 0 ? chosen : Object.keys(STAGES)) await measure(name, Math.floor(count / BATCH) * BATCH, flags);
}

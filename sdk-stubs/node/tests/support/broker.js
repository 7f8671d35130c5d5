// A broker for tests, on a Unix socket: a script on its side of one connection. It checks credit at every frame, that
// every delivery is settled once, and that related ones are settled in order (unless the worker holds).

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '../../lib/run.js';
import { FrameAssembler, frame, openEnvelope } from '../../lib/wire/frames.js';
import { decode, encode, Envelope, Record } from '../../lib/wire/messages.js';

export const RESERVE = 100;
const WAIT_MS = Number(process.env.WAIT_MS ?? 15_000); // after which a test that waits for a frame has failed
const RUNS = [
  { number: 1, stage: 'ingest', version: '1.0.0', instance: 'ingest-1', language: 'rust' },
  { number: 2, stage: 'normalise', version: '2.1.0', instance: 'normalise-2', language: 'go' },
];

/** A record as the broker delivers it, two hops old. */
export function record(payload = '', { number = 0, ...header } = {}) {
  const id = Buffer.alloc(16, 'i');
  id.writeUInt32BE(number, 12);
  if (typeof header.key === 'string') header.key = Buffer.from(header.key);
  return {
    lineage: { id, parents: [Buffer.alloc(16, 'p')], root: Buffer.alloc(16, 'r'), ingestTime: 1_000_000,
      hops: [{ run: 1, delta: 5 }, { run: 2, delta: 9, attempt: 3 }] },
    header: Object.keys(header).length > 0 ? header : undefined,
    payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
  };
}

export function idsOf({ first, last, more }) {
  const ids = [];
  for (const range of [{ first, last }, ...more]) for (let id = range.first; id <= (range.last || range.first); id++) ids.push(id);
  return ids;
}

/** The broker's end of one connection. */
export class Peer {
  constructor(socket, { chunk = 0 } = {}) {
    this.socket = socket;
    this.chunk = chunk;
    this.sendVersion = 1000;
    this.messages = [];
    this.waiting = null;
    this.hungUp = false;
    this.failure = null;
    this.delivered = 0;
    this.keys = new Map(); // delivery -> key, of what is not settled
    this.holds = false;
    this.credit = { records: 0, bytes: 0 };
    this.charged = { records: 0, bytes: 0 };
    this.granted = new Map();
    this.used = new Map();
    this.extends = 0;
    this.settles = 0;
    /** Pings that came while `unanswered` is a list are answered by `pong()` only. */
    this.unanswered = null;
    this.settledBeforePing = new Set(); // deliveries that were settled when the last Ping came
    this.settled = new Set();
    const assembler = new FrameAssembler(1 << 26);
    socket.on('error', () => {});
    socket.on('data', (data) => assembler.feed(data, data.length, (bytes) => this.#take(bytes)));
    socket.on('close', () => { this.hungUp = true; this.waiting?.(); });
  }

  #take(bytes) {
    try {
      const envelope = decode(Envelope, bytes);
      assert.equal(envelope.version, 1000);
      const kind = Envelope.byNumber.get(openEnvelope(bytes).kind).name;
      this.#check(kind, envelope[kind], bytes.length);
      this.messages.push({ kind, message: envelope[kind] });
    } catch (error) {
      this.failure ??= error;
    }
    this.waiting?.();
    return true;
  }

  #check(kind, message, length) {
    if (kind === 'extend') this.extends++;
    if (kind === 'ping') this.settledBeforePing = new Set(this.settled);
    if (kind === 'credit' && message.number === 0) this.credit = message;
    if (kind === 'settle') {
      this.settles++;
      assert.ok(length <= 512 * 1024 || message.outcomes.length === 1, `a Settle of ${length} bytes`);
      for (const outcome of message.outcomes) {
        this.#settled(outcome);
        this.#charge(outcome.emissions);
      }
    }
    if (kind === 'emit') this.#charge(message.emissions);
  }

  #settled(outcome) {
    for (const id of idsOf(outcome)) {
      assert.ok(this.keys.has(id), `delivery ${id} is settled twice, or was never made`);
      const key = this.keys.get(id);
      this.keys.delete(id);
      this.settled.add(id);
      if (this.holds || key === '') continue;
      for (const [other, otherKey] of this.keys) {
        if (other >= id) break;
        assert.notEqual(otherKey, key, `delivery ${id} was settled before ${other}, which has the same key`);
      }
    }
  }

  #charge(emissions) {
    for (const { port, output } of emissions) {
      const used = this.used.get(port) ?? { records: 0, bytes: 0 };
      const granted = this.granted.get(port) ?? { records: 0, bytes: 0 };
      used.records++;
      used.bytes += encode(Record, output).length + RESERVE;
      this.used.set(port, used);
      assert.ok(used.records <= granted.records && used.bytes <= granted.bytes, `credit exceeded on output ${port}`);
    }
  }

  // ---- Out ----

  send(message) {
    this.sendRaw(frame({ version: this.sendVersion, ...message }));
  }

  sendRaw(bytes) {
    if (this.chunk === 0) return void this.socket.write(bytes);
    for (let at = 0; at < bytes.length; at += this.chunk) this.socket.write(bytes.subarray(at, at + this.chunk));
  }

  async welcome(changes = {}) {
    const hello = await this.expect('hello');
    this.holds = hello.required.includes('holds');
    this.send({ welcome: {
      version: 1000, session: 1, features: [...hello.offered, ...hello.required], maxFrame: 4 << 20, maxRecord: 1 << 20, stampReserve: RESERVE,
      maxStepRecords: 4096, maxStepBytes: 1 << 20, heartbeatMs: 10_000, idleMs: 30_000, leaseMs: 30_000,
      pipeline: 'test', instance: 'one', config: Buffer.from('{}'),
      inputs: [{ number: 0, stage: 'normalise', port: 'out', maxUnsettledRecords: 4096, maxUnsettledBytes: 4 << 20, ordering: 1 }],
      outputs: [{ number: 0, port: 'out' }, { number: 1, port: 'late' }], ...changes,
    } });
    this.send({ runs: { runs: RUNS } });
    return hello;
  }

  grant(records = 1 << 20, bytes = 2 ** 40) {
    for (const number of [0, 1]) {
      const before = this.granted.get(number) ?? { records: 0, bytes: 0 };
      this.granted.set(number, { records: Math.max(records, before.records), bytes: Math.max(bytes, before.bytes) });
      this.send({ credit: { number, records, bytes } });
    }
  }

  /** Waits for credit if it has to. The first delivery id. */
  async deliver(records, attempts = []) {
    const bytes = records.reduce((sum, each) => sum + encode(Record, each).length, 0);
    this.charged.records += records.length;
    this.charged.bytes += bytes;
    await this.until(() => this.charged.records <= this.credit.records && this.charged.bytes <= this.credit.bytes, 'credit');
    const firstDelivery = this.delivered + 1;
    for (const each of records) this.keys.set(++this.delivered, each.header?.key?.toString() ?? '');
    this.send({ deliver: { firstDelivery, records, attempts } });
    return firstDelivery;
  }

  drain(reason, deadlineMs = 5000) {
    this.send({ drain: { reason, deadlineMs } });
  }

  /** Says Close and reads on until the worker hangs up. */
  async close(code = 0, message = '') {
    this.send({ close: { code, message } });
    await this.until(() => this.hungUp, 'the end');
    this.socket.destroy();
  }

  // ---- In ----

  async until(condition, what) {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      if (this.failure) throw this.failure;
      if (condition()) return;
      if (this.hungUp) throw new Error(`the worker hung up; expected ${what}`);
      if (Date.now() > deadline) throw new Error(`no ${what} within ${WAIT_MS} ms; got ${JSON.stringify(this.messages.map((each) => each.kind))}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, 50);
        this.waiting = () => { clearTimeout(timer); resolve(); };
      });
      this.waiting = null;
    }
  }

  /** The next message other than Credit, Extend, Ping and Pong, unless that is what is asked for; it has to be of `kind`. */
  async expect(kind) {
    const passed = new Set(['credit', 'extend', 'ping', 'pong']);
    passed.delete(kind);
    let found;
    await this.until(() => {
      while (this.messages.length > 0 && passed.has(this.messages[0].kind)) {
        const { kind: each, message } = this.messages.shift();
        if (each === 'ping') this.#pinged(message);
      }
      found = this.messages.shift();
      return found !== undefined;
    }, kind);
    assert.equal(found.kind, kind, JSON.stringify(found, (_, each) => (typeof each === 'bigint' ? String(each) : each)));
    return found.message;
  }

  #pinged({ nonce }) {
    if (this.unanswered) this.unanswered.push(nonce);
    else this.send({ pong: { nonce } });
  }

  /** Whether so many Pings are to be answered. */
  hasPing(count = 1) {
    return this.unanswered.length + this.messages.filter((each) => each.kind === 'ping').length >= count;
  }

  /** Answers the oldest of them. */
  pong() {
    const nonce = this.unanswered.shift() ?? this.messages.splice(this.messages.findIndex((each) => each.kind === 'ping'), 1)[0].message.nonce;
    this.send({ pong: { nonce } });
  }

  /** Answers all of them, those included that are behind what was settled so far; how many. */
  async pongs() {
    this.send({ ping: { nonce: 1_000_000 } });
    await this.expect('pong');
    return (this.unanswered?.splice(0) ?? []).map((nonce) => this.send({ pong: { nonce } })).length;
  }

  /** The outcomes that settle the next so many deliveries. */
  async outcomes(deliveries) {
    const found = [];
    let settled = 0;
    while (settled < deliveries) {
      for (const outcome of (await this.expect('settle')).outcomes) {
        found.push(outcome);
        settled += idsOf(outcome).length;
      }
    }
    assert.equal(settled, deliveries);
    return found;
  }
}

/**
 * Runs `stage` in this process against a broker that plays one script per connection.
 * @returns {Promise<{ code: number, stderr: string }>}
 */
export async function work(stage, scripts, { token = '00ff', chunk = 0, options = {}, onListen = undefined } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'stagewire-'));
  const path = join(directory, 'broker');
  const played = [];
  const left = [].concat(scripts);
  const server = net.createServer((socket) => {
    const script = left.shift();
    if (script) played.push(Promise.resolve(script(new Peer(socket, { chunk }))).catch((error) => { socket.destroy(); return error; }));
    else socket.destroy();
  });
  const listen = () => new Promise((resolve) => { server.listen(path, resolve); });
  if (!onListen) await listen();
  process.env.STAGEWIRE_SOCKET = path;
  process.env.STAGEWIRE_STAGE = 'score';
  if (token) process.env.STAGEWIRE_TOKEN = token;
  const stderr = captureStderr();
  try {
    const running = main(stage, options, []);
    if (onListen) await onListen(listen);
    const code = await running;
    assert.equal(process.env.STAGEWIRE_TOKEN, undefined, 'children would inherit the token');
    for (const failure of await Promise.all(played)) if (failure instanceof Error) throw failure;
    assert.equal(left.length, 0, `${left.length} scripts were not played; standard error: ${stderr.text()}`);
    return { code, stderr: stderr.text() };
  } finally {
    stderr.restore();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function captureStderr() {
  const original = process.stderr.write;
  let text = '';
  process.stderr.write = (chunk) => { text += chunk; return true; };
  return { text: () => text, restore: () => { process.stderr.write = original; } };
}

/** A promise and what resolves it. */
export function gate() {
  let open = () => {};
  const opened = new Promise((resolve) => { open = resolve; });
  return { opened, open };
}

// One connection to the broker: handshake, dispatch of what comes, heartbeats, the lease, and the end.

import net from 'node:net';
import {
  DEFAULT_FRAME, FRAME_TOO_LARGE, INPUT_ENDED, MALFORMED_FRAME, MAX_FRAME, OK, PROTOCOL_VERSION,
  UNSUPPORTED_VERSION,
} from './codes.js';
import { Confirmations } from './confirmations.js';
import { InputWindow, OutputCredit, toLimit } from './credit.js';
import { Batch } from './wire/deliver.js';
import { FrameAssembler, frame, FrameTooLarge, openEnvelope } from './wire/frames.js';
import * as messages from './wire/messages.js';
import { cut } from './wire/settle.js';

const HANDSHAKE_MS = 10_000;
const CLOSING_MS = 5_000; // for which a side reads on after its Close
const READ_BYTES = 256 * 1024;
const DEFAULT_LEASE_MS = 30_000;

/** The session is over because a side said Close. Code 0: a normal end. */
export class Closed extends Error {
  /**
   * @param {number} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The connection ended without a Close. */
export class Lost extends Error {}

/**
 * What works on a session: a consumer or a producer.
 * @typedef {object} Worker
 * @property {(batch: Batch) => void} [receive] a Deliver came
 * @property {() => void} changed credit, claims, commits, a drain or a wish to stop came; called once for a read
 * @property {(reason: Error) => void} ended
 * @property {() => boolean} [mayExtend] false once a handler has taken longer than it may
 */

/** An attached worker. */
export class Session {
  /**
   * @param {any} welcome
   * @param {net.Socket} socket
   */
  constructor(welcome, socket) {
    this.welcome = welcome;
    this.socket = socket;
    this.credit = new OutputCredit(welcome);
    /** @type {Map<number, any>} */
    this.runs = new Map();
    /** @type {Map<number, InputWindow>} */
    this.windows = new Map();
    /** @type {Map<number, any>} */
    this.inputs = new Map();
    for (const input of welcome.inputs) {
      this.inputs.set(input.number, input);
      this.windows.set(input.number, new InputWindow(input.number, toLimit(welcome.maxRecord)));
    }
    /** @type {{ reason: number, deadlineMs: number } | null} */
    this.drain = null;
    /** A signal asked this process to end. */
    this.stopping = false;
    /** @type {Error | null} why the session is over */
    this.reason = null;
    /** Deliveries. */
    this.received = 0;
    this.settled = 0;
    this.confirmations = new Confirmations();
    /** @type {Worker | null} */
    this.worker = null;
    /** @type {(kind: string, message: any) => void} */
    this.onSourceMessage = () => {};
    /** @type {Map<number, () => void>} what waits for a Pong, by nonce */
    this.barriers = new Map();
    this.nextNonce = 1;
    this.progressAt = performance.now();
    this.leaseMs = welcome.leaseMs || DEFAULT_LEASE_MS;
    /** @type {NodeJS.Timeout | undefined} */
    this.leaseTimer = undefined;
    this.closing = false;
  }

  /** A shutdown is under way: nothing new is begun. */
  get leaving() {
    return this.stopping || (this.drain !== null && this.drain.reason !== INPUT_ENDED);
  }

  /** All inputs have ended. */
  get inputEnded() {
    return this.drain !== null && this.drain.reason === INPUT_ENDED;
  }

  /**
   * Grants the first credit. Only after the configuration was found good.
   * @param {Worker} worker
   */
  start(worker) {
    this.worker = worker;
    if (this.reason) return worker.ended(this.reason);
    for (const window of this.windows.values()) this.granted(window, 0, 0);
    this.leaseTimer = setInterval(() => this.#renewLease(), Math.max(1, this.leaseMs / 12));
  }

  /** Somebody wants this worker to end. */
  stop() {
    if (this.stopping) return;
    this.stopping = true;
    this.worker?.changed();
  }

  /**
   * What left the receive buffer, and a Credit when it is time for one.
   * @param {InputWindow} window
   * @param {number} records
   * @param {number} bytes
   */
  granted(window, records, bytes) {
    if (!window.take(records, bytes)) return;
    this.send(frame({ credit: { number: window.number, records: window.grantedRecords, bytes: window.grantedBytes } }));
  }

  /**
   * Writes one whole frame. After the end of the session it vanishes, like every frame that was on its way then.
   * @param {Buffer} bytes
   * @param {() => void} [written] the buffer may be used again
   */
  send(bytes, written) {
    if (this.reason === null && !this.closing) this.socket.write(bytes, written);
  }

  /**
   * The same for a Settle.
   * @param {Buffer} bytes
   * @param {number} deliveries
   * @param {() => void} [written]
   */
  settle(bytes, deliveries, written) {
    this.settled += deliveries;
    this.progressAt = performance.now();
    this.send(bytes, written);
  }

  /**
   * Calls back when the broker has done everything that was sent so far (LV-1).
   * @param {() => void} done
   */
  barrier(done) {
    const nonce = this.nextNonce++;
    this.barriers.set(nonce, done);
    this.send(frame({ ping: { nonce } }));
  }

  /** Says Close, the last frame, and reads on (bounded) until the broker hangs up. */
  async close(code = OK, message = '') {
    this.closing = true;
    clearInterval(this.leaseTimer);
    const { socket } = this;
    if (!socket.destroyed && !this.reason?.message.includes('hung up')) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, CLOSING_MS);
        socket.once('close', () => { clearTimeout(timer); resolve(undefined); });
        socket.end(frame({ close: { code, message: cut(message) } }));
      });
    }
    this.discard();
  }

  /** Ends the connection without a word. */
  discard() {
    this.closing = true;
    clearInterval(this.leaseTimer);
    this.socket.destroy();
  }

  // ---- What comes ----

  /** @param {Error} reason */
  end(reason) {
    if (this.reason) return;
    this.reason = reason;
    clearInterval(this.leaseTimer);
    this.worker?.ended(reason);
  }

  /**
   * Handles one frame; false when nothing more is to be read.
   * @param {{ version: number, kind: number, start: number, end: number }} envelope
   * @param {Buffer} bytes
   */
  dispatch(envelope, bytes) {
    const { kind, start, end } = envelope;
    if (kind === 8) return this.#delivered(new Batch(bytes, start, end));
    const name = messages.Envelope.byNumber.get(kind)?.name;
    const message = name && messages.decode(/** @type {any} */ (messages.Envelope.byNumber.get(kind)).type, bytes, start, end);
    switch (name) {
      case 'credit': this.credit.raise(message); break;
      case 'ping': this.send(frame({ pong: { nonce: message.nonce } })); break;
      case 'pong': this.#ponged(message.nonce); break;
      case 'runs': for (const run of message.runs) this.runs.set(run.number, run); break;
      case 'settled': this.confirmations.settled(message); break;
      case 'drain': this.drain = message; break;
      case 'claimed': case 'committed': this.onSourceMessage(name, message); break;
      default: break; // a kind of later versions: none of them carries records unasked
    }
    return true;
  }

  /** @param {Batch} batch */
  #delivered(batch) {
    const count = batch.count;
    if (batch.first !== this.received + 1 || !this.inputs.has(batch.input)) {
      throw new Error(`a delivery ${batch.first} on input ${batch.input}; expected ${this.received + 1} `
        + `on one of ${[...this.inputs.keys()].join(', ') || 'none'}`);
    }
    if (count === 0) return true;
    if (this.received === this.settled) this.progressAt = performance.now();
    this.received += count;
    this.worker?.receive?.(batch);
    return true;
  }

  /** @param {number | bigint} nonce */
  #ponged(nonce) {
    const done = this.barriers.get(Number(nonce));
    this.barriers.delete(Number(nonce));
    done?.();
  }

  #renewLease() {
    if (this.received === this.settled || performance.now() - this.progressAt < this.leaseMs / 3) return;
    if (this.worker?.mayExtend && !this.worker.mayExtend()) return;
    this.progressAt = performance.now();
    this.send(frame({ extend: {} }));
  }
}

/**
 * Dials and shakes hands. Rejects with the system's error when nobody listens, with Closed when the broker
 * refuses, with Lost when it hangs up.
 * @param {string} path
 * @param {any} hello
 * @returns {Promise<Session>}
 */
export function attach(path, hello) {
  return new Promise((resolve, reject) => new Connection(path, hello, resolve, reject));
}

/** The socket's side of a session: bytes to frames, and errors to reasons. */
class Connection {
  /**
   * @param {string} path
   * @param {any} hello
   * @param {(session: Session) => void} resolve
   * @param {(reason: Error) => void} reject
   */
  constructor(path, hello, resolve, reject) {
    this.resolve = resolve;
    this.reject = reject;
    /** @type {Session | null} */
    this.session = null;
    this.over = false;
    this.assembler = new FrameAssembler(DEFAULT_FRAME);
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    this.socket = net.connect(/** @type {any} */ ({
      path,
      // One buffer for all reads: the assembler copies what belongs to a frame.
      onread: { buffer, callback: (/** @type {number} */ length) => this.#read(buffer, length) },
    }));
    // A moment later: whoever is refused at the door finds the reason in the socket before a write can fail.
    this.socket.once('connect', () => setImmediate(() => this.over || this.socket.write(frame({ hello }))));
    this.socket.on('error', (error) => this.#failed(error));
    this.socket.on('close', () => this.#end(new Lost('the broker hung up')));
    this.timer = setTimeout(() => this.#end(new Lost(`no answer to Hello within ${HANDSHAKE_MS / 1000} s`)), HANDSHAKE_MS);
  }

  /** @param {Error} error */
  #failed(error) {
    // Refused before Hello was read: what the broker said about it may still be in the socket, and 'close' follows.
    const code = /** @type {any} */ (error).code;
    if (this.socket.connecting || (code !== 'EPIPE' && code !== 'ECONNRESET')) this.#end(error);
  }

  /**
   * @param {Buffer} chunk
   * @param {number} length
   */
  #read(chunk, length) {
    if (this.over) return true;
    try {
      this.assembler.feed(chunk, length, (bytes) => this.#frame(bytes));
    } catch (error) {
      const code = error instanceof FrameTooLarge ? FRAME_TOO_LARGE : MALFORMED_FRAME;
      const prefix = error instanceof FrameTooLarge ? '' : 'the broker sent what is not a frame: ';
      this.#refuse(code, prefix + /** @type {Error} */ (error).message);
    }
    if (!this.over) this.session?.worker?.changed();
    return true;
  }

  /** @param {Buffer} bytes */
  #frame(bytes) {
    const envelope = openEnvelope(bytes);
    if (envelope.kind === 4) { // of any version: it may say that ours will not do (VR-2)
      const { code, message } = messages.decode(messages.Close, bytes, envelope.start, envelope.end);
      this.#end(new Closed(code, message));
    } else if (Math.floor(envelope.version / 1000) !== Math.floor(PROTOCOL_VERSION / 1000)) {
      this.#refuse(UNSUPPORTED_VERSION, `version ${envelope.version}; this worker speaks ${PROTOCOL_VERSION}`);
    } else if (this.session) {
      this.session.dispatch(envelope, bytes);
    } else if (envelope.kind === 3) {
      this.#welcomed(messages.decode(messages.Welcome, bytes, envelope.start, envelope.end));
    }
    return !this.over;
  }

  /** @param {any} welcome */
  #welcomed(welcome) {
    if (welcome.version !== PROTOCOL_VERSION) {
      return this.#refuse(UNSUPPORTED_VERSION,
        `the broker chose version ${welcome.version}; this worker speaks ${PROTOCOL_VERSION}`);
    }
    clearTimeout(this.timer);
    this.assembler.limit = Math.min(toLimit(welcome.maxFrame) || DEFAULT_FRAME, MAX_FRAME);
    this.session = new Session(welcome, this.socket);
    this.resolve(this.session);
  }

  /**
   * Says what is wrong with the other side, and is through with it.
   * @param {number} code
   * @param {string} message
   */
  #refuse(code, message) {
    if (this.over) return;
    this.socket.end(frame({ close: { code, message: cut(message) } }));
    this.#end(new Closed(code, message));
  }

  /** @param {Error} reason */
  #end(reason) {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    if (this.session) return this.session.end(reason);
    if (!(reason instanceof Closed)) this.socket.destroy();
    else this.socket.end();
    this.reject(reason);
  }
}

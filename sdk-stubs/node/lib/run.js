// `run`: attaches, works, attaches again where that can help, and ends with the right exit code.

import { APPLICATION, OK, PROTOCOL_VERSION, RETRYABLE, MAX_FRAME } from './codes.js';
import { ConfigurationError, parseConfig } from './config.js';
import { PerBatch } from './perbatch.js';
import { PerRecord } from './perrecord.js';
import { Producer, SourceFailed } from './producer.js';
import { say, showTrace } from './report.js';
import { attach, Closed, Lost } from './session.js';
import { boundsOf, Stage } from './stages.js';
import { test } from './testmode.js';
import { Windowing } from './windows.js';

const SDK = `stagewire-node 0.1.0 (Node ${process.versions.node})`;
const EXIT_RUNTIME = 1;
const EXIT_USAGE = 2;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;
/** Between two sentences about a broker that is still away. */
const SENTENCE_MS = 60_000;
/** For which a handler may go on after its session has ended. */
const ORPHAN_MS = 5_000;
const KINDS = { transform: PerRecord, sink: PerRecord, 'batch-sink': PerBatch, window: Windowing };

/** The process is to end with this code. */
class Exit extends Error {
  /**
   * @param {number} code
   * @param {string} [message]
   */
  constructor(code, message = '') {
    super(message);
    this.code = code;
  }
}

/**
 * Works as `stage` until the broker ends it, then ends the process: 0 after a normal end, 1 when the broker that
 * started it is gone or a source failed, 2 when it makes no sense to try again. The reason is on standard error.
 *
 * With `--test FILE` among the program's arguments it reads records from a file instead.
 * @param {Stage} stage
 * @param {{ name?: string, version?: string }} [options] `name`: the stage's, where nobody sets STAGEWIRE_STAGE; by
 *   default the function's. `version`: the author's own, shown in lineage
 */
export async function run(stage, options = {}) {
  process.exit(await main(stage, options, process.argv.slice(2)));
}

/**
 * The same without the end of the process: resolves to the exit code.
 * @param {Stage} stage
 * @param {{ name?: string, version?: string }} options
 * @param {string[]} argv
 * @returns {Promise<number>}
 */
export async function main(stage, options, argv) {
  try {
    if (!(stage instanceof Stage)) throw new Exit(EXIT_USAGE, 'run() takes what transform(), sink(), window() or source() made');
    if (argv.includes('--test')) return await test(stage, argv);
    await new Worker(stage, options).run();
    return OK;
  } catch (error) {
    if (error instanceof Exit) {
      if (error.message !== '') say(error.message);
      return error.code;
    }
    if (error instanceof SourceFailed) {
      showTrace(error.error);
      return EXIT_RUNTIME;
    }
    throw error;
  }
}

/**
 * @param {Stage} stage
 * @param {{ name?: string, version?: string }} options
 */
function makeHello(stage, { name, version = '0.1.0' }) {
  const token = process.env.STAGEWIRE_TOKEN ?? '';
  delete process.env.STAGEWIRE_TOKEN; // so that children do not inherit it
  if (!/^([0-9a-f]{2})*$/i.test(token)) {
    throw new Exit(EXIT_USAGE, 'STAGEWIRE_TOKEN is not hexadecimal: leave it to the broker to set it');
  }
  // Handlers share the thread that answers heartbeats, so a synchronous one delays them: LV-3 is made for this.
  const offered = stage.kind === 'source' ? ['single-threaded'] : ['single-threaded', 'settle-confirm'];
  const required = stage.kind === 'window' ? ['holds'] : [];
  return {
    minVersion: PROTOCOL_VERSION, maxVersion: PROTOCOL_VERSION,
    stage: process.env.STAGEWIRE_STAGE || name || stage.name,
    instance: process.env.STAGEWIRE_INSTANCE ?? '',
    stageVersion: version, offered, required, maxFrame: MAX_FRAME, token: Buffer.from(token, 'hex'), sdk: SDK, language: 'javascript',
  };
}

/** One process attached to a broker, over all its sessions. */
class Worker {
  /**
   * @param {Stage} stage
   * @param {{ name?: string, version?: string }} options
   */
  constructor(stage, options) {
    this.stage = stage;
    this.path = process.env.STAGEWIRE_SOCKET ?? '';
    if (this.path === '') {
      throw new Exit(EXIT_USAGE,
        "STAGEWIRE_SOCKET is not set: start this stage through `stagewire run`, or set it to the broker's socket");
    }
    this.hello = makeHello(stage, options);
    if (this.hello.stage === '') {
      throw new Exit(EXIT_USAGE, "this stage has no name: set STAGEWIRE_STAGE, give the function a name, or run(stage, { name: '...' })");
    }
    this.isSpawned = this.hello.token.length > 0;
    this.producer = stage.kind === 'source' ? new Producer(stage) : null;
    /** @type {import('./session.js').Session | null} */
    this.session = null;
    /** @type {import('./consumer.js').Consumer | null} */
    this.consumer = null;
    this.stopRequested = false;
    /** @type {() => void} */
    this.wake = () => {};
    this.hasSetup = false;
    /** @type {any} */
    this.state = undefined;
    this.saidAt = -Infinity;
  }

  async run() {
    const signals = /** @type {const} */ (['SIGTERM', 'SIGINT']);
    const handlers = signals.map((name, i) => () => this.#stop(i === 0 ? 15 : 2));
    signals.forEach((name, i) => process.on(name, handlers[i]));
    try {
      await this.#attachAndWork();
    } finally {
      signals.forEach((name, i) => process.off(name, handlers[i]));
      if (typeof this.state?.close === 'function') await this.state.close();
    }
  }

  /** @param {number} signal */
  #stop(signal) {
    if (this.stopRequested) process.exit(128 + signal); // asked twice: whatever is at hand takes too long
    this.stopRequested = true;
    this.session?.stop();
    this.wake();
  }

  async #attachAndWork() {
    let delay = FIRST_BACKOFF_MS;
    while (!this.stopRequested) {
      const { reason, attached } = await this.#workOnce();
      if (reason === null) return;
      this.#giveUpIfFinal(reason);
      if (attached) {
        delay = FIRST_BACKOFF_MS;
        this.saidAt = -Infinity;
      }
      await this.#pause(delay, reason);
      delay = Math.min(delay * 2, LONGEST_BACKOFF_MS);
    }
  }

  /**
   * One session. Why it ended (null: normally), and whether it had begun.
   * @returns {Promise<{ reason: Error | null, attached: boolean }>}
   */
  async #workOnce() {
    let session;
    try {
      session = await attach(this.path, this.hello);
    } catch (error) {
      return { reason: isNormalEnd(error) ? null : /** @type {Error} */ (error), attached: false };
    }
    this.session = session;
    if (this.stopRequested) session.stop();
    try {
      await this.#work(session, await this.#prepare(session));
      await session.close();
      return { reason: null, attached: true };
    } catch (error) {
      if (error instanceof Closed) await session.close(); // Close is answered by Close
      if (!(error instanceof Closed || error instanceof Lost) && error !== session.reason) throw error;
      await this.#awaitOrphans(/** @type {Error} */ (error));
      return { reason: isNormalEnd(error) ? null : /** @type {Error} */ (error), attached: true };
    } finally {
      session.discard();
      this.session = null;
      await session.confirmations.idle();
    }
  }

  /**
   * The configuration, checked, and what `setup` makes of it.
   * @param {import('./session.js').Session} session
   * @returns {Promise<import('./context.js').Shared>}
   */
  async #prepare(session) {
    const { welcome } = session;
    const configText = welcome.config.toString() || '{}';
    let config;
    let bounds;
    try {
      config = parseConfig(configText, this.stage.config);
      bounds = boundsOf(this.stage, config);
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      const message = `stage ${this.hello.stage}: ${error.message}`;
      await session.close(APPLICATION, message);
      throw new Exit(EXIT_USAGE, message);
    }
    if (this.stage.setup && !this.hasSetup) {
      this.state = await this.#setUp(config, session);
      this.hasSetup = true;
    }
    const { instance, pipeline } = welcome;
    return { config, configText, bounds, state: this.state, stage: this.hello.stage, instance, pipeline };
  }

  /**
   * @param {any} config
   * @param {import('./session.js').Session} session
   */
  async #setUp(config, session) {
    try {
      return await this.stage.setup(config);
    } catch (error) {
      showTrace(error);
      session.discard();
      throw new Exit(EXIT_RUNTIME, `setup failed: ${error instanceof Error ? error.message : error}`);
    }
  }

  /**
   * @param {import('./session.js').Session} session
   * @param {import('./context.js').Shared} shared
   */
  async #work(session, shared) {
    if (this.producer) return this.producer.run(session, shared);
    this.consumer = new (KINDS[/** @type {keyof KINDS} */ (this.stage.kind)])(this.stage, session, shared);
    return this.consumer.run();
  }

  // The next session had better not begin while a handler of this one goes on: it would handle the same record beside it.
  /** @param {Error} reason */
  async #awaitOrphans(reason) {
    const calls = this.consumer?.calls;
    this.consumer = null;
    if (!calls) return;
    let timer;
    const tooLong = new Promise((resolve) => { timer = setTimeout(() => resolve(true), ORPHAN_MS); });
    const isStuck = await Promise.race([calls.idle().then(() => false), tooLong]);
    clearTimeout(timer);
    if (!isStuck) return;
    const sentence = `${reason.message || 'the broker ended this session'}; a handler still runs and is given up`;
    if (!this.isSpawned && !isNormalEnd(reason)) return say(sentence);
    const isFinal = reason instanceof Closed && !RETRYABLE.has(reason.code);
    throw new Exit(isFinal ? (isNormalEnd(reason) ? OK : EXIT_USAGE) : EXIT_RUNTIME, sentence);
  }

  /** @param {Error} reason */
  #giveUpIfFinal(reason) {
    if (reason instanceof Closed && !RETRYABLE.has(reason.code)) {
      throw new Exit(EXIT_USAGE, `${reason.message} (${reason.code})`);
    }
    if (this.stopRequested) throw new Exit(OK);
    if (this.isSpawned && !(reason instanceof Closed)) {
      throw new Exit(EXIT_RUNTIME, `lost the broker at ${this.path}: ${reason.message}`);
    }
  }

  /**
   * @param {number} milliseconds
   * @param {Error} reason
   */
  #pause(milliseconds, reason) {
    const now = performance.now();
    if (now - this.saidAt >= SENTENCE_MS) {
      this.saidAt = now;
      say(`${reason.message}; trying again until the broker is there`);
    }
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }
}

/** @param {unknown} error */
function isNormalEnd(error) {
  return error instanceof Closed && error.code === OK;
}

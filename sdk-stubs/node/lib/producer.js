// Sources: partitions, emit ids, and what is kept until it is committed.
//
// A producer lives as long as the process and its generators with it; each session only claims the partitions anew and
// sends again what the broker does not have (SO-6).

import { MAX_CHECKPOINT, MAX_PARTITION, printable } from './codes.js';
import { toLimit } from './credit.js';
import { Context } from './context.js';
import { Emission } from './emission.js';
import { say } from './report.js';
import { frame } from './wire/frames.js';
import { DataFrame, putEmit } from './wire/settle.js';

/** Steps of a partition that are not committed yet: then it waits. */
const KEPT_STEPS = 1024;
/** Between two looks at a synchronous source that has nothing at the moment. */
const IDLE_MS = 50;
const SLICE_MS = 8;
const DEFAULT_DEADLINE_MS = 30_000;

/** The author's generator failed: the worker ends with 1. */
export class SourceFailed extends Error {
  /** @param {unknown} error what was thrown */
  constructor(error) {
    super(error instanceof Error ? error.message : String(error));
    this.error = error;
  }
}

/** What a source reads on its own: a file, a topic's shard. */
export class Partition {
  /**
   * @param {string} name
   * @param {Buffer} checkpointBytes
   */
  constructor(name, checkpointBytes) {
    this.name = name;
    /** Empty: from the beginning. */
    this.checkpointBytes = checkpointBytes;
  }

  /**
   * Where to go on, as it was yielded; undefined: from the beginning. Checkpoints that were yielded as bytes are in
   * `checkpointBytes`.
   */
  get checkpoint() {
    return this.checkpointBytes.length === 0 ? undefined : JSON.parse(this.checkpointBytes.toString());
  }
}

/**
 * A step that is not committed yet.
 * @typedef {{ emitId: number, emissions: Emission[], checkpoint: Buffer }} Kept
 */

/** One partition, over all sessions of this process. */
class Progress {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    /** @type {any} the author's generator */
    this.steps = null;
    /** @type {Promise<any> | null} a step that was asked for and has not come: the next session goes on waiting for it */
    this.pending = null;
    this.emitId = 0;
    /** @type {Kept[]} */
    this.kept = [];
    this.exhausted = false;
  }
}

/** Runs a source's generators. */
export class Producer {
  /** @param {import('./stages.js').Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** @type {Map<string, Progress>} */
    this.partitions = new Map();
    /** There is nothing to read for this instance. */
    this.isIdle = false;
    /** @type {Context | null} */
    this.context = null;
  }

  /**
   * Emits until the session is over: resolves when this worker is to say Close(0), rejects with Closed, Lost or
   * SourceFailed.
   * @param {import('./session.js').Session} session
   * @param {import('./context.js').Shared} shared
   */
  run(session, shared) {
    this.context ??= new Context(shared);
    for (const name of this.#names(session, shared.config)) {
      if (!this.partitions.has(name)) this.partitions.set(name, new Progress(name));
    }
    return new Emitting(this, session, this.context).run();
  }

  /**
   * The partitions to claim. Without any, one that is finished at once says that there is no work for this
   * instance: the stage ends when each has said so (SO-7).
   * @param {import('./session.js').Session} session
   * @param {any} config
   */
  #names(session, config) {
    const names = [...checkPartitions(this.stage.partitions, config)];
    this.isIdle = names.length === 0;
    return this.isIdle ? [session.welcome.instance] : names;
  }

  /**
   * @param {string} name
   * @param {Buffer} checkpoint
   */
  open(name, checkpoint) {
    if (this.isIdle) return [][Symbol.iterator]();
    const { handler } = this.stage;
    const steps = handler(new Partition(name, checkpoint), this.context);
    const isGenerator = steps && (typeof steps[Symbol.asyncIterator] === 'function' || typeof steps[Symbol.iterator] === 'function');
    if (!isGenerator || typeof steps === 'string') throw new TypeError('a source is a generator: function* or async function*');
    return steps[Symbol.asyncIterator]?.() ?? steps[Symbol.iterator]();
  }
}

/**
 * @param {string[] | ((config: any) => string[])} partitions
 * @param {any} config
 */
export function checkPartitions(partitions, config) {
  const names = typeof partitions === 'function' ? partitions(config) : partitions;
  for (const name of names) {
    const size = typeof name === 'string' ? Buffer.byteLength(name) : 0;
    if (size < 1 || size > MAX_PARTITION || name.includes('\0')) {
      throw new TypeError(`partition ${JSON.stringify(name)}: a string of 1 to ${MAX_PARTITION} bytes, none of them 0`);
    }
  }
  return names;
}

/** A producer's work in one session. */
class Emitting {
  /**
   * @param {Producer} producer
   * @param {import('./session.js').Session} session
   * @param {Context} context
   */
  constructor(producer, session, context) {
    this.producer = producer;
    this.session = session;
    this.context = context;
    /** @type {Map<string, any>} */
    this.claimed = new Map();
    /** @type {Map<string, number>} */
    this.committed = new Map();
    /** @type {Error | null} */
    this.reason = null;
    /** @type {Array<() => boolean>} each removes itself by returning true */
    this.waiting = [];
    this.sliceEnd = 0;
    session.onSourceMessage = (kind, message) => this.#received(kind, message);
  }

  async run() {
    const all = [...this.producer.partitions.values()];
    this.session.start(this);
    for (const { name } of all) this.session.send(frame({ claim: { partition: name } }));
    await Promise.all(all.map((each) => this.#drive(each)));
    // All are finished, or this worker is to leave.
    await this.#until(() => this.session.leaving);
    await this.#leave(all);
  }

  // ---- The session's side ----

  changed() {
    if (this.session.leaving) this.context._abort(new DOMException('the source shuts down', 'AbortError'));
    this.waiting = this.waiting.filter((each) => !each());
  }

  /** @param {Error} reason */
  ended(reason) {
    this.reason = reason;
    this.changed();
  }

  /**
   * @param {string} kind
   * @param {any} message
   */
  #received(kind, message) {
    if (kind === 'claimed') this.claimed.set(message.partition, message);
    else this.#commit(message);
  }

  /** @param {any} message */
  #commit({ partition, through, refused }) {
    this.committed.set(partition, Math.max(this.committed.get(partition) ?? 0, toLimit(through)));
    this.#forget(this.producer.partitions.get(partition));
    for (const { id, error } of refused) {
      say(`step ${id} of partition ${JSON.stringify(partition)} was refused and is not part of the stream: `
        + `${printable(error?.message ?? '')} (${error?.code ?? 0})`);
    }
  }

  /** @param {Progress | undefined} progress */
  #forget(progress) {
    const through = progress ? this.committed.get(progress.name) ?? 0 : 0;
    while (progress && progress.kept.length > 0 && progress.kept[0].emitId <= through) progress.kept.shift();
  }

  /**
   * Resolves when `condition` holds; rejects when the session is over. With `milliseconds`, then at the latest.
   * @param {() => boolean} condition
   * @param {number} [milliseconds]
   * @returns {Promise<void>}
   */
  #until(condition, milliseconds) {
    return new Promise((resolve, reject) => {
      /** @type {NodeJS.Timeout | undefined} */
      let timer;
      const check = () => {
        if (!this.reason && !condition()) return false;
        clearTimeout(timer);
        if (this.reason) reject(this.reason);
        else resolve();
        return true;
      };
      if (check()) return;
      this.waiting.push(check);
      if (milliseconds === undefined) return;
      timer = setTimeout(() => {
        this.waiting = this.waiting.filter((each) => each !== check);
        resolve();
      }, milliseconds);
    });
  }

  // ---- One partition ----

  /** @param {Progress} progress */
  async #drive(progress) {
    await this.#until(() => this.claimed.has(progress.name) || this.session.leaving);
    if (!this.claimed.has(progress.name)) return;
    await this.#resume(progress);
    while (!this.session.leaving && !progress.exhausted) {
      if (progress.kept.length >= KEPT_STEPS) await this.#until(() => progress.kept.length < KEPT_STEPS || this.session.leaving);
      else await this.#step(progress);
    }
    await this.#until(() => progress.kept.length === 0 || this.session.leaving);
    if (progress.exhausted && progress.kept.length === 0) this.session.send(frame({ finished: { partition: progress.name } }));
  }

  /**
   * Goes on where the broker says; sends again what it does not have.
   * @param {Progress} progress
   */
  async #resume(progress) {
    const claimed = this.claimed.get(progress.name);
    const last = toLimit(claimed.lastEmitId);
    while (progress.kept.length > 0 && progress.kept[0].emitId <= last) progress.kept.shift();
    const expected = progress.kept.length > 0 ? progress.kept[0].emitId : progress.emitId + 1;
    if (progress.steps === null || expected !== last + 1) {
      // The first session, or a broker that knows less than it had committed: it is right.
      progress.steps?.return?.();
      progress.pending = null;
      progress.kept = [];
      progress.emitId = last;
      progress.exhausted = false;
      try {
        progress.steps = this.producer.open(progress.name, claimed.checkpoint);
      } catch (error) {
        throw new SourceFailed(error);
      }
    }
    for (const each of [...progress.kept]) if (!await this.#send(progress, each)) return;
  }

  /**
   * One step of the generator.
   * @param {Progress} progress
   */
  async #step(progress) {
    const step = await this.#next(progress);
    if (step === undefined) return; // this worker is to leave
    if (step.done) {
      progress.exhausted = true;
      return;
    }
    if (step.value === undefined || step.value === null) return this.#until(() => this.session.leaving, IDLE_MS);
    let kept;
    try {
      kept = makeStep(step.value, progress.emitId + 1);
    } catch (error) {
      throw new SourceFailed(error);
    }
    progress.emitId++;
    progress.kept.push(kept);
    await this.#send(progress, kept);
  }

  /**
   * What the generator gives next; undefined when this worker is to leave first.
   * @param {Progress} progress
   */
  async #next(progress) {
    try {
      const next = progress.pending ?? progress.steps.next();
      if (typeof next.then !== 'function') return await this.#slice(next);
      progress.pending = next;
      let isHere = false;
      const arrived = next.finally(() => {
        isHere = true;
        this.changed();
      });
      arrived.catch(() => {});
      await this.#until(() => isHere || this.session.leaving);
      if (!isHere) return undefined;
      progress.pending = null;
      return await next;
    } catch (error) {
      if (error === this.reason) throw error;
      throw new SourceFailed(error);
    }
  }

  /**
   * A source that never waits must still let the event loop have its turn.
   * @param {any} step
   */
  async #slice(step) {
    if (performance.now() < this.sliceEnd) return step;
    await new Promise((resolve) => setImmediate(resolve));
    this.sliceEnd = performance.now() + SLICE_MS;
    return step;
  }

  /**
   * Sends what stands in `progress.kept`, where it stays if the connection breaks meanwhile.
   * @param {Progress} progress
   * @param {Kept} kept
   */
  async #send(progress, kept) {
    const { credit } = this.session;
    /** @type {import('./credit.js').Step} */
    let step;
    try {
      step = credit.step(kept.emissions);
    } catch (error) {
      throw new SourceFailed(error);
    }
    if (!credit.fits(step)) await this.#until(() => credit.fits(step) || this.session.leaving);
    if (!credit.fits(step)) {
      // Leaving. No commit will come for it or those after it: the last checkpoint brings them back.
      while (progress.kept.length > 0 && progress.kept[progress.kept.length - 1].emitId >= kept.emitId) progress.kept.pop();
      return false;
    }
    credit.spend(step);
    const size = kept.emissions.reduce((sum, each) => sum + each.size + 16, kept.checkpoint.length);
    const out = new DataFrame(size);
    putEmit(out, { partition: progress.name, emitId: kept.emitId, checkpoint: kept.checkpoint }, step.emissions, step.ports);
    this.session.send(out.emit());
    return true;
  }

  /**
   * Waits for what was sent to be committed, as long as the drain allows.
   * @param {Progress[]} all
   */
  async #leave(all) {
    for (const { steps } of all) Promise.resolve(steps?.return?.()).catch(() => {});
    const drain = this.session.drain;
    await this.#until(() => all.every((each) => each.kept.length === 0),
      drain && drain.deadlineMs === 0 ? undefined : drain?.deadlineMs ?? DEFAULT_DEADLINE_MS);
  }
}

/**
 * @param {any} value what the generator yielded
 * @param {number} emitId
 * @returns {Kept}
 */
export function makeStep(value, emitId) {
  const isStep = typeof value === 'object' && !(value instanceof Emission) && ('emissions' in value || 'checkpoint' in value);
  if (!isStep) throw new TypeError('a source yields { emissions, checkpoint }, or nothing');
  const list = value.emissions instanceof Emission ? [value.emissions] : [...(value.emissions ?? [])];
  for (const each of list) {
    if (!(each instanceof Emission)) throw new TypeError(`a source emits what emission({...}) makes, not a ${typeof each}`);
    if (each.parents !== undefined) throw new TypeError('what a source emits has no parents');
    each.detach();
  }
  return { emitId, emissions: list, checkpoint: encodeCheckpoint(value.checkpoint) };
}

/** @param {unknown} checkpoint */
function encodeCheckpoint(checkpoint) {
  if (checkpoint === undefined) return Buffer.alloc(0);
  const encoded = checkpoint instanceof Uint8Array ? Buffer.from(checkpoint) : Buffer.from(JSON.stringify(checkpoint));
  if (encoded.length > MAX_CHECKPOINT) throw new RangeError(`a checkpoint of ${encoded.length} bytes; the limit is ${MAX_CHECKPOINT}`);
  return encoded;
}

// Windows on a session: records are held unsettled until their window's handler is done (feature `holds`).
//
// OR-3 is what makes this file longer than it looks: when a window is given back (retry, release), the broker voids
// the later deliveries of its keys that this session still holds, and delivers all of them anew. They are taken out
// of their windows here, or each of those windows would hold every such record twice and be void as a whole.

import { MAX_TEXT, REJECTED } from './codes.js';
import { Consumer } from './consumer.js';
import { Context } from './context.js';
import { toLimit } from './credit.js';
import { Emission, emission } from './emission.js';
import { givesBack, laneOf } from './lanes.js';
import { rangesOf } from './outbox.js';
import { Record } from './record.js';
import { collect, collectAsync } from './results.js';
import { WindowSet } from './windowset.js';

const LATE = 1000;

/** What a window's handler gets. */
export class Window {
  /** @type {Map<Record, { code: number, message: string }>} */
  _rejected = new Map();

  /**
   * @param {import('./windowset.js').Pane} pane
   * @param {boolean} byKey
   * @param {boolean} byTime
   */
  constructor(pane, byKey, byTime) {
    /** In the order of their arrival. */
    this.records = pane.records;
    /** False when memory ended it early: the rest of it comes as another window. */
    this.complete = pane.complete;
    /** The key of all its records, with `byKey`. */
    this.key = byKey ? pane.key.toString() : undefined;
    /** Its bytes, for keys that are no text. */
    this.keyBytes = byKey ? pane.key : undefined;
    /** Microseconds since 1970, by event time: from here, */
    this.start = byTime ? pane.start : undefined;
    /** and up to but not including here. */
    this.end = byTime ? pane.end : undefined;
  }

  get size() {
    return this.records.length;
  }

  [Symbol.iterator]() {
    return this.records[Symbol.iterator]();
  }

  /** An output of the window as a whole: it takes nothing over and descends from all records, or from `parents`. */
  emit(/** @type {any} */ fields = {}) {
    return emission(fields);
  }

  /**
   * This record will never work and becomes a dead letter by itself; the others are settled as the handler says.
   * @param {Record} record
   * @param {number} code from 1000
   * @param {string} [message]
   */
  reject(record, code, message = 'rejected') {
    if (!this.records.includes(record)) throw new TypeError('this record is not one of the window');
    if (!Number.isInteger(code) || code < 1000) throw new RangeError(`code ${code}: an application's codes begin at 1000`);
    this._rejected.set(record, { code, message });
  }
}

/** Collects deliveries in windows and runs the handler over those that have ended, one after the other. */
export class Windowing extends Consumer {
  /**
   * @param {import('./stages.js').Stage} stage
   * @param {import('./session.js').Session} session
   * @param {import('./context.js').Shared} shared
   */
  constructor(stage, session, shared) {
    super(stage, session, shared);
    this.bounds = shared.bounds;
    this.set = new WindowSet(shared.bounds);
    /** @type {import('./windowset.js').Pane[]} ended, and not yet handled */
    this.ready = [];
    /** @type {{ window: Window, step: import('./credit.js').Step } | null} handled, but there is no credit */
    this.blocked = null;
    /** @type {Map<number, { records: number, bytes: number }>} unsettled and out of the buffer, by input */
    this.held = new Map();
    for (const number of session.inputs.keys()) this.held.set(number, { records: 0, bytes: 0 });
    /** @type {NodeJS.Timeout | undefined} */
    this.timer = undefined;
  }

  /** @param {Error} reason */
  ended(reason) {
    clearTimeout(this.timer);
    super.ended(reason);
  }

  advance() {
    if (this.blocked !== null) this.#complete(this.blocked.window, this.blocked.step);
    while (!this.yielding && !this.session.leaving) {
      if (this.#handleReady()) {
        if (this.sliceIsOver()) return;
        continue;
      }
      if (this.queue.length === 0) break;
      const batch = this.takeBatch();
      if (batch === null) continue; // the queue held a Pong only: now windows may end that waited for it to be empty
      this.#hold(batch);
      if (this.sliceIsOver()) return;
    }
    if (!this.session.leaving) this.#wait();
  }

  /** Handles the oldest window that has ended; false when there is none or the last one is not done. */
  #handleReady() {
    if (this.blocked !== null || this.calls.running.size > 0) return false;
    if (this.ready.length === 0 && this.queue.length === 0) this.ready.push(...this.set.due(performance.now()));
    if (this.ready.length === 0 && this.session.inputEnded && this.queue.length === 0) this.ready.push(...this.set.endComplete());
    if (this.ready.length === 0 && this.#isFull()) this.ready.push(...this.set.endOldest());
    const pane = this.ready.shift();
    if (pane === undefined) return false;
    this.#call(pane);
    return true;
  }

  /** Nothing happens before the next frame, or before time is up. */
  #wait() {
    clearTimeout(this.timer);
    const due = this.set.nextDue(performance.now());
    if (due === Infinity || this.calls.running.size > 0 || this.blocked !== null) return;
    this.timer = setTimeout(() => this.changed(), Math.max(1, Math.ceil(due - performance.now())));
  }

  /** The broker might deliver nothing more before something is settled (DE-4). */
  #isFull() {
    const largest = toLimit(this.session.welcome.maxRecord);
    for (const [number, { records, bytes }] of this.held) {
      const input = this.session.inputs.get(number);
      if (records >= toLimit(input.maxUnsettledRecords)) return true;
      if (bytes > 0 && bytes + largest > toLimit(input.maxUnsettledBytes)) return true;
    }
    return false;
  }

  /** @param {import('./wire/deliver.js').Batch} batch */
  #hold(batch) {
    const origin = this.originOf(batch);
    const held = /** @type {{ records: number, bytes: number }} */ (this.held.get(batch.input));
    held.records += batch.count;
    held.bytes += batch.bytes;
    const now = performance.now();
    for (let i = 0; i < batch.count; i++) {
      const record = new Record(origin, batch.first + i, batch.frame, batch.bounds[2 * i], batch.bounds[2 * i + 1]);
      if (this.closed.isAny && this.releaseIfVoid(record)) this.#expect([record]);
      else this.#place(record, now);
    }
  }

  /**
   * @param {Record} record
   * @param {number} now
   */
  #place(record, now) {
    record._detach();
    const { verdict, windowEnd, ended } = this.set.add(record, now, this.#lane(record));
    this.ready.push(...ended);
    if (verdict === 'held') return;
    if (verdict === 'late' && this.bounds.late === 'accept') this.outbox.filter(record.delivery);
    else {
      const message = verdict === 'untimed'
        ? 'no event time, which this stage\'s windows go by'
        : `late: its window ended at ${new Date(windowEnd / 1000).toISOString()}`;
      this.outbox.fail([record.delivery, record.delivery], 1, { release: false, kind: REJECTED, code: LATE, message });
    }
    this.#let([record]);
  }

  /**
   * They are settled.
   * @param {readonly Record[]} records
   */
  #let(records) {
    for (const record of records) {
      const held = /** @type {{ records: number, bytes: number }} */ (this.held.get(record._origin.input));
      held.records--;
      held.bytes -= record._size;
    }
  }

  // ---- One window ----

  /** @param {import('./windowset.js').Pane} pane */
  #call(pane) {
    const window = new Window(pane, this.bounds.byKey === true, this.bounds.eventTime !== undefined);
    const context = new Context(this.shared);
    const { handler } = this; // called as a function: its `this` is none of ours
    try {
      const result = handler(window, context);
      if (result === undefined || result === null) this.#settle(window, []);
      else if (typeof result.then === 'function') this.#follow(window, context, result);
      else if (typeof result[Symbol.asyncIterator] === 'function') this.#follow(window, context, collectAsync(result));
      else this.#settle(window, result instanceof Emission ? [result] : collect(result));
    } catch (error) {
      this.#fail(window, error, context);
    }
  }

  /**
   * @param {Window} window
   * @param {Context} context
   * @param {PromiseLike<any>} promise
   */
  #follow(window, context, promise) {
    this.calls.begin(context);
    const emissions = Promise.resolve(promise).then((result) => {
      if (result === undefined || result === null) return [];
      if (typeof result[Symbol.asyncIterator] === 'function') return collectAsync(result);
      return result instanceof Emission ? [result] : collect(result);
    });
    emissions.then(
      (given) => this.#returned(context, () => this.#settle(window, given), window),
      (error) => this.#returned(context, () => { throw error; }, window));
  }

  /**
   * @param {Context} context
   * @param {() => void} settle
   * @param {Window} window
   */
  #returned(context, settle, window) {
    this.calls.end(context);
    if (this.done) return;
    try {
      settle();
    } catch (error) {
      this.#fail(window, error, context);
    }
    this.changed();
  }

  /**
   * @param {Window} window
   * @param {Emission[]} emissions
   */
  #settle(window, emissions) {
    const accepted = window.records.filter((each) => !window._rejected.has(each));
    checkParents(emissions, accepted);
    this.#complete(window, this.session.credit.step(emissions));
  }

  /**
   * Settles a window whose emissions were found good, as soon as there is credit.
   * @param {Window} window
   * @param {import('./credit.js').Step} step
   */
  #complete(window, step) {
    const accepted = window.records.filter((each) => !window._rejected.has(each));
    if (accepted.length > 0 && !this.outbox.accept(rangesOf(accepted), accepted.length, step)) {
      for (const each of step.emissions) each.detach();
      this.blocked = { window, step };
      return;
    }
    this.blocked = null;
    for (const [record, { code, message }] of window._rejected) {
      this.outbox.fail([record.delivery, record.delivery], 1, { release: false, kind: REJECTED, code, message });
    }
    this.#let(window.records);
  }

  /**
   * @param {Window} window
   * @param {unknown} error
   * @param {Context} context
   */
  #fail(window, error, context) {
    const judgement = this.judge(error, context);
    if (!judgement.release) judgement.message = judgement.message.slice(0, MAX_TEXT);
    this.outbox.fail(rangesOf(window.records), window.records.length, judgement);
    this.#let(window.records);
    if (!givesBack(judgement)) return;
    this.set.expect(window.records);
    this.#takeBackRelated(window.records);
  }

  // ---- What the broker voids ----

  /** @param {Record} record */
  #lane(record) {
    return laneOf(this.session.inputs, record);
  }

  /**
   * Later deliveries related to records that were not accepted are void.
   * @param {readonly Record[]} records
   */
  #takeBackRelated(records) {
    /** @type {Map<string, number>} */
    const first = new Map();
    for (const record of records) {
      const lane = this.#lane(record);
      if (lane === '') continue;
      first.set(lane, Math.min(first.get(lane) ?? Infinity, record.delivery));
      this.set.lag(lane, record.eventTime);
    }
    if (first.size === 0) return;
    const isVoid = (/** @type {Record} */ record) => record.delivery > (first.get(this.#lane(record)) ?? Infinity);
    const taken = this.set.remove(isVoid);
    for (const pane of this.ready) {
      taken.push(...pane.records.filter(isVoid));
      pane.records = pane.records.filter((each) => !isVoid(each));
    }
    this.ready = this.ready.filter((each) => each.records.length > 0);
    for (const lane of first.keys()) this.closed.close(lane);
    this.releaseVoid(taken);
    this.#expect(taken);
  }

  /** Takes all that has come into windows. */
  drainQueue() {
    for (let batch = this.takeBatch(); batch !== null; batch = this.takeBatch()) this.#hold(batch);
  }

  /**
   * They are released, and come again.
   * @param {Record[]} records
   */
  #expect(records) {
    this.set.expect(records);
    this.#let(records);
  }

  giveBack() {
    clearTimeout(this.timer);
    if (this.calls.running.size > 0) return false;
    if (this.blocked !== null && this.session.stopping) {
      this.outbox.release(rangesOf(this.blocked.window.records), this.blocked.window.records.length);
      this.#let(this.blocked.window.records);
      this.blocked = null;
    }
    this.drainQueue();
    const records = [...this.ready, ...this.set.endAll()].flatMap((each) => each.records);
    this.ready = [];
    if (records.length > 0) {
      this.outbox.release(rangesOf(records), records.length);
      this.#let(records);
    }
    return this.blocked === null;
  }
}

/**
 * @param {readonly Emission[]} emissions
 * @param {readonly Record[]} accepted
 */
function checkParents(emissions, accepted) {
  if (accepted.length === 0 && emissions.length > 0) throw new TypeError('every record of the window is rejected: nothing is left to emit for');
  const known = new Set(accepted.map((each) => each.delivery));
  for (const { parents } of emissions) {
    if (parents === undefined) continue;
    if (new Set(parents).size !== parents.length || !parents.every((each) => known.has(each))) {
      throw new TypeError("an emission's parents are accepted records of its window, each named once");
    }
  }
}

// Transforms and sinks: from deliveries to outcomes.
//
//   receive -> queue -> pump -> handler -> outbox -> Settle
//                        ^         |  a promise: the call is in flight, at most `concurrency` of them
//                        +---------+  no credit: the outcome is blocked, and so is everything behind it
//
// With several calls in flight, related deliveries go through lanes: a lane is there while a record of its key is in
// flight, and holds those of the same key that came meanwhile. So they are handled, and settled, in order (OR-2).
// When one is given back, those behind it are void: they are released, and so are those that are on their way (lanes.js).

import { Consumer } from './consumer.js';
import { Context } from './context.js';
import { Emission } from './emission.js';
import { givesBack, laneOf } from './lanes.js';
import { Record } from './record.js';
import { checkSinkResult, collect, collectAsync } from './results.js';

/**
 * A record whose handler is done, but whose emissions have no credit yet.
 * @typedef {{ record: Record, step: import('./credit.js').Step, lane: string }} Blocked
 */

/** One record at a time, or several calls in flight. */
export class PerRecord extends Consumer {
  /**
   * @param {import('./stages.js').Stage} stage
   * @param {import('./session.js').Session} session
   * @param {import('./context.js').Shared} shared
   */
  constructor(stage, session, shared) {
    super(stage, session, shared);
    this.emits = stage.kind === 'transform';
    /** @type {import('./wire/deliver.js').Batch | null} */
    this.batch = null;
    /** @type {any} */
    this.origin = null;
    this.next = 0;
    this.inFlight = 0;
    /** @type {Map<string, Record[]> | null} records that wait for an earlier one of their key */
    this.lanes = stage.concurrency > 1 ? new Map() : null;
    /** @type {Blocked[]} */
    this.blocked = [];
    /** @type {Array<[string, Record]>} the next of lanes whose first is done */
    this.ready = [];
  }

  advance() {
    this.#unblock();
    while (this.inFlight < this.stage.concurrency && this.blocked.length === 0 && !this.calls.isOverdue
        && !this.yielding && !this.session.leaving) {
      const waiting = this.ready.shift();
      if (waiting !== undefined) this.#call(waiting[1], waiting[0]);
      else {
        const record = this.#nextRecord();
        if (record === null) return;
        this.#begin(record);
      }
      if (this.sliceIsOver()) return;
    }
  }

  #nextRecord() {
    let { batch } = this;
    if (batch === null || this.next === batch.count) {
      batch = this.batch = this.takeBatch();
      if (batch === null) return null;
      this.origin = this.originOf(batch);
      this.next = 0;
    }
    const i = this.next++;
    return new Record(this.origin, batch.first + i, batch.frame, batch.bounds[2 * i], batch.bounds[2 * i + 1]);
  }

  /** @param {Record} record */
  #begin(record) {
    if (this.closed.isAny && this.releaseIfVoid(record)) return;
    if (this.lanes === null) return this.#call(record, '');
    const lane = laneOf(this.session.inputs, record);
    const waiting = lane === '' ? undefined : this.lanes.get(lane);
    if (waiting === undefined) this.#call(record, lane);
    else waiting.push(record);
  }

  /**
   * @param {Record} record
   * @param {string} lane empty: related to nothing, or there is one call at a time
   */
  #call(record, lane) {
    const context = new Context(this.shared);
    const { handler } = this; // called as a function: its `this` is none of ours
    let result;
    try {
      result = handler(record, context);
      if (result === undefined || result === null) this.outbox.filter(record.delivery);
      else if (typeof result.then === 'function') return this.#follow(record, lane, context, result);
      else if (typeof result[Symbol.asyncIterator] === 'function' && this.emits) {
        return this.#follow(record, lane, context, collectAsync(result));
      } else if (!this.#settle(record, lane, result)) return this.#hold(lane);
    } catch (error) {
      this.#fail(record, error, context);
    }
    this.#pass(lane);
  }

  /**
   * A record of `lane` is under way.
   * @param {string} lane
   */
  #hold(lane) {
    this.inFlight++;
    if (lane !== '' && !this.lanes?.has(lane)) this.lanes?.set(lane, []);
  }

  /**
   * It is settled: the next of its lane may go.
   * @param {string} lane
   */
  #pass(lane) {
    if (lane === '') return;
    const waiting = this.lanes?.get(lane);
    if (waiting === undefined) return;
    const next = waiting.shift();
    if (next === undefined) this.lanes?.delete(lane);
    else this.ready.push([lane, next]);
  }

  /**
   * @param {Record} record
   * @param {string} lane
   * @param {Context} context
   * @param {PromiseLike<any>} promise
   */
  #follow(record, lane, context, promise) {
    this.#hold(lane);
    this.calls.begin(context);
    promise.then(
      (result) => this.#returned(record, lane, context, () => this.#settleLate(record, lane, result, context)),
      (error) => this.#returned(record, lane, context, () => this.#fail(record, error, context)));
  }

  /**
   * @param {Record} record
   * @param {string} lane
   * @param {Context} context
   * @param {() => boolean} settle false when the outcome is blocked or another promise is followed
   */
  #returned(record, lane, context, settle) {
    this.calls.end(context);
    if (this.done) return; // the session is over: nobody is there to be told
    if (settle()) {
      this.inFlight--;
      this.#pass(lane);
    }
    this.pump();
  }

  /**
   * @param {Record} record
   * @param {string} lane
   * @param {any} result
   * @param {Context} context
   */
  #settleLate(record, lane, result, context) {
    try {
      if (result !== null && result !== undefined && typeof result[Symbol.asyncIterator] === 'function' && this.emits) {
        this.inFlight--;
        this.#follow(record, lane, context, collectAsync(result));
        return false;
      }
      return this.#settle(record, lane, result);
    } catch (error) {
      return this.#fail(record, error, context);
    }
  }

  /**
   * Records the outcome; false when it is blocked. Throws what is wrong with the result.
   * @param {Record} record
   * @param {string} lane
   * @param {any} result
   */
  #settle(record, lane, result) {
    const { delivery } = record;
    if (!this.emits) checkSinkResult(result);
    if (!this.emits || result === undefined || result === null) {
      this.outbox.filter(delivery);
      return true;
    }
    if (result instanceof Emission && this.blocked.length === 0 && this.outbox.acceptOne(delivery, result)) return true;
    const emissions = result instanceof Emission ? [result] : collect(result);
    if (emissions.length === 0) {
      this.outbox.filter(delivery);
      return true;
    }
    const step = this.session.credit.step(withoutParents(emissions));
    if (this.blocked.length === 0 && this.outbox.accept([delivery, delivery], 1, step)) return true;
    for (const each of emissions) each.detach();
    this.blocked.push({ record, step, lane });
    return false;
  }

  /**
   * @param {Record} record
   * @param {unknown} error
   * @param {Context} context
   */
  #fail(record, error, context) {
    const { delivery } = record;
    const judgement = this.judge(error, context);
    this.outbox.fail([delivery, delivery], 1, judgement);
    if (givesBack(judgement)) this.#void(record);
    return true;
  }

  /**
   * What is related to this record and comes behind it is void.
   * @param {Record} record
   */
  #void(record) {
    const lane = laneOf(this.session.inputs, record);
    this.closed.close(lane);
    this.releaseVoid(this.lanes?.get(lane)?.splice(0) ?? []);
  }

  #unblock() {
    while (this.blocked.length > 0) {
      const { record: { delivery }, step, lane } = this.blocked[0];
      if (!this.outbox.accept([delivery, delivery], 1, step)) {
        // Asked to end meanwhile: somebody else may handle this one.
        if (!this.session.stopping) return;
        this.outbox.release([delivery, delivery], 1);
      }
      this.blocked.shift();
      this.inFlight--;
      this.#pass(lane);
    }
  }

  giveBack() {
    // What is related to a call in flight must not be settled before it (OR-2).
    if (this.inFlight > 0) return false;
    const ids = [];
    for (const [lane, record] of this.ready.splice(0)) {
      ids.push(record.delivery, ...(this.lanes?.get(lane) ?? []).map((each) => each.delivery));
    }
    this.lanes?.clear();
    ids.sort((a, b) => a - b);
    for (const each of ids) this.outbox.release([each, each], 1);
    this.#releaseQueue();
    return true;
  }

  #releaseQueue() {
    if (this.batch !== null && this.next < this.batch.count) {
      const { first, count } = this.batch;
      this.outbox.release([first + this.next, first + count - 1], count - this.next);
    }
    this.batch = null;
    this.releaseBatches();
  }
}

/** @param {Emission[]} emissions */
function withoutParents(emissions) {
  for (const each of emissions) {
    if (each.parents !== undefined) throw new TypeError('parents are for windows: here an output descends from its record');
  }
  return emissions;
}

// Sinks that take what has arrived.

import { Consumer } from './consumer.js';
import { Context } from './context.js';
import { givesBack, laneOf } from './lanes.js';
import { rangesOf } from './outbox.js';
import { Record } from './record.js';
import { checkSinkResult } from './results.js';

/** What has arrived, a Deliver at a time; a verdict is for all of it. */
export class PerBatch extends Consumer {
  advance() {
    while (this.calls.running.size === 0 && !this.yielding && !this.session.leaving) {
      const batch = this.takeBatch();
      if (batch === null) return;
      const records = this.#recordsOf(batch);
      if (records.length > 0) this.#call(records);
      if (this.sliceIsOver()) return;
    }
  }

  /**
   * Those to be handled; what is void is released.
   * @param {import('./wire/deliver.js').Batch} batch
   */
  #recordsOf(batch) {
    const origin = this.originOf(batch);
    const records = [];
    for (let i = 0; i < batch.count; i++) {
      const record = new Record(origin, batch.first + i, batch.frame, batch.bounds[2 * i], batch.bounds[2 * i + 1]);
      if (!this.closed.isAny || !this.releaseIfVoid(record)) records.push(record);
    }
    return records;
  }

  /** @param {readonly Record[]} records */
  #call(records) {
    const context = new Context(this.shared);
    const { handler } = this; // called as a function: its `this` is none of ours
    try {
      const result = handler([...records], context); // an array of its own, which it may change
      if (typeof result?.then !== 'function') return this.#accept(records, result);
      this.calls.begin(context);
      result.then((/** @type {any} */ late) => this.#returned(records, context, () => this.#accept(records, late)),
        (/** @type {unknown} */ error) => this.#returned(records, context, () => { throw error; }));
    } catch (error) {
      this.#fail(records, error, context);
    }
  }

  /**
   * @param {readonly Record[]} records
   * @param {Context} context
   * @param {() => void} settle
   */
  #returned(records, context, settle) {
    this.calls.end(context);
    if (this.done) return;
    try {
      settle();
    } catch (error) {
      this.#fail(records, error, context);
    }
    this.pump();
  }

  /**
   * @param {readonly Record[]} records
   * @param {any} result
   */
  #accept(records, result) {
    checkSinkResult(result);
    for (const { delivery } of records) this.outbox.filter(delivery);
  }

  /**
   * @param {readonly Record[]} records
   * @param {unknown} error
   * @param {Context} context
   */
  #fail(records, error, context) {
    const judgement = this.judge(error, context);
    this.outbox.fail(rangesOf(records), records.length, judgement);
    if (!givesBack(judgement)) return;
    for (const each of records) this.closed.close(laneOf(this.session.inputs, each));
  }

  giveBack() {
    if (this.calls.running.size > 0) return false;
    this.releaseBatches();
    return true;
  }
}

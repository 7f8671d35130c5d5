// Sinks that take what has arrived.

import { Consumer } from './consumer.js';
import { Context } from './context.js';
import { Record } from './record.js';
import { checkSinkResult } from './results.js';

/** What has arrived, a Deliver at a time; a verdict is for all of it. */
export class PerBatch extends Consumer {
  advance() {
    while (this.calls.running.size === 0 && !this.yielding && !this.session.leaving) {
      const batch = this.takeBatch();
      if (batch === null) return;
      this.#call(batch);
      if (this.sliceIsOver()) return;
    }
  }

  /** @param {import('./wire/deliver.js').Batch} batch */
  #call(batch) {
    const origin = this.originOf(batch);
    const records = [];
    for (let i = 0; i < batch.count; i++) {
      records.push(new Record(origin, batch.first + i, batch.frame, batch.bounds[2 * i], batch.bounds[2 * i + 1]));
    }
    const context = new Context(this.shared);
    const { handler } = this; // called as a function: its `this` is none of ours
    try {
      const result = handler(records, context);
      if (typeof result?.then !== 'function') return this.#accept(batch, result);
      this.calls.begin(context);
      result.then((/** @type {any} */ late) => this.#returned(context, () => this.#accept(batch, late), batch),
        (/** @type {unknown} */ error) => this.#returned(context, () => { throw error; }, batch));
    } catch (error) {
      this.#fail(batch, error, context);
    }
  }

  /**
   * @param {Context} context
   * @param {() => void} settle
   * @param {import('./wire/deliver.js').Batch} batch
   */
  #returned(context, settle, batch) {
    this.calls.end(context);
    if (this.done) return;
    try {
      settle();
    } catch (error) {
      this.#fail(batch, error, context);
    }
    this.pump();
  }

  /**
   * @param {import('./wire/deliver.js').Batch} batch
   * @param {any} result
   */
  #accept(batch, result) {
    checkSinkResult(result);
    for (let i = 0; i < batch.count; i++) this.outbox.filter(batch.first + i);
  }

  /**
   * @param {import('./wire/deliver.js').Batch} batch
   * @param {unknown} error
   * @param {Context} context
   */
  #fail(batch, error, context) {
    this.outbox.fail([batch.first, batch.first + batch.count - 1], batch.count, this.judge(error, context));
  }

  giveBack() {
    if (this.calls.running.size > 0) return false;
    this.releaseBatches();
    return true;
  }
}

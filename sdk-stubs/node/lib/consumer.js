// What consumers of all kinds share: the queue of Deliver frames, slices of the event loop's time, the ending.

import { Calls } from './context.js';
import { ClosedLanes, laneOf } from './lanes.js';
import { judge, Outbox } from './outbox.js';
import { showTrace } from './report.js';

/** For which handlers run before the event loop has its turn: pings, credit, timers, the author's own I/O. */
const SLICE_MS = 8;
/** For which handlers at hand go on undisturbed at a shutdown, at most; then their signals fire. */
const GRACE_MS = 5_000;

/** The base of all consumers. */
export class Consumer {
  /**
   * @param {import('./stages.js').Stage} stage
   * @param {import('./session.js').Session} session
   * @param {import('./context.js').Shared} shared
   */
  constructor(stage, session, shared) {
    this.stage = stage;
    this.handler = stage.handler;
    this.session = session;
    this.shared = shared;
    this.outbox = new Outbox(session);
    this.calls = new Calls(stage.timeout);
    this.closed = new ClosedLanes(session);
    /**
     * Delivers in the order in which they were read, and what opens lanes where their Pong was.
     * @type {Array<import('./wire/deliver.js').Batch | (() => void)>}
     */
    this.queue = [];
    this.sliceEnd = 0;
    this.pumping = false;
    this.yielding = false;
    this.flushing = false;
    this.done = false;
    /** @type {NodeJS.Timeout | undefined} */
    this.graceTimer = undefined;
    this.finish = () => {};
    /** @type {(reason: Error) => void} */
    this.failed = () => {};
  }

  /** Works until the session is over: resolves when this worker is to say Close, rejects with Closed or Lost. */
  run() {
    return new Promise((resolve, reject) => {
      this.finish = () => resolve(undefined);
      this.failed = reject;
      this.session.start(this);
    });
  }

  // ---- The session's side ----

  /** @param {import('./wire/deliver.js').Batch} batch */
  receive(batch) {
    this.queue.push(batch);
  }

  changed() {
    this.sliceEnd = performance.now() + SLICE_MS;
    this.pump();
  }

  /** @param {Error} reason */
  ended(reason) {
    this.done = true;
    clearTimeout(this.graceTimer);
    this.calls.abort('the session with the broker is over');
    this.failed(reason);
  }

  mayExtend() {
    return !this.calls.isOverdue;
  }

  // ---- The loop ----

  pump() {
    if (this.pumping || this.done) return;
    this.pumping = true;
    this.advance();
    this.pumping = false;
    if (this.session.leaving) this.#leave();
    this.#flush();
  }

  /** Does what can be done, for a slice. */
  advance() {}

  /**
   * Gives back what was not begun; whether nothing is left.
   * @returns {boolean}
   */
  giveBack() {
    return true;
  }

  /** True when the slice is over: the rest follows when the event loop has had its turn. */
  sliceIsOver() {
    if (performance.now() < this.sliceEnd) return false;
    this.yielding = true;
    setImmediate(() => {
      this.yielding = false;
      this.changed();
    });
    return true;
  }

  /** Takes a whole batch out of the buffer, and grants as much again. */
  takeBatch() {
    let batch = this.queue.shift();
    while (typeof batch === 'function') {
      batch();
      batch = this.queue.shift();
    }
    if (batch === undefined) return null;
    const window = this.session.windows.get(batch.input);
    if (window) this.session.granted(window, batch.count, batch.bytes);
    return batch;
  }

  /**
   * Settles a record of a closed lane, which no handler is to see; false when its lane is open.
   * @param {import('./record.js').Record} record
   */
  releaseIfVoid(record) {
    if (!this.closed.has(record)) return false;
    this.releaseVoid([record]);
    return true;
  }

  /**
   * Releases what is void, by now or soon, in the order of its ids. It may not be void: a retry that was the last attempt
   * made a dead letter and voided nothing. Hence each of these gives back as well, so that its lane stays closed until
   * the Pong behind it; and each is an outcome of its own, so that the first one, if it is real, voids the others. In
   * one outcome every one of them would count as released, and a hundred of that cost an attempt (RT-2).
   * @param {import('./record.js').Record[]} records
   */
  releaseVoid(records) {
    for (const record of records.sort((a, b) => a.delivery - b.delivery)) {
      this.outbox.release([record.delivery, record.delivery], 1);
      this.closed.close(laneOf(this.session.inputs, record));
    }
  }

  /** Gives back what is in the buffer. */
  releaseBatches() {
    for (let batch = this.takeBatch(); batch !== null; batch = this.takeBatch()) {
      this.outbox.release([batch.first, batch.first + batch.count - 1], batch.count);
    }
  }

  /**
   * @param {import('./wire/deliver.js').Batch} batch
   * @returns {import('./record.js').Origin}
   */
  originOf(batch) {
    const { inputs, runs, confirmations } = this.session;
    const { stage, port } = inputs.get(batch.input);
    const inputName = inputs.size > 1 ? (port ? `${stage}.${port}` : stage) : '';
    return { first: batch.first, attempts: batch.attempts, input: batch.input, stage, inputName, runs, confirmations };
  }

  /**
   * What a handler's exception says. A call that was cut short may have had its effect already.
   * @param {unknown} error
   * @param {import('./context.js').Context} context
   */
  judge(error, context) {
    const judgement = judge(error);
    if (!judgement.release && judgement.unexpected) {
      if (context._aborted) judgement.indefinite = true;
      else showTrace(error);
    }
    return judgement;
  }

  #leave() {
    const isEmpty = this.giveBack();
    if (this.session.stopping && isEmpty && this.calls.running.size === 0) {
      this.outbox.flush();
      this.done = true;
      clearTimeout(this.graceTimer);
      this.finish();
    } else if (this.graceTimer === undefined && this.calls.running.size > 0) {
      const deadline = this.session.drain?.deadlineMs || 2 * GRACE_MS;
      this.graceTimer = setTimeout(() => this.calls.abort('the stage shuts down'), Math.min(GRACE_MS, deadline / 2));
    }
  }

  // Outcomes of a handler that never waits leave at the end of each slice; those of calls in flight are collected
  // until the event loop comes round, so that calls which end together share a frame.
  #flush() {
    if (this.outbox.isEmpty && !this.closed.isUnsaid) return;
    if (this.calls.running.size === 0) return this.#send();
    if (this.flushing) return;
    this.flushing = true;
    setImmediate(() => {
      this.flushing = false;
      if (!this.done) this.#send();
    });
  }

  #send() {
    this.outbox.flush();
    this.closed.ask((open) => this.queue.push(open));
  }
}

// What a worker has to say about deliveries, collected into Settle frames that stay within credit.

import { MAX_TEXT, REJECTED, RETRY } from './codes.js';
import { Refused, Reject, Release, Retry } from './verdicts.js';
import { DataFrame, putAccepted, putAcceptedOne, putFailed, putReleased } from './wire/settle.js';

/**
 * Bytes of a Settle; a larger outcome still goes whole. Under the 256 KiB that a frame may have beyond the byte
 * credit (LM-4).
 */
const FRAME_TARGET = 240 * 1024;
/** Frames of this many outcomes are not grown further: far under the protocol's 262,144. */
const MOST_OUTCOMES = 65_536;
const SPARE_FRAMES = 4;

/**
 * @typedef {import('./emission.js').Emission} Emission
 * @typedef {import('./credit.js').Step} Step
 * @typedef {import('./wire/settle.js').Ranges} Ranges
 *
 * What a handler's exception says about its deliveries.
 * @typedef {{ release: true } | { release: false, kind: number, code: number, message: string, delayMs?: number,
 *   indefinite?: boolean, unexpected?: boolean }} Judgement
 */

/**
 * @param {unknown} error
 * @returns {Judgement}
 */
export function judge(error) {
  if (error instanceof Release) return { release: true };
  if (error instanceof Reject || error instanceof Refused) {
    const indefinite = error instanceof Reject && error.indefinite;
    return { release: false, kind: REJECTED, code: error.code, message: error.message, indefinite };
  }
  if (error instanceof Retry) {
    const { code, message, delayMs, indefinite } = error;
    return { release: false, kind: RETRY, code, message, delayMs, indefinite };
  }
  return { release: false, kind: RETRY, code: 1000, message: describe(error).slice(0, MAX_TEXT), unexpected: true };
}

/** @param {unknown} error */
export function describe(error) {
  return error instanceof Error ? `${error.name}: ${error.message}` : `thrown: ${String(error)}`;
}

/**
 * Records as ranges of consecutive delivery ids.
 * @param {readonly import('./record.js').Record[]} records
 * @returns {Ranges}
 */
export function rangesOf(records) {
  const ids = records.map((each) => each.delivery).sort((a, b) => a - b);
  const ranges = [];
  for (const id of ids) {
    if (ranges.length > 0 && ranges[ranges.length - 1] === id - 1) ranges[ranges.length - 1] = id;
    else ranges.push(id, id);
  }
  return ranges;
}

/** Collects outcomes; sends them as Settle frames. */
export class Outbox {
  /** @param {import('./session.js').Session} session */
  constructor(session) {
    this.session = session;
    this.credit = session.credit;
    /** @type {DataFrame[]} whose bytes the socket has taken over by now */
    this.spare = [];
    this.limit = Math.min(FRAME_TARGET, this.credit.maxFrame - 1024);
    this.frame = new DataFrame(this.limit);
    this.outcomes = 0;
    this.deliveries = 0;
    // Accepted without emissions, and not yet written: neighbours share an outcome. That is allowed where some may be
    // void: an outcome without emissions still applies to the rest (OR-4).
    this.runFirst = 0;
    this.runLast = -1;
  }

  get isEmpty() {
    return this.outcomes === 0 && this.runLast < 0;
  }

  /**
   * Accepted, and nothing comes of it.
   * @param {number} delivery
   */
  filter(delivery) {
    if (this.runLast + 1 === delivery && this.runLast >= 0) this.runLast = delivery;
    else {
      this.#closeRun();
      this.runFirst = this.runLast = delivery;
    }
  }

  /**
   * One delivery, one emission, without detours. False when it has to take the long way: there is no credit,
   * or something is wrong with it.
   * @param {number} delivery
   * @param {Emission} emission
   */
  acceptOne(delivery, emission) {
    const { credit } = this;
    const account = emission.port === undefined ? credit.first : credit.byPort.get(emission.port);
    if (account === undefined || emission.parents !== undefined || emission.trace !== undefined) return false;
    const size = emission.size;
    const charge = size + credit.reserve;
    if (charge > credit.largest || size > this.limit || account.usedRecords >= account.limitRecords
        || account.usedBytes + charge > account.limitBytes) return false;
    account.usedRecords++;
    account.usedBytes += charge;
    if (this.runLast >= 0) this.#closeRun();
    this.#begin(size + 64);
    putAcceptedOne(this.frame, delivery, emission, account.number);
    this.outcomes++;
    this.deliveries++;
    return true;
  }

  /**
   * One outcome; false when there is no credit for it yet.
   * @param {Ranges} ranges
   * @param {number} count how many deliveries they cover
   * @param {Step} step
   */
  accept(ranges, count, step) {
    if (!this.credit.fits(step)) return false;
    this.credit.spend(step);
    this.session.confirmations.accepted(ranges);
    let size = 0;
    for (const each of step.emissions) size += each.size + 32 + (each.parents?.length ?? 0) * 8;
    this.#add(count, size + ranges.length * 12, () => putAccepted(this.frame, ranges, step.emissions, step.ports));
    return true;
  }

  /**
   * @param {Ranges} ranges
   * @param {number} count
   */
  release(ranges, count) {
    this.session.confirmations.dropped(ranges);
    this.#add(count, ranges.length * 12, () => putReleased(this.frame, ranges));
  }

  /**
   * RELEASED, REJECTED or RETRY.
   * @param {Ranges} ranges
   * @param {number} count
   * @param {Judgement} judgement
   */
  fail(ranges, count, judgement) {
    if (judgement.release) return this.release(ranges, count);
    this.session.confirmations.dropped(ranges);
    const size = judgement.message.length * 3 + ranges.length * 12;
    this.#add(count, size, () => putFailed(this.frame, ranges, judgement.kind, judgement));
  }

  /** Sends what was collected. */
  flush() {
    if (this.runLast >= 0) this.#closeRun();
    if (this.outcomes > 0) this.#send();
  }

  /**
   * @param {number} deliveries
   * @param {number} size about so many bytes
   * @param {() => void} put
   */
  #add(deliveries, size, put) {
    this.#closeRun();
    this.#begin(size + 64);
    put();
    this.outcomes++;
    this.deliveries += deliveries;
  }

  #closeRun() {
    if (this.runLast < 0) return;
    const ranges = [this.runFirst, this.runLast];
    this.runLast = -1;
    this.#begin(64);
    putAccepted(this.frame, ranges, [], []);
    this.outcomes++;
    this.deliveries += ranges[1] - ranges[0] + 1;
  }

  /**
   * Makes sure that the next outcome is in a frame that can have it.
   * @param {number} size
   */
  #begin(size) {
    if (this.outcomes > 0 && (this.frame.size + size > this.limit || this.outcomes >= MOST_OUTCOMES)) this.#send();
  }

  #send() {
    const { frame, deliveries } = this;
    this.outcomes = this.deliveries = 0;
    this.frame = this.spare.pop() ?? new DataFrame(this.limit);
    this.frame.reset();
    // The buffer is the socket's until it says otherwise.
    this.session.settle(frame.settle(), deliveries, () => {
      if (this.spare.length < SPARE_FRAMES && frame.buffer.length <= 2 * this.limit + 65_536) this.spare.push(frame);
    });
  }
}

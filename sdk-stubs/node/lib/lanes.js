// What is related to what (OR-1), and what the broker has voided of it (OR-3).
//
//   given back          Ping leaves                 Pong is read           what was read before it is through
//      | close(lane)       | behind the Settle         | joins the queue       | the lane is open
//      +-------------------+---------------------------+-----------------------+
//        every delivery of the lane is void: it is released without being handled. That gives back, too
//        (Consumer.releaseVoid), so the lane stays closed until the Pong of the last such release

import { ORDERING_KEY, ORDERING_NONE, REJECTED } from './codes.js';

/**
 * The name of a record's lane; empty: it is related to nothing. An unknown ordering is TOTAL (HS-6).
 * @param {Map<number, any>} inputs of the session, by number
 * @param {import('./record.js').Record} record
 */
export function laneOf(inputs, record) {
  const { input } = record._origin;
  const { ordering } = inputs.get(input);
  if (ordering === ORDERING_NONE) return '';
  if (ordering !== ORDERING_KEY) return `${input}`;
  const key = record.keyBytes;
  return key.length === 0 ? '' : `${input}:${key.toString('latin1')}`;
}

/**
 * A verdict that voids what is related: all but accepted and rejected.
 * @param {import('./outbox.js').Judgement} judgement
 */
export function givesBack(judgement) {
  return judgement.release || judgement.kind !== REJECTED;
}

/** The lanes of a session on which something was given back, until nothing of what is void can come any more. */
export class ClosedLanes {
  /** @type {Map<string, number>} how many Pongs are due; one whose Ping has not left counts */
  #due = new Map();
  /** @type {Set<string>} closed since the last Ping: one Ping serves all of them */
  #unsaid = new Set();

  /** @param {import('./session.js').Session} session */
  constructor(session) {
    this.session = session;
    /** Whether any lane is closed: to be asked first, for finding a record's lane costs something. */
    this.isAny = false;
  }

  /** A Ping has to follow the next Settle. */
  get isUnsaid() {
    return this.#unsaid.size > 0;
  }

  /** @param {string} lane empty: nothing is closed */
  close(lane) {
    if (lane === '' || this.#unsaid.has(lane)) return;
    this.#unsaid.add(lane);
    this.#due.set(lane, (this.#due.get(lane) ?? 0) + 1);
    this.isAny = true;
  }

  /**
   * Whether a record that comes now is void.
   * @param {import('./record.js').Record} record
   */
  has(record) {
    return this.#due.has(laneOf(this.session.inputs, record));
  }

  /**
   * Asks the broker to say when it has done all that was sent so far: to be called when the Settle has left.
   * @param {(open: () => void) => void} answered gets what opens the lanes, which is to be called once everything
   *   that was read before the answer has been looked at
   */
  ask(answered) {
    if (this.#unsaid.size === 0) return;
    const lanes = [...this.#unsaid];
    this.#unsaid.clear();
    this.session.barrier(() => answered(() => this.#open(lanes)));
  }

  /** @param {string[]} lanes */
  #open(lanes) {
    for (const lane of lanes) {
      const left = /** @type {number} */ (this.#due.get(lane)) - 1;
      if (left > 0) this.#due.set(lane, left);
      else this.#due.delete(lane);
    }
    this.isAny = this.#due.size > 0;
  }
}

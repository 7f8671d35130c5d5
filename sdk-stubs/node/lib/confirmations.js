// What a handler wants done once the broker has confirmed that its verdict is durable (ST-8).

import { printable } from './codes.js';
import { say, showTrace } from './report.js';

/** @typedef {() => unknown} Action */

/** Those of one session, by delivery. */
export class Confirmations {
  /**
   * With the first delivery of the outcome, by which the broker names a refusal.
   * @type {Map<number, { outcome: number, actions: Action[] }>}
   */
  #asked = new Map();
  /** @type {Promise<void>} */
  #last = Promise.resolve();

  /**
   * @param {number} delivery
   * @param {Action} action
   */
  ask(delivery, action) {
    const entry = this.#asked.get(delivery);
    if (entry) entry.actions.push(action);
    else this.#asked.set(delivery, { outcome: delivery, actions: [action] });
  }

  /**
   * One outcome, which the broker may refuse, for all of these.
   * @param {import('./wire/settle.js').Ranges} ranges
   */
  accepted(ranges) {
    if (this.#asked.size === 0) return;
    for (const delivery of deliveriesOf(ranges)) {
      const entry = this.#asked.get(delivery);
      if (entry) entry.outcome = ranges[0];
    }
  }

  /**
   * Another verdict than accepted.
   * @param {import('./wire/settle.js').Ranges} ranges
   */
  dropped(ranges) {
    if (this.#asked.size === 0) return;
    for (const delivery of deliveriesOf(ranges)) this.#asked.delete(delivery);
  }

  /**
   * Says what was refused, and has done what is confirmed, in the order of the deliveries.
   * @param {{ through: number, refused: any[] }} settled
   */
  settled({ through, refused }) {
    for (const { id, error } of refused) {
      say(`the broker refused what delivery ${id} emitted, which is a dead letter now: `
        + `${printable(error?.message ?? '')} (${error?.code ?? 0})`);
    }
    if (this.#asked.size === 0) return;
    const dead = new Set(refused.map((each) => each.id));
    for (const [delivery, { outcome }] of this.#asked) if (dead.has(outcome)) this.#asked.delete(delivery);
    const due = [...this.#asked.keys()].filter((each) => each <= through).sort((a, b) => a - b);
    for (const delivery of due) {
      for (const action of this.#asked.get(delivery)?.actions ?? []) this.#last = this.#last.then(action).then(() => {}, showTrace);
      this.#asked.delete(delivery);
    }
  }

  /** Resolves when all that was confirmed is done. */
  idle() {
    return this.#last;
  }
}

/** @param {import('./wire/settle.js').Ranges} ranges */
function* deliveriesOf(ranges) {
  for (let i = 0; i < ranges.length; i += 2) for (let id = ranges[i]; id <= ranges[i + 1]; id++) yield id;
}

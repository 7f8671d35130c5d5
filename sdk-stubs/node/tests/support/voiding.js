// The broker's side of what is void (OR-1 to OR-4): deliveries that are given back come again, and what is related to
// them and behind them comes again behind them, whatever the worker says about the copies that it still holds.

import assert from 'node:assert/strict';
import { idsOf, record } from './broker.js';

export const [KEY, NONE, TOTAL] = [1, 2, 3];
const [ACCEPTED, , RETRY, RELEASED] = [1, 2, 3, 4];

/** One stream to one session. */
export class Stream {
  /**
   * @param {import('./broker.js').Peer} peer
   * @param {string[]} keys one for each record; its payload is its index
   * @param {{ ordering?: number, most?: number, batch?: () => number }} options `most`: deliveries held at once;
   *   `batch`: in one Deliver
   */
  constructor(peer, keys, { ordering = KEY, most = 64, batch = () => 8 } = {}) {
    this.peer = peer;
    this.most = most;
    this.batch = batch;
    this.pending = keys.map((key, index) => ({
      index, attempt: 1, record: record(`${index}`, { number: index, key }),
      lane: ordering === NONE ? '' : ordering === TOTAL ? 'all' : key,
    }));
    this.count = keys.length;
    this.held = new Map(); // delivery -> entry
    this.void = new Set(); // all deliveries that ever were
    this.parked = [];
    this.blocked = new Set(); // lanes
    this.done = []; // entries, as they were settled for good
    this.redelivered = 0;
  }

  /** Until every record is settled for good. */
  async run() {
    while (this.done.length < this.count) {
      await this.#deliver();
      await this.peer.until(() => this.peer.messages.length > 0, 'a settlement');
      const { kind, message } = this.peer.messages.shift();
      if (kind === 'settle') for (const each of message.outcomes) this.#settled(each);
      if (kind === 'ping') this.#answer(message);
    }
  }

  async #deliver() {
    while (this.held.size < this.most) {
      const room = Math.min(this.batch(), this.most - this.held.size);
      const entries = [];
      this.pending = this.pending.filter((each) => {
        if (entries.length === room || this.blocked.has(each.lane)) return true;
        entries.push(each);
        return false;
      });
      if (entries.length === 0) return;
      const first = await this.peer.deliver(entries.map((each) => each.record), entries.map((each) => each.attempt));
      entries.forEach((each, i) => this.held.set(first + i, each));
    }
  }

  #settled(outcome) {
    const settled = idsOf(outcome).map((id) => [id, this.held.get(id)]);
    for (const [id] of settled) this.held.delete(id);
    for (const [id, entry] of settled) {
      if (this.void.has(id)) assert.equal(outcome.kind, RELEASED, `delivery ${id} is void`);
      else if (outcome.kind === RETRY || outcome.kind === RELEASED) this.#giveBack(id, entry, outcome.kind);
      else {
        assert.equal(outcome.kind, ACCEPTED);
        this.done.push(entry);
      }
    }
  }

  #giveBack(id, entry, kind) {
    if (kind === RETRY) entry.attempt++;
    if (entry.lane === '') return this.#again([entry]);
    this.blocked.add(entry.lane);
    this.parked.push(entry);
    for (const [other, behind] of this.held) {
      if (other < id || behind.lane !== entry.lane || this.void.has(other)) continue;
      this.void.add(other);
      this.parked.push(behind);
    }
  }

  // The earliest moment at which it could come, so that nothing is hidden by a backoff.
  #answer({ nonce }) {
    this.peer.send({ pong: { nonce } });
    this.blocked.clear();
    this.#again(this.parked.splice(0));
  }

  #again(entries) {
    this.redelivered += entries.length;
    this.pending.push(...entries);
    this.pending.sort((a, b) => a.index - b.index);
  }
}

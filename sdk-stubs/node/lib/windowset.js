// Which records belong together, and when that is decided. No clock, no session: time comes in as an argument.

const MICROS = 1_000_000;
/** For which a window waits for the rest of what was given back, once the first of it is there again. */
const AWAIT_MS = 10_000;
/** Records that are expected again, at most: those that went to another worker never come. */
const MOST_AWAITED = 65_536;

/**
 * @typedef {object} Bounds
 * @property {number} [records] a window ends with that many
 * @property {number} [bytes] and before its payloads are more than that
 * @property {number} [seconds] and that long after its first record arrived
 * @property {{ size: number, lateness?: number }} [eventTime] instead: tumbling windows of `size` seconds by event
 *   time, which end `lateness` seconds after the latest event time seen is past their end
 * @property {number} [idle] seconds without a record after which windows by event time end (10; 0: never)
 * @property {boolean} [byKey] a window for each key
 * @property {'reject' | 'accept'} [late] what becomes of a record whose window has ended
 */

/**
 * An author's mistake shows when the stage is defined.
 * @param {Bounds} bounds
 * @returns {Bounds}
 */
export function checkBounds(bounds) {
  const { records, bytes, seconds, eventTime, late } = bounds;
  for (const [name, value] of Object.entries({ records, bytes, seconds, 'eventTime.size': eventTime?.size })) {
    if (value !== undefined && !(typeof value === 'number' && value > 0)) throw new RangeError(`window: ${name} is a number over 0`);
  }
  for (const [name, value] of Object.entries({ idle: bounds.idle, 'eventTime.lateness': eventTime?.lateness })) {
    if (value !== undefined && !(typeof value === 'number' && value >= 0)) throw new RangeError(`window: ${name} is a number from 0`);
  }
  const counts = [records, bytes, seconds].some((each) => each !== undefined);
  if (eventTime === undefined ? !counts : counts || eventTime.size === undefined) {
    throw new TypeError('window: bounds are records, bytes and seconds, or eventTime with a size');
  }
  if (late !== undefined && late !== 'reject' && late !== 'accept') throw new TypeError("window: late is 'reject' or 'accept'");
  return bounds;
}

/** The records of one window, in the making. */
export class Pane {
  /**
   * @param {string} id
   * @param {Buffer} key
   * @param {number} begun ms
   * @param {number} start µs
   * @param {number} end µs
   */
  constructor(id, key, begun, start, end) {
    this.id = id;
    this.key = key;
    this.begun = begun;
    this.start = start;
    this.end = end;
    /** @type {import('./record.js').Record[]} */
    this.records = [];
    /** @type {Set<string>} what its records are related by */
    this.relations = new Set();
    this.bytes = 0;
    /** False when it had to end before its time. */
    this.complete = true;
  }
}

/** All windows of one worker. What a method returns has ended, the oldest first. */
export class WindowSet {
  /** @param {Bounds} bounds */
  constructor(bounds) {
    this.bounds = bounds;
    this.idleMs = (bounds.idle ?? 10) * 1000;
    this.sizeMicros = bounds.eventTime ? Math.round(bounds.eventTime.size * MICROS) : 0;
    this.latenessMicros = bounds.eventTime ? Math.round((bounds.eventTime.lateness ?? 0) * MICROS) : 0;
    /** @type {Map<string, Pane>} in the order of their first records */
    this.panes = new Map();
    this.watermark = -Infinity;
    /** No window ends before this one does: µs. */
    this.earliestEnd = Infinity;
    this.lastArrival = 0;
    // Records that were given back come again: they are not late, and their window waits for all of them.
    /** @type {Map<string, string>} record id -> window */
    this.awaited = new Map();
    /** @type {Map<string, number>} window -> how many are awaited */
    this.awaitedBy = new Map();
    // What is related to them stays behind them in the broker, while the rest of the stream goes on. So it has a
    // watermark of its own until it has caught up.
    /** @type {Map<string, { watermark: number, arrivedAt: number }>} by relation; `arrivedAt` Infinity: nothing yet */
    this.lagging = new Map();
    /** Windows may have ended for another reason than the watermark. */
    this.isChanged = false;
  }

  get isEmpty() {
    return this.panes.size === 0;
  }

  /**
   * Puts a record into its window.
   * @param {import('./record.js').Record} record
   * @param {number} now ms, monotonic
   * @param {string} [relation] what it is related by; empty: to nothing
   * @returns {{ verdict: 'held' | 'late' | 'untimed', windowEnd: number, ended: Pane[] }}
   */
  add(record, now, relation = '') {
    this.lastArrival = now;
    return this.sizeMicros > 0 ? this.#addByTime(record, now, relation) : this.#addByCount(record, now);
  }

  /**
   * @param {import('./record.js').Record} record
   * @param {number} now
   */
  #addByCount(record, now) {
    const { records = Infinity, bytes = Infinity } = this.bounds;
    const { id, key } = this.#identify(record, '');
    const ended = [];
    let pane = this.panes.get(id);
    if (pane && pane.bytes + record.size > bytes) {
      ended.push(this.#end(pane));
      pane = undefined;
    }
    pane ??= this.#begin(new Pane(id, key, now, 0, 0));
    pane.records.push(record);
    pane.bytes += record.size;
    if (pane.records.length >= records || pane.bytes > bytes) ended.push(this.#end(pane));
    return { verdict: /** @type {const} */ ('held'), windowEnd: 0, ended };
  }

  /**
   * @param {import('./record.js').Record} record
   * @param {number} now
   * @param {string} relation
   */
  #addByTime(record, now, relation) {
    const time = record.eventTime;
    if (time === 0) return { verdict: /** @type {const} */ ('untimed'), windowEnd: 0, ended: [] };
    const start = floorTo(time, this.sizeMicros);
    const end = start + this.sizeMicros;
    const { id, key } = this.#identify(record, `${start}`);
    const isAwaited = this.#arrived(record);
    const lag = this.lagging.get(relation);
    if (end <= (lag ?? this).watermark && !isAwaited) return { verdict: /** @type {const} */ ('late'), windowEnd: end, ended: [] };
    const pane = this.panes.get(id) ?? this.#begin(new Pane(id, key, now, start, end));
    pane.records.push(record);
    pane.bytes += record.size;
    pane.relations.add(relation);
    this.watermark = Math.max(this.watermark, Number(time) - this.latenessMicros);
    if (lag) this.#catchUp(relation, lag, Number(time) - this.latenessMicros, now);
    return { verdict: /** @type {const} */ ('held'), windowEnd: end, ended: this.#passed() };
  }

  /**
   * @param {import('./record.js').Record} record
   * @param {string} prefix
   */
  #identify(record, prefix) {
    const key = this.bounds.byKey ? record.keyBytes : Buffer.alloc(0);
    return { id: `${prefix}:${key.toString('latin1')}`, key };
  }

  /** @param {Pane} pane */
  #begin(pane) {
    this.panes.set(pane.id, pane);
    this.earliestEnd = Math.min(this.earliestEnd, pane.end);
    return pane;
  }

  /** @param {Pane} pane */
  #end(pane) {
    this.panes.delete(pane.id);
    return pane;
  }

  // Looks at the windows only when the watermark has reached one, or a record with 10,000 open keys costs 10,000 looks.
  #passed() {
    if (this.watermark < this.earliestEnd && !this.isChanged) return [];
    const ended = [];
    this.isChanged = false;
    this.earliestEnd = Infinity;
    for (const pane of this.panes.values()) {
      if (pane.end > this.watermark) this.earliestEnd = Math.min(this.earliestEnd, pane.end);
      else if (!this.awaitedBy.has(pane.id) && pane.end <= this.#watermarkOf(pane)) ended.push(this.#end(pane));
    }
    return ended.sort((a, b) => a.end - b.end);
  }

  /** @param {Pane} pane */
  #watermarkOf(pane) {
    let { watermark } = this;
    if (this.lagging.size === 0) return watermark;
    for (const relation of this.bounds.byKey ? pane.relations : this.lagging.keys()) {
      watermark = Math.min(watermark, this.lagging.get(relation)?.watermark ?? watermark);
    }
    return watermark;
  }

  /**
   * @param {string} relation
   * @param {{ watermark: number, arrivedAt: number }} lag
   * @param {number} watermark
   * @param {number} now
   */
  #catchUp(relation, lag, watermark, now) {
    lag.watermark = Math.max(lag.watermark, watermark);
    lag.arrivedAt = now;
    if (lag.watermark >= this.watermark) this.lagging.delete(relation);
    this.isChanged = true;
  }

  // ---- Time ----

  /**
   * What has ended by now.
   * @param {number} now ms
   */
  due(now) {
    const { seconds } = this.bounds;
    if (seconds !== undefined) {
      const ended = [];
      for (const pane of this.panes.values()) {
        if (now - pane.begun < seconds * 1000) break; // the others began later
        ended.push(this.#end(pane));
      }
      return ended;
    }
    if (this.sizeMicros === 0 || this.isEmpty) return [];
    if (this.isBehind) this.#awaitNoMore(now);
    if (this.idleMs > 0 && now - this.lastArrival >= this.idleMs) {
      for (const pane of this.panes.values()) this.watermark = Math.max(this.watermark, pane.end);
    }
    return this.#passed();
  }

  /** Something that was given back is not there again, or what is related to it. */
  get isBehind() {
    return this.awaitedBy.size > 0 || this.lagging.size > 0;
  }

  /**
   * Some of what was given back may have become a dead letter meanwhile.
   * @param {number} now
   */
  #awaitNoMore(now) {
    for (const pane of this.panes.values()) {
      if (now - pane.begun >= AWAIT_MS && this.awaitedBy.delete(pane.id)) this.isChanged = true;
    }
    for (const [relation, { arrivedAt }] of this.lagging) {
      if (now - arrivedAt >= AWAIT_MS && this.lagging.delete(relation)) this.isChanged = true;
    }
  }

  /**
   * When to ask `due` again, ms; Infinity: not for anything that is held now.
   * @param {number} now
   */
  nextDue(now) {
    if (this.isEmpty) return Infinity;
    const { seconds } = this.bounds;
    if (seconds !== undefined) {
      const [oldest] = this.panes.values();
      return oldest.begun + seconds * 1000;
    }
    if (this.sizeMicros === 0) return Infinity;
    const idle = this.idleMs > 0 ? this.lastArrival + this.idleMs : Infinity;
    return this.isBehind ? Math.min(idle, now + AWAIT_MS / 10) : idle;
  }

  // ---- Ends before time ----

  /** There is no room for more: the oldest goes. */
  endOldest() {
    const [oldest] = this.panes.values();
    if (oldest === undefined) return [];
    oldest.complete = false;
    return [this.#end(oldest)];
  }

  /** Nothing more comes, other than what was given back. */
  endComplete() {
    const all = [...this.panes.values()].filter((each) => !this.awaitedBy.has(each.id));
    for (const each of all) this.#end(each);
    return this.sizeMicros > 0 ? all.sort((a, b) => a.end - b.end) : all;
  }

  /** Nothing more comes at all. */
  endAll() {
    const all = [...this.panes.values()];
    this.panes.clear();
    return this.sizeMicros > 0 ? all.sort((a, b) => a.end - b.end) : all;
  }

  // ---- What comes again ----

  /**
   * These records go back to the broker and are expected again.
   * @param {readonly import('./record.js').Record[]} records
   */
  expect(records) {
    if (this.sizeMicros === 0) return;
    for (const record of records) {
      const { id } = this.#identify(record, `${floorTo(record.eventTime, this.sizeMicros)}`);
      if (this.awaited.has(record.id)) continue;
      this.awaited.set(record.id, id);
      this.awaitedBy.set(id, (this.awaitedBy.get(id) ?? 0) + 1);
    }
    for (const [id, pane] of this.awaited) {
      if (this.awaited.size <= MOST_AWAITED) break;
      this.awaited.delete(id);
      this.#countArrival(pane);
    }
  }

  /**
   * True when the record was expected again.
   * @param {import('./record.js').Record} record
   */
  #arrived(record) {
    if (this.awaited.size === 0) return false;
    const { id } = record;
    const pane = this.awaited.get(id);
    if (pane === undefined) return false;
    this.awaited.delete(id);
    this.#countArrival(pane);
    return true;
  }

  /** @param {string} pane */
  #countArrival(pane) {
    const left = (this.awaitedBy.get(pane) ?? 1) - 1;
    if (left > 0) this.awaitedBy.set(pane, left);
    else this.awaitedBy.delete(pane);
    this.isChanged = true;
  }

  /**
   * What is related to these records, which go back to the broker, comes behind them.
   * @param {string} relation
   * @param {number | bigint} time the earliest event time of them
   */
  lag(relation, time) {
    if (this.sizeMicros === 0) return;
    const start = floorTo(time, this.sizeMicros);
    const watermark = Math.min(start, this.lagging.get(relation)?.watermark ?? Infinity);
    this.lagging.set(relation, { watermark, arrivedAt: Infinity });
    for (const each of this.lagging.keys()) {
      if (this.lagging.size <= MOST_AWAITED) break;
      this.lagging.delete(each);
    }
  }

  /**
   * Takes out held records, which go back to the broker.
   * @param {(record: import('./record.js').Record) => boolean} isTaken
   */
  remove(isTaken) {
    /** @type {import('./record.js').Record[]} */
    const taken = [];
    for (const pane of this.panes.values()) {
      /** @type {import('./record.js').Record[]} */
      const kept = [];
      for (const record of pane.records) (isTaken(record) ? taken : kept).push(record);
      if (kept.length === pane.records.length) continue;
      pane.records = kept;
      pane.bytes = kept.reduce((sum, each) => sum + each.size, 0);
      if (kept.length === 0) this.panes.delete(pane.id);
    }
    return taken;
  }
}

/**
 * The multiple of `size` at or before `time`, both in microseconds.
 * @param {number | bigint} time
 * @param {number} size
 */
function floorTo(time, size) {
  if (typeof time === 'number') return Math.floor(time / size) * size;
  const step = BigInt(size);
  const rest = time % step;
  return Number(time - (rest < 0n ? rest + step : rest));
}

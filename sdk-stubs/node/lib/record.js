// Records as a handler sees them: views of a Deliver frame, decoded where somebody looks.

import { Emission, fill } from './emission.js';
import { decode, Header, Lineage } from './wire/messages.js';
import { eachAttribute, findEventTime, findKey, locate } from './wire/record.js';

const NO_RUN = { stage: '', version: '', instance: '', language: '' };
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * What the records of one Deliver have in common.
 * @typedef {object} Origin
 * @property {number} first delivery id of the first record
 * @property {number[]} attempts one for each record, or none: all are first attempts
 * @property {number} input
 * @property {string} stage the stage that they come from
 * @property {string} inputName the same with its port, where the stage has several inputs; else empty
 * @property {Map<number, any>} runs
 * @property {import('./confirmations.js').Confirmations} [confirmations] none without a broker
 */

/** Where the parts of a record are, found at the first look. */
class Parts {
  lineage = 0;
  lineageEnd = 0;
  header = 0;
  headerEnd = 0;
  payload = 0;
  payloadEnd = 0;
}

/**
 * One delivered record, read-only. Members that begin with `_` belong to the library.
 *
 * Finding its three parts is one pass over a few bytes; header and lineage are decoded for those who ask. A
 * handler that only forwards pays for nothing of it.
 */
export class Record {
  /**
   * @param {Origin} origin
   * @param {number} delivery
   * @param {Buffer} buffer
   * @param {number} start of the record in `buffer`
   * @param {number} end
   */
  constructor(origin, delivery, buffer, start, end) {
    /** This delivery's id; a redelivery has another. */
    this.delivery = delivery;
    this._origin = origin;
    this._buffer = buffer;
    this._start = start;
    this._end = end;
    /** Its emissions name it as their parent: it is one of several in a window. */
    this._isParent = false;
    /** @type {Parts | null} */
    this._located = null;
    /** @type {any} */
    this._decodedHeader = null;
    /** @type {any} */
    this._decodedLineage = null;
  }

  /** @internal */
  get _parts() {
    let parts = this._located;
    if (parts === null) {
      parts = this._located = new Parts();
      locate(this._buffer, this._start, this._end, parts);
    }
    return parts;
  }

  /**
   * Encoded bytes, as credit counts them.
   * @internal
   */
  get _size() {
    return this._end - this._start;
  }

  /**
   * Moves the record into a buffer of its own, so that keeping it does not keep a whole frame.
   * @internal
   */
  _detach() {
    const size = this._end - this._start;
    const own = Buffer.allocUnsafeSlow(size);
    this._buffer.copy(own, 0, this._start, this._end);
    this._buffer = own;
    this._start = 0;
    this._end = size;
    this._located = null;
    this._isParent = true;
  }

  /**
   * Has `action` called once the broker has confirmed that this record's settlement is durable (in a pipeline with
   * `durability: memory`: applied): the record will not come again, and what it stands for may be deleted. To be
   * called by the handler.
   *
   * Actions are called in the order of deliveries, one at a time: the next one when the promise of the one before is
   * done. The trace of one that fails goes to standard error. An action is not called when the record is not accepted,
   * when the broker refuses what was emitted, when the session ends before, and in tests without a broker.
   * @param {() => unknown} action
   */
  onConfirmed(action) {
    this._origin.confirmations?.ask(this.delivery, action);
  }

  // ---- what the author of the stage before wrote ----

  /** The payload's bytes: a view, valid for as long as anybody holds it. Not to be written to. */
  get payload() {
    const { payload, payloadEnd } = this._parts;
    return this._buffer.subarray(payload, payloadEnd);
  }

  /** Bytes of the payload. */
  get size() {
    const { payload, payloadEnd } = this._parts;
    return payloadEnd - payload;
  }

  /** The payload as UTF-8 text; TypeError when it is not. */
  text() {
    const { payload, payloadEnd } = this._parts;
    const text = this._buffer.toString('utf8', payload, payloadEnd);
    // Nearly all text has no U+FFFD, so nearly all text is decoded by the quicker of the two decoders only.
    return text.includes('\ufffd') ? UTF8.decode(this.payload) : text;
  }

  /** The payload as a JSON value; SyntaxError when it is not one. */
  json() {
    return JSON.parse(this.text());
  }

  /** The decoded header. */
  get _fields() {
    const { header, headerEnd } = this._parts;
    return (this._decodedHeader ??= decode(Header, this._buffer, header, headerEnd));
  }

  /** The ordering key's bytes; empty when there is none. */
  get keyBytes() {
    const { header, headerEnd } = this._parts;
    return findKey(this._buffer, header, headerEnd);
  }

  /** The ordering key as text; empty when there is none. Bytes that are not UTF-8 become U+FFFD. */
  get key() {
    return this.keyBytes.toString();
  }

  /** Microseconds since 1970, 0: not known. A bigint beyond 2^53, which is after the year 2255. */
  get eventTime() {
    const { header, headerEnd } = this._parts;
    return findEventTime(this._buffer, header, headerEnd);
  }

  /** The event time as a Date (in milliseconds), or undefined. */
  get eventDate() {
    const micros = this.eventTime;
    return micros === 0 ? undefined : new Date(Math.floor(Number(micros) / 1000));
  }

  get schema() {
    return this._fields.schema;
  }

  get schemaVersion() {
    return this._fields.schemaVersion;
  }

  get contentType() {
    return this._fields.contentType;
  }

  /** A new object of names to strings, numbers, bigints (integers beyond 2^53) and booleans. */
  get attributes() {
    /** @type {{ [name: string]: string | number | bigint | boolean }} */
    const values = Object.create(null);
    const { header, headerEnd } = this._parts;
    eachAttribute(this._buffer, header, headerEnd, (name, value) => { values[name] = value; });
    return values;
  }

  // ---- what the broker wrote ----

  get _broker() {
    const { lineage, lineageEnd } = this._parts;
    return (this._decodedLineage ??= decode(Lineage, this._buffer, lineage, lineageEnd));
  }

  /** 32 hexadecimal digits; the same after a redelivery or a replay. */
  get id() {
    return this._broker.id.toString('hex');
  }

  /** Ids of the records that this one was made from; at most 16. */
  get parents() {
    return this._broker.parents.map((/** @type {Buffer} */ each) => each.toString('hex'));
  }

  /** There were more parents than `parents` holds. */
  get parentsTruncated() {
    return this._broker.parentsTruncated;
  }

  /** The id of the source's record that this one descends from. */
  get root() {
    const { root, id } = this._broker;
    return (root.length > 0 ? root : id).toString('hex');
  }

  /** Microseconds since 1970 at which the root entered the broker. */
  get ingestTime() {
    return this._broker.ingestTime;
  }

  /** W3C Trace Context, as the source gave it; undefined when it gave none. */
  get trace() {
    return this._broker.trace;
  }

  /** Every stage that this record went through, oldest first. `time` is in microseconds since 1970. */
  get hops() {
    const { ingestTime, hops } = this._broker;
    return hops.map((/** @type {any} */ hop) => {
      const { stage, version, instance, language } = this._origin.runs.get(hop.run) ?? NO_RUN;
      return { stage, version, instance, language, time: plus(ingestTime, hop.delta), attempt: hop.attempt || 1 };
    });
  }

  /** 1 for the first delivery. */
  get attempt() {
    const { attempts, first } = this._origin;
    return attempts.length > 0 ? attempts[this.delivery - first] : 1;
  }

  /** The stage that this record comes from. */
  get input() {
    return this._origin.stage;
  }

  // ---- what comes of it ----

  /**
   * An output that descends from this record: what is not named is taken over. `attributes` adds to the
   * record's own, null takes one away. A new payload drops the old one's schema and content type.
   * @param {any} [fields]
   */
  emit(fields) {
    const { header, headerEnd, payload, payloadEnd } = this._parts;
    const made = new Emission(this._buffer, header, headerEnd);
    made.payload = this._buffer;
    made.payloadStart = payload;
    made.payloadSize = payloadEnd - payload;
    if (this._isParent) made.parents = [this.delivery];
    return fields === undefined ? made : fill(made, fields);
  }
}

/**
 * @param {number | bigint} a
 * @param {number | bigint} b
 */
function plus(a, b) {
  const sum = BigInt(a) + BigInt(b);
  return sum <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(sum) : sum;
}

/**
 * A record without a broker, from encoded bytes: for `--test` and for tests.
 * @param {Buffer} bytes
 * @param {Partial<Origin>} [origin]
 */
export function detachedRecord(bytes, origin = {}) {
  const whole = { first: 1, attempts: [], input: 0, stage: '', inputName: '', runs: new Map(), ...origin };
  return new Record(whole, whole.first, bytes, 0, bytes.length);
}

// Credit in both directions (docs/PROTOCOL.md, CR-1 to CR-10): totals since the session began, exact.

import { MAX_CHECKPOINT, MAX_FRAME, OUTPUT_TOO_LARGE, STEP_TOO_LARGE } from './codes.js';
import { Refused } from './verdicts.js';
import { Emission } from './emission.js';

const WINDOW_RECORDS = 8192;
const WINDOW_BYTES = 4 * 1024 * 1024;
/** Bytes of a frame beside emissions and checkpoint, generously. */
const SLACK = 1024;

/**
 * A 64-bit limit as a Number. Beyond 2^53 it is without end: no session counts so far.
 * @param {number | bigint} limit
 */
export function toLimit(limit) {
  return typeof limit === 'number' ? limit : Number.MAX_SAFE_INTEGER;
}

/**
 * Credit that this worker grants on one input.
 *
 * granted = taken out of the buffer + window. It is topped up once half of the window is gone, so with an empty
 * buffer at least half is open: half a window has to hold a record of the largest size (CR-6).
 */
export class InputWindow {
  /**
   * @param {number} number
   * @param {number} maxRecord bytes
   */
  constructor(number, maxRecord) {
    this.number = number;
    this.records = WINDOW_RECORDS;
    this.bytes = Math.max(WINDOW_BYTES, 2 * maxRecord);
    this.takenRecords = 0;
    this.takenBytes = 0;
    this.grantedRecords = 0;
    this.grantedBytes = 0;
  }

  /**
   * Counts what left the buffer; whether it is time for a Credit with the new totals.
   * @param {number} records
   * @param {number} bytes
   */
  take(records, bytes) {
    this.takenRecords += records;
    this.takenBytes += bytes;
    const openRecords = this.grantedRecords - this.takenRecords;
    const openBytes = this.grantedBytes - this.takenBytes;
    if (openRecords * 2 > this.records && openBytes * 2 > this.bytes) return false;
    this.grantedRecords = this.takenRecords + this.records;
    this.grantedBytes = this.takenBytes + this.bytes;
    return true;
  }
}

/** What the broker lets this worker emit on one output, and what it has. */
class OutputAccount {
  /** @param {number} number */
  constructor(number) {
    this.number = number;
    this.limitRecords = 0;
    this.limitBytes = 0;
    this.usedRecords = 0;
    this.usedBytes = 0;
    // What the step that is being judged adds; see OutputCredit.charge.
    this.stepRecords = 0;
    this.stepBytes = 0;
  }
}

/** A step that was found good: which outputs its emissions go to, and what it costs. */
export class Step {
  /**
   * @param {readonly Emission[]} emissions
   * @param {number[]} ports numbers, one for each emission
   * @param {Array<[OutputAccount, number, number]>} costs records and bytes
   */
  constructor(emissions, ports, costs) {
    this.emissions = emissions;
    this.ports = ports;
    this.costs = costs;
  }
}

/** Credit over all outputs of a session. */
export class OutputCredit {
  /** @param {any} welcome */
  constructor(welcome) {
    /** @type {Map<string, OutputAccount>} */
    this.byPort = new Map();
    /** @type {Map<number, OutputAccount>} */
    this.byNumber = new Map();
    for (const { number, port } of welcome.outputs) {
      const account = new OutputAccount(number);
      this.byPort.set(port, account);
      this.byNumber.set(number, account);
    }
    /** Where emissions without a port go. @type {OutputAccount | undefined} */
    this.first = this.byNumber.get(welcome.outputs[0]?.number);
    this.reserve = toLimit(welcome.stampReserve);
    this.maxRecord = toLimit(welcome.maxRecord);
    this.maxStepRecords = toLimit(welcome.maxStepRecords);
    this.maxStepBytes = toLimit(welcome.maxStepBytes);
    this.maxFrame = toLimit(welcome.maxFrame) || MAX_FRAME;
    /** The largest charge of an output that is a step of its own. */
    this.largest = Math.min(this.maxRecord, this.maxStepBytes);
  }

  /**
   * The broker's Credit: what is lower or equal is ignored (CR-2).
   * @param {{ number: number, records: number | bigint, bytes: number | bigint }} credit
   */
  raise({ number, records, bytes }) {
    const account = this.byNumber.get(number);
    if (!account) return;
    account.limitRecords = Math.max(account.limitRecords, toLimit(records));
    account.limitBytes = Math.max(account.limitBytes, toLimit(bytes));
  }

  /** @param {string | undefined} port */
  account(port) {
    const account = port === undefined ? this.first : this.byPort.get(port);
    if (account) return account;
    const known = [...this.byPort.keys()].join(', ') || 'none';
    throw new Error(port === undefined
      ? 'this stage has no output, so it cannot emit'
      : `this stage has no output named ${JSON.stringify(port)}; it has: ${known}`);
  }

  /**
   * Judges emissions as one step. Refused when no credit could ever suffice (CR-8); TypeError or Error when a
   * handler gave what is no emission.
   * @param {readonly Emission[]} emissions
   * @returns {Step}
   */
  step(emissions) {
    /** @type {OutputAccount[]} */
    const touched = [];
    const ports = [];
    let total = 0;
    let encoded = 0;
    try {
      for (const each of emissions) {
        const account = this.account(checked(each).port);
        const { size } = each;
        this.#checkOutput(size);
        if (account.stepRecords === 0) touched.push(account);
        account.stepRecords++;
        account.stepBytes += size + this.reserve;
        total += size + this.reserve;
        encoded += size + 16 + (each.parents?.length ?? 0) * 8 + (each.trace?.length ?? 0);
        ports.push(account.number);
      }
      this.#checkStep(emissions.length, total, encoded);
      return new Step(emissions, ports, touched.map((each) => [each, each.stepRecords, each.stepBytes]));
    } finally {
      for (const account of touched) account.stepRecords = account.stepBytes = 0;
    }
  }

  /** @param {number} size */
  #checkOutput(size) {
    if (size + this.reserve <= this.maxRecord) return;
    throw new Refused(OUTPUT_TOO_LARGE,
      `an output of ${size} bytes; with ${this.reserve} for the broker's stamp a record may have ${this.maxRecord}`);
  }

  /**
   * @param {number} records
   * @param {number} bytes
   * @param {number} encoded
   */
  #checkStep(records, bytes, encoded) {
    if (records > this.maxStepRecords || bytes > this.maxStepBytes) {
      throw new Refused(STEP_TOO_LARGE, `${records} outputs charged with ${bytes} bytes at once; `
        + `a step may have ${this.maxStepRecords} and ${this.maxStepBytes}`);
    }
    if (encoded + MAX_CHECKPOINT + SLACK > this.maxFrame) {
      throw new Refused(STEP_TOO_LARGE, `${encoded} bytes at once; a frame may have ${this.maxFrame}`);
    }
  }

  /** @param {Step} step */
  fits({ costs }) {
    return costs.every(([account, records, bytes]) =>
      account.usedRecords + records <= account.limitRecords && account.usedBytes + bytes <= account.limitBytes);
  }

  /** @param {Step} step */
  spend({ costs }) {
    for (const [account, records, bytes] of costs) {
      account.usedRecords += records;
      account.usedBytes += bytes;
    }
  }
}

/**
 * @param {unknown} emission
 * @returns {Emission}
 */
function checked(emission) {
  if (emission instanceof Emission) return emission;
  const kind = emission === null ? 'null' : typeof emission;
  throw new TypeError(`a handler gives emissions, not ${kind}: use record.emit({...}) or emission({...})`);
}

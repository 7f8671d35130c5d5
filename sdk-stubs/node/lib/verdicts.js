// What a handler throws to say something other than "done".

import { APPLICATION } from './codes.js';

/** What all verdicts have in common. */
export class Verdict extends Error {
  /** @param {string} message */
  constructor(message) {
    // An answer, not an accident: capturing the stack would cost more than all the rest of a verdict.
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = limit;
  }
}

/** This record will never work: it becomes a dead letter. */
export class Reject extends Verdict {
  /**
   * @param {number} code from 1000, the application's own
   * @param {string} [message] for the person who looks at the dead letter; at most 8 KiB
   * @param {{ indefinite?: boolean }} options `indefinite`: the effect may have happened
   */
  constructor(code, message = 'rejected', { indefinite = false } = {}) {
    if (!Number.isInteger(code) || code < APPLICATION || code > 0xffff_ffff) {
      throw new RangeError(`code ${code}: an application's codes begin at ${APPLICATION}`);
    }
    super(message);
    this.name = 'Reject';
    this.code = code;
    this.indefinite = indefinite;
  }
}

/** Try again, one more attempt. */
export class Retry extends Verdict {
  /**
   * @param {string} [message]
   * @param {{ seconds?: number, code?: number, indefinite?: boolean }} options `seconds`: at least this long
   *   from now; 0: the pipeline's backoff. `indefinite`: the effect may have happened
   */
  constructor(message = 'to be tried again', { seconds = 0, code = APPLICATION, indefinite = false } = {}) {
    if (!(seconds >= 0)) throw new RangeError(`a retry after ${seconds} seconds`);
    super(message);
    this.name = 'Retry';
    // Rounded to microseconds first: 0.07 * 1000 is a little more than 70.
    this.delayMs = Math.min(Math.ceil(Math.round(seconds * 1e6) / 1e3), 0xffff_ffff);
    this.code = code;
    this.indefinite = indefinite;
  }
}

/** Give the record back untouched: same attempt, elsewhere or later. */
export class Release extends Verdict {
  constructor(message = 'released') {
    super(message);
    this.name = 'Release';
  }
}

/** An output or a step that can never be sent, found by this side; `code` is 304 to 306. */
export class Refused extends Verdict {
  /**
   * @param {number} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = 'Refused';
    this.code = code;
  }
}

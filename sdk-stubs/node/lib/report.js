// What goes to standard error.

import { printable } from './codes.js';

/** Traces per process: a poison stream must not fill the disk with them. */
const MOST_TRACES = 20;
let traces = 0;

/**
 * One sentence.
 * @param {string} sentence
 */
export function say(sentence) {
  process.stderr.write(`stagewire: ${printable(sentence)}\n`);
}

/**
 * A handler's exception, with its trace.
 * @param {unknown} error
 */
export function showTrace(error) {
  traces++;
  if (traces > MOST_TRACES) return;
  process.stderr.write(`${error instanceof Error ? error.stack : `thrown: ${String(error)}`}\n`);
  if (traces === MOST_TRACES) say('further traces are left out');
}

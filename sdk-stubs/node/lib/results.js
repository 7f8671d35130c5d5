// What handlers give, as emissions.

import { Emission } from './emission.js';

/**
 * The emissions of a synchronous handler that gave several.
 * @param {any} result
 * @returns {Emission[]}
 */
export function collect(result) {
  if (typeof result === 'string' || typeof result[Symbol.iterator] !== 'function') {
    throw new TypeError(`a handler gives emissions, not ${describeValue(result)}: use record.emit({...})`);
  }
  const emissions = [];
  for (const each of result) emissions.push(detached(each));
  return emissions;
}

/**
 * The same for an asynchronous generator.
 * @param {AsyncIterable<any>} result
 */
export async function collectAsync(result) {
  const emissions = [];
  for await (const each of result) emissions.push(detached(each));
  return emissions;
}

/**
 * @param {any} emission
 * @returns {Emission}
 */
function detached(emission) {
  if (emission instanceof Emission) return emission.detach();
  throw new TypeError(`a handler gives emissions, not ${describeValue(emission)}: use record.emit({...})`);
}

/** @param {any} value */
function describeValue(value) {
  return value === null ? 'null' : typeof value === 'object' ? `a ${value.constructor?.name ?? 'plain object'}` : `a ${typeof value}`;
}

// `record => array.push(record)` and an awaited fetch return something by the way; only an emission is a mistake.
/** @param {any} result */
export function checkSinkResult(result) {
  // A generator's body does not even begin to run when nobody asks it for a value.
  if (typeof result?.next === 'function') throw new TypeError('a sink is a function, not a generator');
  if (result instanceof Emission || (Array.isArray(result) && result[0] instanceof Emission)) {
    throw new TypeError('a sink emits nothing: make it a transform');
  }
}

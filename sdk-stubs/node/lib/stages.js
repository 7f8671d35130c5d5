// What a function is: transform, sink, window or source.

import { checkSchema, ConfigurationError } from './config.js';
import { checkBounds } from './windowset.js';

const DEFAULT_TIMEOUT = 300;

/**
 * A handler and how it is called; made by the functions below.
 * @typedef {object} Options
 * @property {any} [config] a schema or a validator; without one the handler gets the parsed JSON as it is
 * @property {(config: any) => any} [setup] called once; what it resolves to is `context.state`
 * @property {number} [timeout] seconds that one call may take; 0: no limit
 * @property {number} [concurrency] calls in flight at once
 */
export class Stage {
  /**
   * @param {'transform' | 'sink' | 'batch-sink' | 'window' | 'source'} kind
   * @param {any} handler
   * @param {any} options
   * @param {string[]} known names of options
   */
  constructor(kind, handler, options, known) {
    if (typeof handler !== 'function') throw new TypeError(`${kind}: expected a function, got ${typeof handler}`);
    for (const name of Object.keys(options)) {
      if (!known.includes(name)) throw new TypeError(`${kind}: no option ${JSON.stringify(name)}; it has: ${known.join(', ')}`);
    }
    if (options.config !== undefined && typeof options.config !== 'function') checkSchema(options.config, 'config');
    if (options.setup !== undefined && typeof options.setup !== 'function') throw new TypeError(`${kind}: setup is a function`);
    this.kind = kind;
    this.handler = handler;
    this.config = options.config;
    this.setup = options.setup;
    this.timeout = positive(options.timeout ?? DEFAULT_TIMEOUT, `${kind}: timeout`, 0);
    this.concurrency = positive(options.concurrency ?? 1, `${kind}: concurrency`, 1);
    /** @type {any} bounds of a window, or a function of the configuration that gives them */
    this.bounds = undefined;
    /** @type {any} names of partitions, or a function of the configuration that gives them */
    this.partitions = undefined;
  }

  /** The function's name: the stage's, where nobody sets another. */
  get name() {
    return this.handler.name;
  }
}

/**
 * @param {any} value
 * @param {string} what
 * @param {number} least
 */
function positive(value, what, least) {
  if (typeof value === 'number' && value >= least) return value;
  throw new RangeError(`${what} is a number from ${least}, not ${value}`);
}

const COMMON = ['config', 'setup', 'timeout'];

/**
 * `handler(record, context)` gives an emission, several (an array, a generator), or nothing: filtered. It may be
 * async. `concurrency` calls of an async one may be in flight at once; records of one key still go one after
 * the other.
 * @param {any} handler
 * @param {Options} [options]
 */
export function transform(handler, options = {}) {
  return new Stage('transform', handler, options, [...COMMON, 'concurrency']);
}

/**
 * `handler(record, context)` gives nothing; with `batch` it gets an array of what has arrived, which is never
 * waited for, and a verdict is for all of it.
 * @param {any} handler
 * @param {Options & { batch?: boolean }} [options]
 */
export function sink(handler, options = {}) {
  const kind = options.batch ? 'batch-sink' : 'sink';
  return new Stage(kind, handler, options, [...COMMON, 'batch', ...(options.batch ? [] : ['concurrency'])]);
}

const BOUNDS = ['records', 'bytes', 'seconds', 'eventTime', 'idle', 'byKey', 'late'];

/**
 * `handler(window, context)` gets the records of one window; all that it emits is one step with them. The bounds are
 * options themselves, or what the option `bounds` makes of the configuration.
 * @param {any} handler
 * @param {Options & import('./windowset.js').Bounds & { bounds?: (config: any) => import('./windowset.js').Bounds }} options
 */
export function window(handler, options) {
  if (options?.bounds === undefined) {
    const bounds = checkBounds(options ?? {});
    const stage = new Stage('window', handler, options, [...COMMON, 'bounds', ...BOUNDS]);
    stage.bounds = bounds;
    return stage;
  }
  if (typeof options.bounds !== 'function') throw new TypeError('window: bounds is a function of the configuration');
  const stage = new Stage('window', handler, options, [...COMMON, 'bounds']);
  stage.bounds = options.bounds;
  return stage;
}

/**
 * The bounds of a window stage with this configuration; ConfigurationError when they make no sense with it.
 * @param {Stage} stage
 * @param {any} config as handlers get it
 * @returns {import('./windowset.js').Bounds | undefined} undefined: the stage has no windows
 */
export function boundsOf({ bounds }, config) {
  if (typeof bounds !== 'function') return bounds;
  try {
    const given = bounds(config);
    for (const name of Object.keys(given)) {
      if (!BOUNDS.includes(name)) throw new TypeError(`window: no bound ${JSON.stringify(name)}; there are: ${BOUNDS.join(', ')}`);
    }
    return checkBounds(given);
  } catch (error) {
    throw new ConfigurationError(`config: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * `handler(partition, context)` is a generator, sync or async, of `{ emissions, checkpoint }`: every one is a step.
 * What it yields as `checkpoint` (anything JSON can hold, or bytes) is where to go on after it. Yielding nothing
 * means "nothing at the moment".
 * @param {any} handler
 * @param {Omit<Options, 'timeout' | 'concurrency'> & { partitions?: string[] | ((config: any) => string[]) }} [options]
 */
export function source(handler, options = {}) {
  const stage = new Stage('source', handler, options, ['config', 'setup', 'partitions']);
  stage.partitions = options.partitions ?? ['0'];
  if (typeof stage.partitions !== 'function' && !Array.isArray(stage.partitions)) {
    throw new TypeError('source: partitions is an array of names, or a function of the configuration');
  }
  return stage;
}

/** Write a stage of a Stagewire pipeline: one function, handed to `run`. */

export { ConfigurationError, mapOf, oneOf, optional } from './lib/config.js';
export { emission } from './lib/emission.js';
export { run } from './lib/run.js';
export { sink, source, transform, window } from './lib/stages.js';
export { Reject, Release, Retry } from './lib/verdicts.js';

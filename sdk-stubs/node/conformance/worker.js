// The conformance stage (conformance/README.md) on this SDK: STAGEWIRE_STAGE says which of the four it is.

import { setTimeout as sleep } from 'node:timers/promises';
import { emission, optional, Reject, Release, Retry, run, source, transform, window } from 'stagewire';

const UNKNOWN = 1999;
const DEFAULT = 1000;

/** @typedef {import('stagewire').Record} Record */
/** @typedef {import('stagewire').Context} Context */

// ---- Directives ----

/**
 * An output with the record's header, whatever its payload is now.
 * @param {Record} record
 * @param {string} text
 * @param {string} [port]
 */
function output(record, text, port = 'out') {
  const { schema, schemaVersion, contentType } = record;
  return record.emit({ payload: Buffer.from(text), schema, schemaVersion, contentType, port });
}

/**
 * What emits: from the directive's arguments to outputs.
 * @type {{ [name: string]: (record: Record, context: Context, given: string[]) => Iterable<import('stagewire').Emission> }}
 */
const EMITTING = {
  * echo(record) { yield record.emit({ port: 'out' }); },
  * emit(record, _, [count, size = '0', port]) {
    for (let i = 0; i < Number(count); i++) yield output(record, String(i).padEnd(Number(size)), port);
  },
  * attempt(record) { yield output(record, String(record.attempt)); },
  * id(record) { yield output(record, record.id); },
  * config(record, { configText }) { yield output(record, configText); },
  * env(record, _, [name]) {
    const value = process.env[/** @type {string} */ (name)];
    if (value !== undefined) yield output(record, value);
  },
};

/**
 * What else there is to do; most of it throws a verdict.
 * @type {{ [name: string]: (given: string[], text?: string) => unknown }}
 */
const ACTING = {
  wait: ([milliseconds]) => sleep(Number(milliseconds)),
  reject: ([code = DEFAULT], text) => { throw new Reject(Number(code), text); },
  retry: ([milliseconds = 0, code = DEFAULT], text) => {
    throw new Retry(text, { seconds: Number(milliseconds) / 1000, code: Number(code) });
  },
  release: () => { throw new Release(); },
  throw: (_, text) => { throw new Error(text); },
  exit: ([code]) => process.exit(Number(code)),
};

/** The words of each directive; TEXT is the rest of the line. */
const FORMS = [
  /^echo$/, /^emit (\d+)(?: (\d+)(?: (\S+))?)?$/, /^attempt$/, /^id$/, /^config$/, /^env (\S+)$/, /^wait (\d+)$/,
  /^reject(?: (\d+)(?: (?<text>.*))?)?$/s, /^retry(?: (\d+)(?: (\d+)(?: (?<text>.*))?)?)?$/s, /^release$/,
  /^throw (?<text>.*)$/s, /^exit (\d+)$/,
];

/**
 * @param {string} directive
 * @returns {{ name: string, given: string[], text: string | undefined }} `given`: its words without TEXT
 */
function parse(directive) {
  for (const form of FORMS) {
    const match = form.exec(directive);
    if (!match) continue;
    const text = match.groups?.text;
    const given = match.slice(1, match.groups ? -1 : undefined).filter((each) => each !== undefined);
    return { name: /** @type {string} */ (/^\w+/.exec(directive)?.[0]), given, text };
  }
  throw new Reject(UNKNOWN, `no directive: ${directive.slice(0, 100)}`);
}

/**
 * @param {Record} record
 * @param {Context} context
 */
async function* perform(record, context) {
  if (record.size === 0) return;
  for (const directive of record.payload.toString().split(';')) {
    const { name, given, text } = parse(directive);
    if (name in EMITTING) yield* EMITTING[name](record, context, given);
    else await ACTING[name](given, text);
  }
}

// ---- Source ----

const SOURCE_CONFIG = {
  partition: optional('string', 'p'), records: optional('integer', 10), per_emit: optional('integer', 2), size: optional('integer', 0),
  keys: optional('integer', 3), pause_ms: optional('integer', 0), stay: optional('boolean', false),
};

const numbers = source(async function* numbers(partition, { config }) {
  const step = Math.max(1, config.per_emit);
  let done = Number(partition.checkpointBytes.toString() || '0');
  while (done < config.records) {
    const emissions = [];
    for (let n = done + 1; n <= Math.min(done + step, config.records); n++) {
      emissions.push(emission({ key: `k${n % Math.max(1, config.keys)}`, payload: Buffer.from(String(n).padEnd(config.size)), port: 'out' }));
    }
    done += emissions.length;
    yield { emissions, checkpoint: Buffer.from(String(done)) };
    if (config.pause_ms > 0 && done < config.records) await sleep(config.pause_ms);
  }
  while (config.stay) yield; // nothing now: until this worker is told to stop
}, { config: SOURCE_CONFIG, partitions: ({ partition }) => [partition] });

// ---- Window ----

const WINDOW_CONFIG = { records: optional('integer', 3), seconds: optional('number', 0), by_key: optional('boolean', false) };

const join = window(async function join(each) {
  const payloads = each.records.map((record) => record.payload);
  const asked = payloads.map(String).find((payload) => /^(reject|retry|release|wait)/.test(payload));
  if (asked !== undefined) {
    const { name, given, text } = parse(asked.split(';', 1)[0]);
    await ACTING[name](given, text);
  }
  const joined = payloads.flatMap((payload, i) => (i === 0 ? [payload] : [Buffer.from(','), payload]));
  return each.emit({ payload: Buffer.concat(joined), key: each.keyBytes ?? null, port: 'out' });
}, {
  config: WINDOW_CONFIG,
  bounds: (config) => ({ records: config.records || undefined, seconds: config.seconds || undefined, byKey: config.by_key }),
});

// ---- Which of them ----

const STAGES = new Map([
  ['transform', transform(perform)], ['ordered', transform(perform, { concurrency: 8 })], ['source', numbers], ['window', join],
]);
const stage = STAGES.get(process.env.STAGEWIRE_STAGE ?? '');
if (stage === undefined) {
  console.error(`worker.js: STAGEWIRE_STAGE is ${JSON.stringify(process.env.STAGEWIRE_STAGE ?? '')}; it is one of ${[...STAGES.keys()].join(', ')}`);
  process.exit(2);
}
await run(stage);

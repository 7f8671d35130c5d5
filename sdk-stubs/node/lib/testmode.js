// `--test`: a stage without a broker. Records come from a file, what is emitted goes to standard output.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createReadStream } from 'node:fs';
import { printable, REJECTED } from './codes.js';
import { ConfigurationError, parseConfig } from './config.js';
import { Context } from './context.js';
import { Emission } from './emission.js';
import { judge } from './outbox.js';
import { checkPartitions, makeStep, Partition } from './producer.js';
import { Record } from './record.js';
import { readRecord, writeRecord } from './recordjson.js';
import { say, showTrace } from './report.js';
import { checkSinkResult, collect, collectAsync } from './results.js';
import { boundsOf } from './stages.js';
import { Window } from './windows.js';
import { WindowSet } from './windowset.js';

const EXIT_NOT_ALL = 1;
const EXIT_USAGE = 2;
const DEFAULT_LIMIT = 100;

/** A file or an argument is wrong. */
class Wrong extends Error {}

/**
 * Resolves to the exit code.
 * @param {import('./stages.js').Stage} stage
 * @param {string[]} argv
 */
export async function test(stage, argv) {
  try {
    const options = readArguments(argv, stage.kind === 'source');
    const config = parseConfig(options.config, stage.config);
    const bounds = boundsOf(stage, config);
    const state = stage.setup ? await stage.setup(config) : undefined;
    const shared = { config, configText: options.config || '{}', bounds, state, stage: stage.name, instance: 'test', pipeline: 'test' };
    const trial = new Trial(stage, shared);
    if (stage.kind === 'source') await runSource(stage, shared, trial, options.limit);
    else await trial.run(options.file);
    if (typeof state?.close === 'function') await state.close();
    trial.summarise();
    return trial.isAllAccepted ? 0 : EXIT_NOT_ALL;
  } catch (error) {
    if (!(error instanceof Wrong || error instanceof ConfigurationError)) throw error;
    say(error.message);
    return EXIT_USAGE;
  }
}

/**
 * @param {string[]} argv
 * @param {boolean} isSource
 */
function readArguments(argv, isSource) {
  const options = { file: '', config: '', limit: DEFAULT_LIMIT };
  for (let i = 0; i < argv.length; i++) {
    const next = argv[i + 1];
    switch (argv[i]) {
      case '--test':
        if (isSource) break;
        if (next === undefined) throw new Wrong('--test needs a file of records, one JSON object on each line (-: standard input)');
        options.file = argv[++i];
        break;
      case '--config':
        if (next === undefined) throw new Wrong('--config needs JSON, or @FILE');
        options.config = readConfig(argv[++i]);
        break;
      case '--limit':
        if (!/^\d+$/.test(next ?? '')) throw new Wrong('--limit needs a number of records');
        options.limit = Number(argv[++i]);
        break;
      default: throw new Wrong(`--test knows no ${argv[i]}; there are --config JSON|@FILE and --limit N`);
    }
  }
  return options;
}

/** @param {string} given */
function readConfig(given) {
  if (!given.startsWith('@')) return given;
  try {
    return readFileSync(given.slice(1), 'utf8');
  } catch (error) {
    throw new Wrong(`${given.slice(1)}: ${/** @type {Error} */ (error).message}`);
  }
}

/** Verdicts and emissions of one run. */
class Trial {
  /**
   * @param {import('./stages.js').Stage} stage
   * @param {import('./context.js').Shared} shared
   */
  constructor(stage, shared) {
    this.stage = stage;
    this.shared = shared;
    this.counts = { records: 0, accepted: 0, filtered: 0, rejected: 0, retried: 0, released: 0, emitted: 0 };
    this.windows = stage.kind === 'window' ? new WindowSet(shared.bounds) : null;
  }

  get isAllAccepted() {
    return this.counts.accepted === this.counts.records;
  }

  /** @param {string} file */
  async run(file) {
    let number = 0;
    for await (const line of linesOf(file)) {
      number++;
      if (line.trim() === '') continue;
      await this.#take(parseLine(line, file, number, ++this.counts.records));
    }
    for (const pane of this.windows?.endAll() ?? []) await this.#window(pane);
  }

  /** @param {Record} record */
  async #take(record) {
    if (this.windows === null) {
      const given = this.stage.kind === 'batch-sink' ? [record] : record;
      return this.#settle([record], (context, handler) => handler(given, context));
    }
    record._detach();
    const { verdict, windowEnd, ended } = this.windows.add(record, 0);
    for (const pane of ended) await this.#window(pane);
    if (verdict === 'held') return;
    if (verdict === 'late' && this.shared.bounds.late === 'accept') return this.#count([record], []);
    this.#judged([record], {
      release: false, kind: REJECTED, code: 1000, message: verdict === 'untimed'
        ? 'no event time, which this stage\'s windows go by'
        : `late: its window ended at ${new Date(windowEnd / 1000).toISOString()}`,
    });
  }

  /** @param {import('./windowset.js').Pane} pane */
  async #window(pane) {
    const { byKey, eventTime } = this.shared.bounds;
    const window = new Window(pane, byKey === true, eventTime !== undefined);
    await this.#settle(window.records, (context, handler) => handler(window, context), window);
  }

  /**
   * @param {Record[]} records
   * @param {(context: Context, handler: any) => any} call
   * @param {Window} [window]
   */
  async #settle(records, call, window) {
    const context = new Context(this.shared);
    try {
      const emissions = await emissionsOf(call(context, this.stage.handler), this.stage.kind);
      const accepted = window ? records.filter((each) => !window._rejected.has(each)) : records;
      for (const [record, failure] of window?._rejected ?? []) {
        this.#judged([record], { release: false, kind: REJECTED, ...failure });
      }
      this.#count(accepted, emissions);
    } catch (error) {
      const judgement = judge(error);
      if (!judgement.release && judgement.unexpected) showTrace(error);
      this.#judged(records, judgement);
    }
  }

  /**
   * @param {readonly Record[]} records
   * @param {Emission[]} emissions
   */
  #count(records, emissions) {
    this.counts.accepted += records.length;
    if (emissions.length === 0) this.counts.filtered += records.length;
    for (const each of emissions) this.print(each);
  }

  /** @param {Emission} emission */
  print(emission) {
    this.counts.emitted++;
    const bytes = Buffer.alloc(emission.size);
    emission.write(bytes, 0);
    process.stdout.write(`${writeRecord(bytes, { port: emission.port })}\n`);
  }

  /**
   * @param {readonly Record[]} records
   * @param {import('./outbox.js').Judgement} judgement
   */
  #judged(records, judgement) {
    for (const { delivery } of records) {
      if (judgement.release) {
        this.counts.released++;
        process.stderr.write(`record ${delivery}: RELEASED\n`);
        continue;
      }
      const { kind, code, message } = judgement;
      this.counts[kind === REJECTED ? 'rejected' : 'retried']++;
      process.stderr.write(`record ${delivery}: ${kind === REJECTED ? 'REJECTED' : 'RETRY'} ${code}: ${printable(message)}\n`);
    }
  }

  summarise() {
    const { records, accepted, filtered, rejected, retried, released, emitted } = this.counts;
    process.stderr.write(`${records} records: ${accepted} accepted (${filtered} filtered), ${rejected} rejected, `
      + `${retried} to be retried, ${released} released; ${emitted} emitted\n`);
  }
}

/**
 * @param {string} file
 * @returns {AsyncIterable<string>}
 */
async function* linesOf(file) {
  const input = file === '-' ? process.stdin : createReadStream(file);
  /** @type {any} */
  let failure = null;
  // Without a listener an absent file would end the process before the loop below can say so.
  input.on('error', (error) => { failure = error; });
  try {
    yield* createInterface({ input, crlfDelay: Infinity });
  } catch (error) {
    failure = error;
  }
  if (failure) throw new Wrong(`${file}: ${failure.message}`);
}

/**
 * @param {string} line
 * @param {string} file
 * @param {number} number
 * @param {number} delivery
 */
function parseLine(line, file, number, delivery) {
  try {
    const { bytes, attempt, stage, runs } = readRecord(line);
    const origin = { first: delivery, attempts: [attempt], input: 0, stage, inputName: '', runs };
    return new Record(origin, delivery, bytes, 0, bytes.length);
  } catch (error) {
    throw new Wrong(`${file === '-' ? 'standard input' : file}:${number}: ${/** @type {Error} */ (error).message}`);
  }
}

/**
 * @param {any} result
 * @param {string} kind
 * @returns {Promise<Emission[]>}
 */
async function emissionsOf(result, kind) {
  const given = await result;
  if (kind === 'sink' || kind === 'batch-sink') {
    checkSinkResult(given);
    return [];
  }
  if (given === undefined || given === null) return [];
  if (given instanceof Emission) return [given];
  return typeof given[Symbol.asyncIterator] === 'function' ? collectAsync(given) : collect(given);
}

/**
 * From an empty checkpoint, at most `limit` records.
 * @param {import('./stages.js').Stage} stage
 * @param {import('./context.js').Shared} shared
 * @param {Trial} trial
 * @param {number} limit
 */
async function runSource(stage, shared, trial, limit) {
  const context = new Context(shared);
  for (const name of checkPartitions(stage.partitions, shared.config)) {
    let emitId = 0;
    const { handler } = stage;
    for await (const value of handler(new Partition(name, Buffer.alloc(0)), context)) {
      if (value === undefined || value === null) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      for (const each of makeStep(value, ++emitId).emissions) {
        if (trial.counts.emitted < limit) trial.print(each);
      }
      if (trial.counts.emitted >= limit) return;
    }
  }
}

// Compiled, not run: what authors write in TypeScript has the types that it should.

import { emission, mapOf, oneOf, optional, Reject, Retry, run, sink, source, transform, window } from 'stagewire';

const shout = transform((record) => record.emit({ text: record.text().toUpperCase() }));
void run(shout, { version: '1.0' });

transform(function* (record, { config }) {
  const threshold: number = config.threshold;
  const names: string[] = config.names;
  const mode: 'a' | 'b' = config.mode;
  const limits: { [name: string]: number } = config.limits;
  const note: string | undefined = config.note;
  // @ts-expect-error: a number is no string
  const wrong: string = config.threshold;
  if (threshold > names.length) throw new Reject(1001, mode);
  yield record.emit({ json: { limits, note, wrong }, attributes: { a: 1, b: 'x', c: true, d: 2n, e: null, f: { double: 3 } } });
}, { config: { threshold: 'number', names: ['string'], mode: oneOf('a', 'b'), limits: mapOf('integer'), note: optional('string') } });

sink(async (record, { config, state, signal }) => {
  const response = await fetch(config.url, { method: 'POST', body: record.payload, signal, headers: { x: state.token } });
  if (!response.ok) throw new Retry('later', { seconds: 1.5, indefinite: true });
}, { config: { url: 'string' }, setup: (config) => ({ token: config.url }), concurrency: 8, timeout: 10 });

sink((records) => { for (const each of records) each.json<{ a: number }>().a.toFixed(); }, { batch: true });

window((readings) => readings.emit({ json: readings.size, key: readings.key, parents: [readings.records[0]!] }),
  { eventTime: { size: 10, lateness: 2 }, byKey: true, late: 'accept' });

window((each, { config, configText }) => each.emit({ key: each.keyBytes ?? null, text: configText.slice(config.most) }),
  { config: { most: 'integer' }, bounds: (config) => ({ records: config.most, byKey: true }) });
// @ts-expect-error: bounds are bounds
window(() => undefined, { bounds: () => ({ record: 1 }) });

source(async function* (partition, { signal }) {
  for (let next: number = partition.checkpoint ?? 0; !signal.aborted; next++) {
    yield { emissions: [emission({ json: next, trace: { traceparent: '00-…' } })], checkpoint: next };
    yield;
  }
}, { config: (value: unknown) => ({ files: [String(value)] }), partitions: (config) => config.files });

// @ts-expect-error: a transform gives emissions
transform(() => 'text');
// @ts-expect-error: misspelt
transform((record) => record.emit({ atributes: {} }));
// @ts-expect-error: windows need bounds
window(() => undefined);

// Types of the Stagewire SDK. All durations are in seconds, all times of records in microseconds since 1970.

/// <reference types="node" />

// ---- Configuration ----

/** A schema whose type is known: what `optional`, `oneOf` and `mapOf` make. */
export interface Typed<T> { readonly configType: T }

/** What a stage needs of its configuration: a kind, a list of one schema, or a mapping of fields. */
export type Schema =
  | 'string' | 'number' | 'integer' | 'boolean' | 'any'
  | Typed<any>
  | readonly [any]
  | { readonly [field: string]: any };

/** The type of a configuration that follows a schema. */
export type ConfigOf<S> =
  S extends Typed<infer T> ? T
  : S extends 'string' ? string
  : S extends 'number' | 'integer' ? number
  : S extends 'boolean' ? boolean
  : S extends 'any' ? any
  : S extends readonly [infer E] ? ConfigOf<E>[]
  : S extends (value: any) => infer R ? R
  : S extends object ? { [K in keyof S]: ConfigOf<S[K]> }
  : any;

type Kind = 'string' | 'number' | 'integer' | 'boolean' | 'any';
/** Keeps the kinds of a schema as they are written, so that a configuration gets its types from it. */
type Exact<S> = S extends Kind ? S : S extends Typed<any> ? S : S extends [infer E] ? [Exact<E>] : { [K in keyof S]: Exact<S[K]> };

/** A field that may be left out; it is then undefined. */
export function optional<S extends Kind | Schema>(schema: S | Exact<S>): Typed<ConfigOf<S> | undefined>;
/** A field that may be left out, and what it then is. */
export function optional<S extends Kind | Schema>(schema: S | Exact<S>, fallback: ConfigOf<S>): Typed<ConfigOf<S>>;
/** One of these values. */
export function oneOf<T extends string | number | boolean>(...values: T[]): Typed<T>;
/** A mapping whose names are the user's own. */
export function mapOf<S extends Kind | Schema>(schema: S | Exact<S>): Typed<{ [name: string]: ConfigOf<S> }>;

/** The pipeline file does not give the stage what it needs. A validator may throw it, or any other error. */
export class ConfigurationError extends Error {
  constructor(message: string);
}

// ---- Records ----

export type AttributeValue = string | number | bigint | boolean;

/** One stage's part in a record. */
export interface Hop {
  readonly stage: string;
  readonly version: string;
  readonly instance: string;
  readonly language: string;
  readonly time: number | bigint;
  readonly attempt: number;
}

export interface TraceContext {
  traceparent: string;
  tracestate?: string;
}

/** What is not named is taken over from the record. At most one of `json`, `text` and `payload`. */
export interface Fields {
  json?: unknown;
  text?: string;
  payload?: Uint8Array;
  /** Records of one key keep their order. null or empty: no key. */
  key?: string | Uint8Array | null;
  /** A Date, or microseconds since 1970. */
  eventTime?: Date | number | bigint;
  /** Added to the record's own; null takes one away. Integral numbers are integers unless written `{ double: 3 }`. */
  attributes?: { [name: string]: AttributeValue | { double: number } | null | undefined };
  schema?: string;
  schemaVersion?: number;
  contentType?: string;
  /** An output's name; the stage's first one when absent. */
  port?: string;
}

/** Of a window: which of its records an output descends from; all of them when absent. */
export interface WindowFields extends Fields {
  parents?: Iterable<Record>;
}

/** Of a source: W3C Trace Context, which every record that descends from this one carries. */
export interface SourceFields extends Fields {
  trace?: TraceContext;
}

/** An output on its way. */
export interface Emission {
  readonly port: string | undefined;
  /** Encoded bytes, without the broker's stamp. */
  readonly size: number;
}

/** An output that takes nothing over: for sources, and for a window as a whole. */
export function emission(fields?: SourceFields & WindowFields): Emission;

/** One delivered record, read-only. */
export interface Record {
  /** The payload's bytes: a view, not to be written to. */
  readonly payload: Buffer;
  /** Bytes of the payload. */
  readonly size: number;
  /** The payload as UTF-8 text; throws TypeError when it is not. */
  text(): string;
  /** The payload as a JSON value; throws SyntaxError when it is not one. */
  json<T = any>(): T;
  /** Empty when there is none. */
  readonly key: string;
  readonly keyBytes: Buffer;
  /** 0: not known. A bigint beyond 2^53, which is after the year 2255. */
  readonly eventTime: number | bigint;
  readonly eventDate: Date | undefined;
  readonly schema: string;
  readonly schemaVersion: number;
  readonly contentType: string;
  /** A new object; integers beyond 2^53 are bigints. */
  readonly attributes: { [name: string]: AttributeValue };
  /** 32 hexadecimal digits; the same after a redelivery or a replay. */
  readonly id: string;
  readonly parents: string[];
  readonly parentsTruncated: boolean;
  readonly root: string;
  readonly ingestTime: number | bigint;
  readonly trace: TraceContext | undefined;
  readonly hops: Hop[];
  /** 1 for the first delivery. */
  readonly attempt: number;
  /**
   * Has `action` called once the broker has confirmed that this record's settlement is durable: it will not come again,
   * and what it stands for may be deleted. Actions are called one at a time, in the order of deliveries; none for a
   * record that is not accepted, for an outcome that the broker refuses, and when the session ends before.
   */
  onConfirmed(action: () => unknown): void;
  /** This delivery's id; a redelivery has another. */
  readonly delivery: number;
  /** The stage that this record comes from. */
  readonly input: string;
  /** An output that descends from this record. */
  emit(fields?: WindowFields): Emission;
}

/** The records of one window, in the order of their arrival. */
export interface Window extends Iterable<Record> {
  readonly records: readonly Record[];
  readonly size: number;
  /** False when it ended early because the broker lets a session hold no more. */
  readonly complete: boolean;
  /** With `byKey`. */
  readonly key: string | undefined;
  /** Its bytes, for keys that are no text. */
  readonly keyBytes: Buffer | undefined;
  /** With `eventTime`: microseconds since 1970. */
  readonly start: number | undefined;
  readonly end: number | undefined;
  /** An output of the window as a whole; it takes nothing over. */
  emit(fields?: WindowFields): Emission;
  /** This record becomes a dead letter by itself; the others are settled as the handler says. */
  reject(record: Record, code: number, message?: string): void;
}

/** What a source reads on its own. */
export interface Partition {
  readonly name: string;
  /** Where to go on, as it was yielded; undefined: from the beginning. */
  readonly checkpoint: any;
  readonly checkpointBytes: Buffer;
}

// ---- Verdicts ----

/** Will never work: a dead letter. */
export class Reject extends Error {
  /** `code` from 1000 is the application's. `indefinite`: the effect may have happened. */
  constructor(code: number, message?: string, options?: { indefinite?: boolean });
  readonly code: number;
  readonly indefinite: boolean;
}

/** Again, with one more attempt. */
export class Retry extends Error {
  /** `seconds`: not before; 0: the pipeline's backoff. `indefinite`: the effect may have happened. */
  constructor(message?: string, options?: { seconds?: number; code?: number; indefinite?: boolean });
  readonly delayMs: number;
  readonly code: number;
  readonly indefinite: boolean;
}

/** Untouched, for somebody else: the same attempt. */
export class Release extends Error {
  constructor(message?: string);
}

// ---- Stages ----

/** Beside the record, for one call. */
export interface Context<C = any> {
  readonly config: C;
  /** The same as it came, JSON: for numbers that JavaScript's do not hold. */
  readonly configText: string;
  /** What `setup` made. */
  readonly state: any;
  readonly stage: string;
  readonly instance: string;
  readonly pipeline: string;
  /** Fires when the call has taken longer than `timeout`, on shutdown, and when the session is over. */
  readonly signal: AbortSignal;
}

type Several<T> = T | Iterable<T> | null | undefined | void;
/** What a transform or a window gives: an emission, several, or nothing (filtered). */
export type Emissions = Several<Emission> | AsyncIterable<Emission> | PromiseLike<Several<Emission> | AsyncIterable<Emission>>;

/** One step of a source. Without `checkpoint` it goes on from the beginning. */
export interface SourceStep {
  emissions?: Emission | Iterable<Emission>;
  /** Where to go on after this step: anything JSON can hold, or bytes; at most 64 KiB. */
  checkpoint?: unknown;
}
type Steps = Iterator<SourceStep | null | undefined | void, any, any> & Iterable<SourceStep | null | undefined | void>
  | AsyncIterable<SourceStep | null | undefined | void>;

export interface Options<S> {
  /** A schema, or a function of the parsed configuration that returns what the handler gets. */
  config?: S | Exact<S>;
  /** Called once, before the first record. What it gives is `context.state`; its `close()`, if any, is called at the end. */
  setup?: (config: ConfigOf<S>) => unknown;
}

export interface HandlerOptions<S> extends Options<S> {
  /** Seconds that one call may take (300; 0: no limit). */
  timeout?: number;
}

export interface ConcurrentOptions<S> extends HandlerOptions<S> {
  /** Asynchronous calls in flight at once (1). Records of one key still go one after the other. */
  concurrency?: number;
}

export interface Bounds {
  /** A window ends with that many records, */
  records?: number;
  /** before its payloads are more than that, */
  bytes?: number;
  /** or that long after its first record arrived. */
  seconds?: number;
  /** Instead: tumbling windows by event time. */
  eventTime?: { size: number; lateness?: number };
  /** Seconds without a record after which windows by event time end (10; 0: never). */
  idle?: number;
  /** A window for each key. */
  byKey?: boolean;
  /** What becomes of a record whose window has ended ('reject'). */
  late?: 'reject' | 'accept';
}

/** Bounds that depend on the stage's configuration; what makes no sense ends the worker like a wrong configuration. */
export interface BoundsOf<S> {
  bounds: (config: ConfigOf<S>) => Bounds;
}

/** A handler and how it is called. */
export interface Stage { readonly name: string }

export function transform<S = any>(
  handler: (record: Record, context: Context<ConfigOf<S>>) => Emissions, options?: ConcurrentOptions<S>): Stage;
export function sink<S = any>(
  handler: (records: Record[], context: Context<ConfigOf<S>>) => unknown, options: HandlerOptions<S> & { batch: true }): Stage;
export function sink<S = any>(
  handler: (record: Record, context: Context<ConfigOf<S>>) => unknown, options?: ConcurrentOptions<S> & { batch?: false }): Stage;
export function window<S = any>(
  handler: (window: Window, context: Context<ConfigOf<S>>) => Emissions, options: HandlerOptions<S> & (Bounds | BoundsOf<S>)): Stage;
export function source<S = any>(
  handler: (partition: Partition, context: Context<ConfigOf<S>>) => Steps,
  options?: Options<S> & { partitions?: readonly string[] | ((config: ConfigOf<S>) => readonly string[]) }): Stage;

/**
 * Works as `stage` until the broker ends it, then ends the process with the exit code that the README explains.
 * `name`: the stage's, where nobody sets STAGEWIRE_STAGE; by default the function's. `version`: shown in lineage.
 */
export function run(stage: Stage, options?: { name?: string; version?: string }): Promise<never>;

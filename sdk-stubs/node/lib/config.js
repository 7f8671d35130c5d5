// The stage's configuration: JSON from the pipeline file, checked against what the author says it needs.

/** The pipeline file does not give the stage what it needs; the sentence says what. */
export class ConfigurationError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = 'ConfigurationError';
  }
}

/** A field that may be absent. */
class Optional {
  /**
   * @param {any} schema
   * @param {any} fallback
   */
  constructor(schema, fallback) {
    this.schema = schema;
    this.fallback = fallback;
  }
}

/** One of several values. */
class OneOf {
  /** @param {any[]} values */
  constructor(values) {
    this.values = values;
  }
}

/** A mapping of any names. */
class MapOf {
  /** @param {any} schema */
  constructor(schema) {
    this.schema = schema;
  }
}

/**
 * A field that may be left out, and what it then is.
 * @param {any} schema
 * @param {any} [fallback]
 */
export function optional(schema, fallback) {
  checkSchema(schema, 'optional');
  return new Optional(schema, fallback);
}

/**
 * One of these strings, numbers or booleans.
 * @param {...any} values
 */
export function oneOf(...values) {
  return new OneOf(values);
}

/**
 * A mapping whose names are the user's own, and whose values follow `schema`.
 * @param {any} schema
 */
export function mapOf(schema) {
  checkSchema(schema, 'mapOf');
  return new MapOf(schema);
}

const KINDS = new Set(['string', 'number', 'integer', 'boolean', 'any']);

/**
 * An author's mistake shows when the stage is defined, not when the first pipeline file uses it.
 * @param {any} schema
 * @param {string} path
 * @returns {void}
 */
export function checkSchema(schema, path) {
  if (typeof schema === 'string' && KINDS.has(schema)) return;
  if (schema instanceof Optional || schema instanceof OneOf || schema instanceof MapOf) return;
  if (Array.isArray(schema) && schema.length === 1) return checkSchema(schema[0], `${path}[]`);
  if (isMapping(schema)) {
    for (const name of Object.keys(schema)) checkSchema(schema[name], `${path}.${name}`);
    return;
  }
  throw new TypeError(`${path}: ${JSON.stringify(schema)} is no schema; `
    + `it is one of ${[...KINDS].join(', ')}, [schema], { name: schema }, optional(), oneOf() or mapOf()`);
}

/**
 * The configuration as the handler gets it. `wanted` is a schema, or a function of the parsed value that returns
 * what the handler gets and throws when something is wrong.
 * @param {Buffer | string} document JSON; empty: `{}`
 * @param {any} [wanted]
 */
export function parseConfig(document, wanted) {
  const text = document.toString();
  let value;
  try {
    value = text.trim() === '' ? {} : JSON.parse(text);
  } catch (error) {
    throw new ConfigurationError(`config: not JSON: ${/** @type {Error} */ (error).message}`);
  }
  if (wanted === undefined) return value;
  if (typeof wanted !== 'function') return convert(value, wanted, 'config');
  try {
    return wanted(value);
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    throw new ConfigurationError(`config: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * @param {any} value
 * @param {any} schema
 * @param {string} path
 * @returns {any}
 */
function convert(value, schema, path) {
  if (typeof schema === 'string') return checkKind(value, schema, path);
  if (schema instanceof Optional) return value === undefined || value === null ? schema.fallback : convert(value, schema.schema, path);
  if (schema instanceof OneOf) {
    if (schema.values.includes(value)) return value;
    throw wrong(path, `one of ${schema.values.map((each) => JSON.stringify(each)).join(', ')}`, value);
  }
  if (schema instanceof MapOf) {
    if (!isMapping(value)) throw wrong(path, 'a mapping', value);
    return Object.fromEntries(Object.keys(value).map((name) => [name, convert(value[name], schema.schema, `${path}.${name}`)]));
  }
  if (Array.isArray(schema)) {
    if (!Array.isArray(value)) throw wrong(path, 'a list', value);
    return value.map((each, i) => convert(each, schema[0], `${path}[${i}]`));
  }
  return convertMapping(value, schema, path);
}

/**
 * @param {any} value
 * @param {any} schema
 * @param {string} path
 */
function convertMapping(value, schema, path) {
  if (!isMapping(value)) throw wrong(path, 'a mapping', value);
  const names = Object.keys(schema);
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(schema, name)) {
      throw new ConfigurationError(`${path}.${name}: not known to this stage; it knows ${names.join(', ') || 'nothing'}`);
    }
  }
  return Object.fromEntries(names.map((name) => {
    const given = Object.hasOwn(value, name) ? value[name] : undefined;
    if (given === undefined && !(schema[name] instanceof Optional)) {
      throw new ConfigurationError(`${path}.${name}: missing; this stage cannot do without it`);
    }
    return [name, convert(given, schema[name], `${path}.${name}`)];
  }));
}

/**
 * @param {any} value
 * @param {string} kind
 * @param {string} path
 */
function checkKind(value, kind, path) {
  if (kind === 'any') return value;
  if (kind === 'integer') {
    if (Number.isSafeInteger(value)) return value;
    throw wrong(path, 'an integer', value);
  }
  if (typeof value === kind) return value;
  throw wrong(path, kind === 'boolean' ? 'true or false' : `a ${kind}`, value);
}

/**
 * @param {string} path
 * @param {string} expected
 * @param {any} value
 */
function wrong(path, expected, value) {
  const shown = JSON.stringify(value);
  return new ConfigurationError(`${path}: expected ${expected}, got ${shown.length > 200 ? `${shown.slice(0, 200)}...` : shown}`);
}

/** @param {any} value */
function isMapping(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

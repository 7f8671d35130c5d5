// What a handler gets beside its record, and the calls that are under way.

/**
 * What all calls of one session have in common.
 * @typedef {object} Shared
 * @property {any} config
 * @property {string} configText
 * @property {any} bounds of windows
 * @property {any} state what `setup` made
 * @property {string} stage
 * @property {string} instance
 * @property {string} pipeline
 */

/** Beside the record, for one call. */
export class Context {
  /** @type {AbortController | null} */
  #controller = null;
  /** @type {unknown} why it was aborted before anybody looked */
  #reason = undefined;

  /** @param {Shared} shared */
  constructor(shared) {
    this._shared = shared;
    /**
     * By the monotonic clock, ms.
     * @internal
     */
    this._begun = 0;
    /**
     * The signal has fired, or would have.
     * @internal
     */
    this._aborted = false;
  }

  /** The stage's configuration, as its schema gives it. */
  get config() {
    return this._shared.config;
  }

  /** The same as it came, JSON. */
  get configText() {
    return this._shared.configText;
  }

  /** What `setup` made; undefined without one. */
  get state() {
    return this._shared.state;
  }

  get stage() {
    return this._shared.stage;
  }

  /** This worker's name among those of its stage. */
  get instance() {
    return this._shared.instance;
  }

  get pipeline() {
    return this._shared.pipeline;
  }

  /**
   * Fires when the call has taken longer than it may, when the session is over, and on shutdown. Made when it is
   * first asked for: most handlers never do, and a controller costs more than all the rest of a call.
   */
  get signal() {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this._aborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /**
   * @param {unknown} reason
   * @internal
   */
  _abort(reason) {
    if (this._aborted) return;
    this._aborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

/** The calls of asynchronous handlers that have not come back. */
export class Calls {
  /** @param {number} timeout seconds; 0: no limit */
  constructor(timeout) {
    this.timeout = timeout;
    /** @type {Set<Context>} */
    this.running = new Set();
    /** Some call has taken longer than it may, and still goes on. */
    this.isOverdue = false;
    /** @type {(() => void)[]} */
    this.waiting = [];
    /** @type {NodeJS.Timeout | undefined} */
    this.timer = undefined;
  }

  /** @param {Context} context */
  begin(context) {
    context._begun = performance.now();
    this.running.add(context);
    if (this.timer === undefined && this.timeout > 0) {
      const period = Math.min(1000, Math.max(5, this.timeout * 100));
      this.timer = setInterval(() => this.#check(), period);
    }
  }

  /** @param {Context} context */
  end(context) {
    this.running.delete(context);
    if (this.isOverdue) this.#check();
    if (this.running.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
    for (const each of this.waiting.splice(0)) each();
  }

  /**
   * @param {string} message
   * @param {string} [name]
   */
  abort(message, name = 'AbortError') {
    const reason = new DOMException(message, name);
    for (const each of this.running) each._abort(reason);
  }

  /**
   * Resolves when no call is under way.
   * @returns {Promise<void>}
   */
  idle() {
    return this.running.size === 0 ? Promise.resolve() : new Promise((resolve) => this.waiting.push(resolve));
  }

  #check() {
    const limit = this.timeout * 1000;
    const now = performance.now();
    this.isOverdue = false;
    for (const each of this.running) {
      if (now - each._begun < limit) continue;
      this.isOverdue = true;
      each._abort(new DOMException(`the call has taken longer than its timeout of ${this.timeout} s`, 'TimeoutError'));
    }
  }
}

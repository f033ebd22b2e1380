import { onAbort } from './abort.js';

// setTimeout fires at once above this (a 32-bit integer of milliseconds, in browsers and Node alike).
const TIMER_MAX_MS = 2 ** 31 - 1;

/**
 * An abort signal that follows the caller's and a clock. Close it, or the caller's signal keeps it.
 *
 * AbortSignal.any and AbortSignal.timeout would do, but Node 18 lacks the first.
 */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #forgetCaller: () => void;

  constructor(caller: AbortSignal | undefined) {
    caller?.throwIfAborted();
    this.#forgetCaller = onAbort(caller, () => this.#controller.abort(caller?.reason));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The outcome of `work`, or after `ms` the error made by `onExpiry`, which aborts `signal` too. `Infinity` waits for ever. */
  within<T>(ms: number, onExpiry: () => Error, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      // Rejects by itself, instead of leaving it to `work`: not every fetch ends a body that is being read when it is aborted.
      const onEnd = () => settle(() => reject(this.signal.reason));
      const timer = ms <= TIMER_MAX_MS ? setTimeout(() => this.#controller.abort(onExpiry()), ms) : undefined;
      const settle = (how: () => void) => {
        clearTimeout(timer);
        this.signal.removeEventListener('abort', onEnd);
        how();
      };
      this.signal.addEventListener('abort', onEnd, { once: true });
      work.then((value) => settle(() => resolve(value)), (error) => settle(() => reject(error)));
      if (this.signal.aborted) onEnd();
    });
  }

  /** Ends what still goes on under `signal`. */
  close(): void {
    this.#forgetCaller();
    this.#controller.abort();
  }
}

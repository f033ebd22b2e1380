// When a request is sent again, and after how long.
import { onAbort } from './abort.js';
import { ConnectionError, FourbyfourError, RateLimitError, TimeoutError } from './errors.js';

/**
 * What a request bears.
 * - `safe`: sent twice is as good as sent once (reads, deletions, anything with an idempotency key). Any passing failure is retried.
 * - `persistent`: `safe`, for loops that should outlive a server's restart: no limit, except for 500, which may be there to stay.
 * - `create`: a second try may meet what the first one made; the caller sorts that out. 500, 502 and 504 are not retried.
 * - `refused`: should not happen twice. Only 429, which says that nothing was done, is retried.
 */
export type RetryRule = 'safe' | 'persistent' | 'create' | 'refused';

const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 10_000;
// A caller who asked for one record does not expect to be held for an hour: beyond this the error is theirs, with its `retryAfterMs`.
const RETRY_AFTER_MAX_MS = 60_000;

/**
 * The pause before the next try, in milliseconds, or undefined if there is to be none.
 *
 * `retries`: how many there were so far. `retriesMax`: how many there may be.
 */
export function retryDelayMs(
  error: unknown, retries: number, rule: RetryRule, retriesMax: number, random: () => number = Math.random,
): number | undefined {
  if (!(error instanceof FourbyfourError) || !isRetriable(error, rule)) return undefined;
  const isPersistent = rule === 'persistent' && error.status !== 500;
  if (!isPersistent && retries >= retriesMax) return undefined;

  const backoffMs = Math.min(BACKOFF_FIRST_MS * 2 ** retries, BACKOFF_MAX_MS);
  if (error.retryAfterMs === undefined) return backoffMs * (0.5 + 0.5 * random());
  if (!isPersistent && error.retryAfterMs > RETRY_AFTER_MAX_MS) return undefined;
  // Never earlier than asked, and not all clients at the same moment.
  return error.retryAfterMs + backoffMs * random();
}

/** Whether the server may have done what was asked, although it ended in `error`. A 503 also says "no answer in time". */
export function mayHaveHappened(error: unknown): boolean {
  return !(error instanceof RateLimitError);
}

/** `Retry-After` in milliseconds; it holds seconds or a date (RFC 9110, 10.2.3). */
export function retryAfterMs(header: string | null, nowMs: number = Date.now()): number | undefined {
  if (header === null || header.trim() === '') return undefined;
  const seconds = Number(header);
  const ms = Number.isNaN(seconds) ? Date.parse(header) - nowMs : seconds * 1000;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

// What a timer can count; a longer one would ring at once.
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Waits (24 days at most), unless `signal` is aborted first: then rejects with its reason. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const forget = onAbort(signal, () => {
      clearTimeout(timer);
      reject(signal?.reason);
    });
    const timer = setTimeout(() => {
      forget();
      resolve();
    }, Math.min(Math.max(ms, 0), TIMER_MAX_MS));
  });
}

function isRetriable(error: FourbyfourError, rule: RetryRule): boolean {
  if (error instanceof RateLimitError) return true;
  const isUnanswered = error instanceof ConnectionError || error instanceof TimeoutError;
  switch (rule) {
    case 'refused': return false;
    case 'create': return isUnanswered || error.status === 503;
    case 'safe': case 'persistent': return isUnanswered || [500, 502, 503, 504].includes(error.status ?? 0);
  }
}

// Whose callbacks to run when a caller's signal is aborted. The map keeps no signal alive, and a signal keeps no call that is over.
const callbacksOf = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `callback` once when `signal` is aborted; the function it gives takes that back.
 *
 * One listener per signal, however many calls share it: Node warns of a leak from the eleventh on, and a signal for the shutdown of a whole
 * program is in many calls at once.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => {};
  const callbacks = callbacksOf.get(signal) ?? listen(signal);
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}

/** Whether `error` is how a call of ours ends after `signal` was aborted. */
export function isAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true && error === signal.reason;
}

function listen(signal: AbortSignal): Set<() => void> {
  const callbacks = new Set<() => void>();
  callbacksOf.set(signal, callbacks);
  signal.addEventListener('abort', () => {
    for (const callback of callbacks) callback();
    callbacks.clear();
  }, { once: true });
  return callbacks;
}

/**
 * An id that nobody else has: of one produce call, so that a retry finds its outcome instead of writing twice; of one reader of a group.
 *
 * It must be unique, not secret: where `crypto` is missing (Node 18, unless told otherwise) or has no `randomUUID` (pages on plain
 * http), Math.random makes the same shape. Engines seed it from the system's randomness.
 */
export function newId(): string {
  const source: { randomUUID?: () => string } | undefined = globalThis.crypto;
  if (typeof source?.randomUUID === 'function') return source.randomUUID();
  return 'xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx'.replace(/[xy]/g, (place) => {
    const digit = Math.floor(Math.random() * 16);
    return (place === 'x' ? digit : (digit & 0x3) | 0x8).toString(16);
  });
}

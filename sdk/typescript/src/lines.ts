// The lines of a response that does not end, over as many connections as it takes.
import { isAbort } from './abort.js';
import { Deadline } from './deadline.js';
import { ConnectionError, TimeoutError } from './errors.js';
import type { HttpClient, Request } from './http.js';
import { retryDelayMs, sleep } from './retry.js';

/** What a stream of lines is made of. */
export interface Source<Line> {
  /** How to connect, and after a break how to go on. */
  requestNow(): Request;
  /** Told the head of each answer. */
  opened(headers: Headers): void;
  /** What a line says; undefined: nothing. What it throws counts as the connection's failure. */
  parsed(line: string): Line | undefined;
}

/**
 * What the lines say that the server sends.
 *
 * Ends only by throwing: the signal's reason, or a failure that does not pass.
 */
export async function* lines<Line>(http: HttpClient, signal: AbortSignal | undefined, source: Source<Line>): AsyncGenerator<Line, void, undefined> {
  for (let failures = 0; ; failures++) {
    let failure: unknown = new ConnectionError('the server ended the stream');
    try {
      for await (const text of linesOfOneConnection(http, source.requestNow(), source)) {
        const line = source.parsed(text);
        failures = 0;
        if (line !== undefined) yield line;
      }
    } catch (error) {
      failure = error;
    }
    const delayMs = retryDelayMs(failure, failures, 'persistent', http.maxRetries);
    if (delayMs === undefined) throw failure;
    await sleep(delayMs, signal);
  }
}

async function* linesOfOneConnection(http: HttpClient, request: Request, source: Source<unknown>): AsyncGenerator<string, void, undefined> {
  const deadline = new Deadline(request.signal);
  try {
    const response = await http.open(request, deadline);
    source.opened(response.headers);
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    // What came after the last line break. If the connection ends here it may be half a record: the next connection brings all of it.
    let rest = '';
    while (reader) {
      const { done, value } = await nextChunk(reader, http, request, deadline);
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split('\n');
      rest = parts.pop() ?? '';
      yield* parts;
    }
  } finally {
    deadline.close();
  }
}

/** A connection that is silent for too long is taken for broken: the server sends blank lines when there is nothing to say. */
async function nextChunk(
  reader: ReadableStreamDefaultReader<Uint8Array>, http: HttpClient, request: Request, deadline: Deadline,
): Promise<{ done: boolean; value?: Uint8Array | undefined }> {
  const silenceMs = 2 * http.timeoutMs;
  try {
    return await deadline.within(silenceMs, () => new TimeoutError(`GET ${request.path} was silent for ${silenceMs} ms`), reader.read());
  } catch (cause) {
    if (isAbort(cause, deadline.signal)) throw cause;
    throw new ConnectionError(`GET ${request.path} broke off`, { cause });
  }
}

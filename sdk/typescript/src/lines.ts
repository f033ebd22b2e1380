// The lines of a response that does not end, over as many connections as it takes.
import { isAbort } from './abort.js';
import { Deadline } from './deadline.js';
import { ConnectionError, TimeoutError } from './errors.js';
import type { HttpClient, Request } from './http.js';
import { retryDelayMs, sleep } from './retry.js';

/**
 * The lines that the server sends, blank ones too. `requestNow` says how to connect, and after a break how to go on.
 *
 * Ends only by throwing: the signal's reason, or a failure that does not pass.
 */
export async function* lines(http: HttpClient, signal: AbortSignal | undefined, requestNow: () => Request): AsyncGenerator<string, void, undefined> {
  for (let failures = 0; ; failures++) {
    let failure: unknown = new ConnectionError('the server ended the stream');
    try {
      for await (const line of linesOfOneConnection(http, requestNow())) {
        failures = 0;
        yield line;
      }
    } catch (error) {
      failure = error;
    }
    const delayMs = retryDelayMs(failure, failures, 'persistent', http.maxRetries);
    if (delayMs === undefined) throw failure;
    await sleep(delayMs, signal);
  }
}

async function* linesOfOneConnection(http: HttpClient, request: Request): AsyncGenerator<string, void, undefined> {
  const deadline = new Deadline(request.signal);
  try {
    const response = await http.open(request, deadline);
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

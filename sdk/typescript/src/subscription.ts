// A group's records as an endless loop: read a page, hand out its records, commit what was finished, again.
import { isAbort } from './abort.js';
import { NotFoundError } from './errors.js';
import { commit, consume } from './group.js';
import type { HttpClient } from './http.js';
import { newId } from './ids.js';
import type { RetryRule } from './retry.js';
import { sleep } from './retry.js';
import type { StreamRecord, SubscribeOptions } from './types.js';

// Below the idle limits of usual proxies (60 s), with room for a slow answer.
const WAIT_MS = 20_000;
// An empty page can come at once (waitMs of 0, or a server that holds no requests): asking again at once would keep both sides busy.
const EMPTY_PAGE_MS_MIN = 250;

export async function* subscription<Value>(
  http: HttpClient, nameOrPattern: string, options: SubscribeOptions,
): AsyncGenerator<StreamRecord<Value>, void, undefined> {
  const { group, limit, waitMs = WAIT_MS, signal } = options;
  const finished = new FinishedOffsets(http, group);
  try {
    while (!signal?.aborted) {
      const askedAtMs = Date.now();
      const page = await consume<Value>(http, nameOrPattern, { group, limit, waitMs, signal }, 'persistent');
      if (page.records.length === 0) await sleep(askedAtMs + EMPTY_PAGE_MS_MIN - Date.now(), signal);
      for (const record of page.records) {
        yield record;
        // Only reached when the loop asks for the next record: its body is done with this one.
        if (options.commit !== 'manual') finished.add(record);
        if (signal?.aborted) return;
      }
      await finished.commit('persistent', signal);
    }
  } catch (error) {
    if (!isAbort(error, signal)) throw error;
  } finally {
    // Without the signal, which may be what ended the loop, and with an end: nobody can abort this.
    await finished.commit('safe', undefined);
  }
}

/** Where each partition goes on once everything finished so far is committed. */
class FinishedOffsets {
  readonly #http: HttpClient;
  readonly #group: string;
  // Nothing is handed out under this name, so a commit is about the page of its last record alone: not about one whose answer was lost, which is to come again.
  // And one that comes late, when another process has read on, does not take the group back, as a commit without a name would.
  readonly #worker = newId();
  // By topic and partition, written as one key.
  readonly #next = new Map<string, { topic: string; partition: number; offset: number }>();

  constructor(http: HttpClient, group: string) {
    this.#http = http;
    this.#group = group;
  }

  add({ topic, partition, offset }: StreamRecord): void {
    this.#next.set(`${topic}/${partition}`, { topic, partition, offset: offset + 1 });
  }

  /** Commits all of it. What an abort leaves is kept for another try; after any other failure there is none. */
  async commit(retry: RetryRule, signal: AbortSignal | undefined): Promise<void> {
    try {
      for (const [key, { topic, partition, offset }] of this.#next) {
        const at = { group: this.#group, partition, offset, worker: this.#worker };
        await commit(this.#http, topic, at, { signal }, retry).catch((error) => {
          // The topic was deleted meanwhile, and its offsets with it. Others of a pattern go on.
          if (!(error instanceof NotFoundError)) throw error;
        });
        this.#next.delete(key);
      }
    } catch (error) {
      if (!isAbort(error, signal)) this.#next.clear();
      throw error;
    }
  }
}

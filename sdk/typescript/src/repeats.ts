// Which records of a live stream come a second time. Ids are long where partitions are many, so the server then gives one to the last record
// of a page only. After a break it goes on behind the last id, and what came after that id comes again.
import type { StreamRecord } from './types.js';

/** Where the stream would go on after a break, and what it has given beyond. */
export class Repeats {
  /** What to send as `Last-Event-ID`. */
  lastEventId: string | undefined;
  // By topic and partition, the last offset that was given: since the last id; and of that what, after a break, has not come again yet.
  readonly #sinceId = new Map<string, number>();
  readonly #toComeAgain = new Map<string, number>();

  constructor(lastEventId: string | undefined) {
    this.lastEventId = lastEventId;
  }

  /** The server said where the stream begins: there it goes on after a break before the first record. */
  begin(id: string | null): void {
    this.lastEventId ??= id ?? undefined;
  }

  /** The connection broke. */
  reconnect(): void {
    for (const [partition, offset] of this.#sinceId) this.#toComeAgain.set(partition, offset);
  }

  /** Takes note of a record; whether it was given before. */
  isRepeated(record: StreamRecord, id: string | undefined): boolean {
    const partition = `${record.topic}/${record.partition}`;
    const given = this.#toComeAgain.get(partition);
    const isRepeated = given !== undefined && record.offset <= given;
    if (given !== undefined && record.offset >= given) this.#toComeAgain.delete(partition);
    if (id !== undefined) {
      this.lastEventId = id;
      this.#sinceId.clear();
    } else if (!isRepeated) {
      this.#sinceId.set(partition, record.offset);
    }
    return isRepeated;
  }
}

// Records as they are written: one JSON record a line, blank lines as heart-beats, one line of {"error": …} as the end of a connection.
import { isAbort } from './abort.js';
import { errorForCode } from './errors.js';
import { topicPath } from './group.js';
import { notJson } from './http.js';
import type { HttpClient, Request } from './http.js';
import { lines } from './lines.js';
import { Repeats } from './repeats.js';
import type { LiveRecord, StreamOptions } from './types.js';
import { liveRecord, position } from './wire.js';
import type { WireRecord } from './wire.js';

type WireLine = (WireRecord & { id?: string; error?: undefined }) | { error: { code: string; message: string } };

export async function* liveRecords<Value>(
  http: HttpClient, nameOrPattern: string, options: StreamOptions,
): AsyncGenerator<LiveRecord<Value>, void, undefined> {
  const { signal } = options;
  const path = topicPath(nameOrPattern, '/stream');
  const from = options.from === undefined ? undefined : position(options.from, 'from');
  // An empty one stands for none: the server takes it so.
  const repeats = new Repeats(options.lastEventId || undefined);
  const requestNow = (): Request => {
    repeats.reconnect();
    return {
      method: 'GET',
      path,
      // Where it began no longer counts once there is a place to go on from.
      query: { from: repeats.lastEventId === undefined ? from : undefined },
      headers: { accept: 'application/x-ndjson', 'last-event-id': repeats.lastEventId },
      retry: 'persistent',
      signal,
    };
  };

  const opened = (headers: Headers): void => repeats.begin(headers.get('last-event-id'));
  const parsed = (line: string): LiveRecord<Value> | undefined => line.trim() === '' ? undefined : recordOfLine<Value>(line, path);

  try {
    for await (const record of lines(http, signal, { requestNow, opened, parsed })) {
      if (repeats.isRepeated(record, record.id)) continue;
      yield record;
      if (signal?.aborted) return;
    }
  } catch (error) {
    if (!isAbort(error, signal)) throw error;
  }
}

function recordOfLine<Value>(line: string, path: string): LiveRecord<Value> {
  let wire: WireLine;
  try {
    wire = JSON.parse(line);
  } catch (cause) {
    throw notJson(`GET ${path} sent a line`, line, { cause });
  }
  if (wire.error) throw errorForCode(wire.error.code, wire.error.message);
  return liveRecord<Value>(wire);
}

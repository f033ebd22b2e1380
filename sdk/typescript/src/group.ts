// What a consumer group does: read on, commit, go back.
import type { HttpClient } from './http.js';
import { pathSegment } from './http.js';
import type { RetryRule } from './retry.js';
import type { CallOptions, ConsumeOptions, ConsumeResult, GroupReset, GroupResetResult, OffsetCommit } from './types.js';
import { exactOffset, page, position } from './wire.js';
import type { WirePage } from './wire.js';

/** `/topics/{name}` and what follows; `name` may be a pattern. */
export function topicPath(name: string, rest: string = ''): string {
  return `/topics/${pathSegment('topic name', name)}${rest}`;
}

/** The next records. `retry`: what to do when the answer is lost, and with it the lease on the records that were in it. */
export async function consume<Value>(
  http: HttpClient, name: string, options: ConsumeOptions, retry: RetryRule,
): Promise<ConsumeResult<Value>> {
  const wire = await http.json<WirePage>({
    method: 'GET',
    path: topicPath(name, '/consume'),
    query: {
      group: options.group,
      partition: options.partition,
      limit: options.limit,
      wait_ms: options.waitMs,
      auto_commit: options.autoCommit ? true : undefined,
      worker: options.worker,
      from: options.from === undefined ? undefined : position(options.from, 'from'),
      cursor: options.cursor,
    },
    waitMs: options.waitMs,
    retry,
    signal: options.signal,
  });
  return page<Value>(wire);
}

/** A commit says where the group is, not how far it moved: twice is as good as once. */
export async function commit(
  http: HttpClient, topic: string, at: OffsetCommit, options: CallOptions, retry: RetryRule,
): Promise<void> {
  await http.empty({
    method: 'POST',
    path: topicPath(topic, '/offsets'),
    body: { group: at.group, partition: at.partition, offset: exactOffset(at.offset, 'offset'), worker: at.worker },
    retry,
    signal: options.signal,
  });
}

/** Not repeated after a lost answer: by then members may have read on, and a second reset would take them back again. */
export async function reset(
  http: HttpClient, topic: string, group: string, how: GroupReset, options: CallOptions,
): Promise<GroupResetResult> {
  return http.json<GroupResetResult>({
    method: 'POST',
    path: topicPath(topic, `/groups/${pathSegment('group', group)}/reset`),
    body: { to: position(how.to, 'to'), partition: how.partition },
    retry: 'refused',
    signal: options.signal,
  });
}

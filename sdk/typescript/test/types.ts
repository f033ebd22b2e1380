// Checked by tsc against the built .d.ts, never run: what must compile, and after each @ts-expect-error what must not.
import { Fourbyfour, RateLimitError } from '@fourbyfour/sdk';
import type { ConsumeResult, LiveRecord, RecordProblem, StreamRecord, Topic } from '@fourbyfour/sdk';

interface Order { orderId: string; total: number }

const client = new Fourbyfour({ apiKey: 'your-api-key', projectId: 'your-project-id' });
await client.stream.topics.create({ name: 'order.placed', partitions: 3 });
await client.stream.topics.produce('order.placed', { key: 'order-123', value: { orderId: '123', total: 99.99 } });
const { records } = await client.stream.topics.consume('order.placed', { group: 'checkout-service' });
const untyped: StreamRecord<unknown>[] = records;
// @ts-expect-error: nothing is known of a value unless it is said.
records[0]?.value.orderId;

const page: ConsumeResult<Order> = await client.stream.topics.consume<Order>('order.*', { from: new Date(), autoCommit: true });
const total: number | undefined = page.records[0]?.value.total;
const next: number | undefined = page.nextOffsets['order.placed']?.[0];
const topics: Topic[] = await client.stream.topics.list({ signal: AbortSignal.timeout(1000) });

for await (const record of client.stream.topics.subscribe<Order>('order.*', { group: 'g', commit: 'manual' })) {
  const each: StreamRecord<Order> = record;
}
for await (const record of client.stream.topics.stream<Order>('order.*', { from: { offset: 3 } })) {
  const each: LiveRecord<Order> = record;
}

const { results } = await client.stream.topics.produceBatch('a', [{ value: 1 }]);
for (const result of results) {
  if (result.error) console.log(result.error.code);
  else console.log(result.offset);
}

const { id, onInvalid } = await client.stream.topics.setSchema('a', { schema: { type: 'object' }, validation: 'full' });
const problems: RecordProblem[] | undefined = new RateLimitError('x').records;
// @ts-expect-error: validation is one of three words.
client.stream.topics.setSchema('a', { schema: {}, validation: 'some' });

// @ts-expect-error: a subscription needs a group.
client.stream.topics.subscribe('a', {});
// @ts-expect-error: a record needs a value.
client.stream.topics.produce('a', { key: 'k' });
// @ts-expect-error: commit is one of two words.
client.stream.topics.subscribe('a', { group: 'g', commit: 'never' });

const delay: number | undefined = new RateLimitError('x').retryAfterMs;
await client.hooks.send({ eventType: 'order.placed', payload: { any: 'thing' } }, { signal: AbortSignal.timeout(1000) });

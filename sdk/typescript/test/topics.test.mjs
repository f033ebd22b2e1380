// Goal: what each method sends and gives. Method: a stub server that keeps the requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConflictError, NotFoundError, ValidationError } from '@fourbyfour/sdk';
import { cut, empty, error, json, page, record, startStub } from './stub.mjs';

const WIRE_TOPIC = { name: 'order.placed', partitions: 3, retention_hours: 24, created_at: '2026-01-01T00:00:00Z' };
const TOPIC = { name: 'order.placed', partitions: 3, retentionHours: 24, createdAt: '2026-01-01T00:00:00Z' };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

// Keys in both styles, so that a renamer that walks into values shows itself, whichever way it goes.
const UNTOUCHED = { order_id: 1, orderId: 2, next_offset: { nextOffset: null }, list: [{ retention_hours: 1, retentionHours: 2 }] };
const UNTOUCHED_HEADERS = { trace_id: 'a', traceId: 'b' };

test('names that would reach another path are refused before anything is sent', async (t) => {
  const stub = await startStub(t, empty());
  const { topics } = stub.client().stream;
  for (const name of ['', '.', '..', undefined]) {
    await assert.rejects(topics.delete(name), ValidationError);
    await assert.rejects(topics.resetGroup('orders', name, { to: 'earliest' }), ValidationError);
  }
  assert.deepEqual(stub.requests, []);
});

test('an undefined value is refused before anything is sent', async (t) => {
  const stub = await startStub(t, empty());
  const { topics } = stub.client().stream;
  await assert.rejects(topics.produce('orders', { value: undefined }), ValidationError);
  await assert.rejects(topics.produceBatch('orders', [{ value: 1 }, { value: undefined }]), { name: 'ValidationError', message: /records\[1\]/ });
  assert.deepEqual(stub.requests, []);
});

test('a value that JSON cannot carry is a validation error', async (t) => {
  const stub = await startStub(t, empty());
  await assert.rejects(stub.client().stream.topics.produce('orders', { value: 1n }), { name: 'ValidationError', message: /BigInt/ });
  assert.deepEqual(stub.requests, []);
});

test('offsets that a number cannot hold are refused before anything is sent', async (t) => {
  const stub = await startStub(t, empty());
  const { topics } = stub.client().stream;
  for (const offset of [-1, 1.5, NaN, 2 ** 53, '7', undefined]) {
    await assert.rejects(topics.commit('orders', { group: 'g', partition: 0, offset }), ValidationError);
    await assert.rejects(topics.consume('orders', { from: { offset } }), ValidationError);
    await assert.rejects(topics.resetGroup('orders', 'g', { to: { offset } }), ValidationError);
  }
  await assert.rejects(topics.consume('orders', { from: new Date(NaN) }), ValidationError);
  assert.deepEqual(stub.requests, []);
});

test('create', async (t) => {
  const stub = await startStub(t, json({ ...WIRE_TOPIC, description: 'all orders' }, 201));
  const created = await stub.client().stream.topics.create({
    name: 'order.placed', description: 'all orders', partitions: 3, retentionHours: 24,
  });
  assert.deepEqual(stub.lines(), ['POST /topics']);
  assert.deepEqual(stub.requests[0].body, { name: 'order.placed', description: 'all orders', partitions: 3, retention_hours: 24 });
  assert.equal(stub.requests[0].headers['content-type'], 'application/json');
  assert.equal(stub.requests[0].headers.authorization, 'Bearer key-1');
  assert.deepEqual(created, { ...TOPIC, description: 'all orders' });
});

test('create leaves the rest to the server', async (t) => {
  const stub = await startStub(t, json(WIRE_TOPIC));
  await stub.client().stream.topics.create({ name: 'order.placed' });
  assert.deepEqual(stub.requests[0].body, { name: 'order.placed' });
});

test('create throws a conflict at once', async (t) => {
  const stub = await startStub(t, error(409, 'CONFLICT'));
  await assert.rejects(stub.client().stream.topics.create({ name: 'order.placed' }), ConflictError);
  assert.deepEqual(stub.lines(), ['POST /topics']);
});

test('create whose answer was lost finds its topic', async (t) => {
  const stub = await startStub(t, cut(), error(409, 'CONFLICT'), json(WIRE_TOPIC));
  const created = await stub.client().stream.topics.create({ name: 'order.placed', partitions: 3, retentionHours: 24 });
  assert.deepEqual(stub.lines(), ['POST /topics', 'POST /topics', 'GET /topics/order.placed']);
  assert.deepEqual(created, TOPIC);
});

test('create whose answer was lost does not take another topic for its own', async (t) => {
  for (const other of [{ partitions: 4 }, { retentionHours: 25 }, { description: 'mine' }]) {
    const stub = await startStub(t, cut(), error(409, 'CONFLICT'), json(WIRE_TOPIC));
    await assert.rejects(stub.client().stream.topics.create({ name: 'order.placed', ...other }), ConflictError);
  }
});

test('create after 503, which may be "no answer in time", finds its topic', async (t) => {
  const stub = await startStub(t, error(503), error(409, 'CONFLICT'), json(WIRE_TOPIC));
  assert.deepEqual(await stub.client().stream.topics.create({ name: 'order.placed', partitions: 3 }), TOPIC);
});

test('create that was only turned away does not look for its topic', async (t) => {
  const stub = await startStub(t, error(429), error(409, 'CONFLICT'));
  await assert.rejects(stub.client().stream.topics.create({ name: 'order.placed' }), ConflictError);
  assert.deepEqual(stub.lines(), ['POST /topics', 'POST /topics']);
});

test('list', async (t) => {
  const stub = await startStub(t, json({ topics: [WIRE_TOPIC, { ...WIRE_TOPIC, name: 'b', description: null }] }));
  assert.deepEqual(await stub.client().stream.topics.list(), [TOPIC, { ...TOPIC, name: 'b' }]);
  assert.deepEqual(stub.lines(), ['GET /topics']);
  assert.equal(stub.requests[0].headers['content-type'], undefined);
});

test('get, with a name that must be encoded', async (t) => {
  const stub = await startStub(t, json(WIRE_TOPIC));
  assert.deepEqual(await stub.client().stream.topics.get('a/b c?d#é%41'), TOPIC);
  assert.deepEqual(stub.lines(), ['GET /topics/a%2Fb%20c%3Fd%23%C3%A9%2541']);
});

test('delete', async (t) => {
  const stub = await startStub(t, empty(204));
  assert.equal(await stub.client().stream.topics.delete('order.placed'), undefined);
  assert.deepEqual(stub.lines(), ['DELETE /topics/order.placed']);
});

test('delete of what is not there throws', async (t) => {
  const stub = await startStub(t, error(404, 'NOT_FOUND'));
  await assert.rejects(stub.client().stream.topics.delete('order.placed'), NotFoundError);
});

test('delete whose answer was lost takes "not found" for its own doing', async (t) => {
  const stub = await startStub(t, cut(), error(404, 'NOT_FOUND'));
  await stub.client().stream.topics.delete('order.placed');
  assert.equal(stub.requests.length, 2);
});

test('delete that was only turned away throws "not found"', async (t) => {
  const stub = await startStub(t, error(429), error(404, 'NOT_FOUND'));
  await assert.rejects(stub.client().stream.topics.delete('order.placed'), NotFoundError);
});

test('stats', async (t) => {
  const stub = await startStub(
    t,
    json({ name: 'a', total_events: 3, total_bytes: 99, events_per_second: 0.5, last_event_at: '2026-01-01T00:00:00Z' }),
    json({ name: 'a', total_events: 0, total_bytes: 0, events_per_second: 0 }),
  );
  const { topics } = stub.client().stream;
  assert.deepEqual(await topics.stats('a'), {
    name: 'a', totalEvents: 3, totalBytes: 99, eventsPerSecond: 0.5, lastEventAt: '2026-01-01T00:00:00Z',
  });
  assert.deepEqual(await topics.stats('a'), { name: 'a', totalEvents: 0, totalBytes: 0, eventsPerSecond: 0 });
  assert.equal(stub.lines()[0], 'GET /topics/a/stats');
});

test('produce leaves value and headers as they are', async (t) => {
  const answer = { topic: 'order.placed', partition: 1, offset: 7, timestamp: '2026-01-01T00:00:00Z' };
  const stub = await startStub(t, json(answer));
  const result = await stub.client().stream.topics.produce('order.placed', { key: 'k', value: UNTOUCHED, headers: UNTOUCHED_HEADERS });
  assert.deepEqual(stub.lines(), ['POST /topics/order.placed/produce']);
  assert.deepEqual(stub.requests[0].body, { value: UNTOUCHED, key: 'k', headers: UNTOUCHED_HEADERS });
  assert.match(stub.requests[0].headers['idempotency-key'], UUID);
  assert.deepEqual(result, answer);
});

test('produce sends null, false, 0 and "" as values', async (t) => {
  const stub = await startStub(t, json({ topic: 'a', partition: 0, offset: 0, timestamp: '' }));
  for (const value of [null, false, 0, '']) {
    await stub.client().stream.topics.produce('a', { value });
    assert.deepEqual(stub.requests.at(-1).body, { value });
  }
});

test('calls with one idempotency key are one to the server', async (t) => {
  const stub = await startStub(t, error(500, 'LAST'), json({ topic: 'a', partition: 0, offset: 1 }), json({ results: [] }));
  const { topics } = stub.client({ maxRetries: 0 }).stream;
  const options = { idempotencyKey: 'order-123' };
  await assert.rejects(topics.produce('a', { value: 1 }, options), { code: 'LAST' });
  await topics.produce('a', { value: 1 }, options);
  await topics.produceBatch('a', [{ value: 1 }], options);
  assert.deepEqual(stub.requests.map(({ headers }) => headers['idempotency-key']), Array(3).fill('order-123'));
});

test('two calls have two idempotency keys', async (t) => {
  const stub = await startStub(t, json({ topic: 'a', partition: 0, offset: 0, timestamp: '' }));
  await stub.client().stream.topics.produce('a', { value: 1 });
  await stub.client().stream.topics.produce('a', { value: 1 });
  assert.notEqual(stub.requests[0].headers['idempotency-key'], stub.requests[1].headers['idempotency-key']);
});

test('produceBatch', async (t) => {
  const results = [
    { partition: 0, offset: 5, timestamp: '2026-01-01T00:00:00Z' },
    { error: { code: 'VALIDATION_ERROR', message: 'record 1 is 2 MB, more than max.message.bytes' } },
  ];
  const stub = await startStub(t, json({ results }));
  const answer = await stub.client().stream.topics.produceBatch('order.placed', [
    { value: UNTOUCHED, key: 'k', headers: UNTOUCHED_HEADERS }, { value: null },
  ]);
  assert.deepEqual(stub.lines(), ['POST /topics/order.placed/records']);
  assert.deepEqual(stub.requests[0].body, { records: [{ value: UNTOUCHED, key: 'k', headers: UNTOUCHED_HEADERS }, { value: null }] });
  assert.match(stub.requests[0].headers['idempotency-key'], UUID);
  assert.deepEqual(answer, { results });
});

test('consume sends only what was said', async (t) => {
  const stub = await startStub(t, page());
  await stub.client().stream.topics.consume('order.placed', { group: 'checkout-service', autoCommit: false });
  await stub.client().stream.topics.consume('order.placed');
  assert.deepEqual(stub.lines(), ['GET /topics/order.placed/consume?group=checkout-service', 'GET /topics/order.placed/consume']);
});

test('consume sends all of it in snake_case, encoded', async (t) => {
  const stub = await startStub(t, page());
  await stub.client().stream.topics.consume('order.placed', {
    group: 'a b&c+d', partition: 0, limit: 5, waitMs: 0, autoCommit: true, worker: 'w/1', from: 'earliest',
  });
  assert.deepEqual(stub.lines(), [
    'GET /topics/order.placed/consume?group=a%20b%26c%2Bd&partition=0&limit=5&wait_ms=0&auto_commit=true&worker=w%2F1&from=earliest',
  ]);
});

for (const [from, sent] of [
  ['latest', 'latest'],
  ['2026-01-02T03:04:05+02:00', '2026-01-02T03%3A04%3A05%2B02%3A00'],
  [new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678)), '2026-01-02T03%3A04%3A05.678Z'],
  [{ offset: 0 }, '0'],
  [{ offset: 2 ** 53 - 1 }, '9007199254740991'],
]) {
  test(`consume from ${JSON.stringify(from)}`, async (t) => {
    const stub = await startStub(t, page());
    await stub.client().stream.topics.consume('a', { from });
    assert.deepEqual(stub.lines(), [`GET /topics/a/consume?from=${sent}`]);
  });
}

test('consume without a group goes on at a cursor', async (t) => {
  const stub = await startStub(t, json({ records: [], next_offset: 0, next_offsets: {}, cursor: 'a b=' }));
  const { topics } = stub.client().stream;
  const { cursor } = await topics.consume('a', { from: 'earliest' });
  await topics.consume('a', { cursor });
  assert.deepEqual(stub.lines(), ['GET /topics/a/consume?from=earliest', 'GET /topics/a/consume?cursor=a%20b%3D']);
});

test('consume gives records with their values as they are', async (t) => {
  const stub = await startStub(t, json({
    records: [
      record(4, { value: UNTOUCHED, key: 'k', headers: UNTOUCHED_HEADERS }),
      record(9, { partition: 2, value: null, key: null, headers: null }),
    ],
    next_offset: 10,
    next_offsets: { 'order.placed': { 0: 5, 2: 10 }, retention_hours: { 0: 1 } },
  }));
  assert.deepEqual(await stub.client().stream.topics.consume('order.*', { group: 'g' }), {
    records: [
      { topic: 'order.placed', partition: 0, offset: 4, value: UNTOUCHED, timestamp: '2026-01-02T03:04:05Z', key: 'k', headers: UNTOUCHED_HEADERS },
      { topic: 'order.placed', partition: 2, offset: 9, value: null, timestamp: '2026-01-02T03:04:05Z' },
    ],
    nextOffset: 10,
    nextOffsets: { 'order.placed': { 0: 5, 2: 10 }, retention_hours: { 0: 1 } },
  });
  assert.deepEqual(stub.lines(), ['GET /topics/order.*/consume?group=g']);
});

test('consume from a server without next_offsets', async (t) => {
  const stub = await startStub(t, json({ records: [], next_offset: 3 }));
  assert.deepEqual(await stub.client().stream.topics.consume('a', { group: 'g' }), { records: [], nextOffset: 3, nextOffsets: {} });
});

test('commit', async (t) => {
  const stub = await startStub(t, empty(204));
  await stub.client().stream.topics.commit('order.placed', { group: 'g', partition: 0, offset: 0 });
  await stub.client().stream.topics.commit('order.placed', { group: 'g', partition: 0, offset: 1, worker: 'w' });
  assert.deepEqual(stub.lines(), Array(2).fill('POST /topics/order.placed/offsets'));
  assert.deepEqual(stub.requests.map(({ body }) => body), [
    { group: 'g', partition: 0, offset: 0 }, { group: 'g', partition: 0, offset: 1, worker: 'w' },
  ]);
});

for (const [to, sent] of [
  ['earliest', 'earliest'],
  ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z'],
  [new Date(Date.UTC(2026, 0, 2)), '2026-01-02T00:00:00.000Z'],
  [{ offset: 12 }, 12],
]) {
  test(`resetGroup to ${JSON.stringify(to)}`, async (t) => {
    const stub = await startStub(t, json({ offsets: { 'order.placed': { 0: 12 } } }));
    const answer = await stub.client().stream.topics.resetGroup('order.placed', 'a/b', { to });
    assert.deepEqual(stub.lines(), ['POST /topics/order.placed/groups/a%2Fb/reset']);
    assert.deepEqual(stub.requests[0].body, { to: sent });
    assert.deepEqual(answer, { offsets: { 'order.placed': { 0: 12 } } });
  });
}

test('resetGroup of one partition', async (t) => {
  const stub = await startStub(t, json({ offsets: {} }));
  await stub.client().stream.topics.resetGroup('order.placed', 'g', { to: 'latest', partition: 0 });
  assert.deepEqual(stub.requests[0].body, { to: 'latest', partition: 0 });
});

test('a schema', async (t) => {
  const wire = { subject: 'orders-value', version: 2, id: 7, type: 'JSON', schema: { type: 'object', on_invalid: 1 }, validation: 'full', on_invalid: 'dead-letter' };
  const { on_invalid, ...same } = wire;
  const stub = await startStub(t, json(wire));
  const { topics } = stub.client().stream;
  const asked = { schema: { type: 'object', on_invalid: 1 }, onInvalid: 'dead-letter', compatibility: 'FULL' };
  assert.deepEqual(await topics.setSchema('orders', asked), { ...same, onInvalid: on_invalid });
  assert.deepEqual(stub.requests[0].body, { schema: { type: 'object', on_invalid: 1 }, on_invalid: 'dead-letter', compatibility: 'FULL' });
  assert.deepEqual(await topics.getSchema('orders'), { ...same, onInvalid: on_invalid });
  await topics.deleteSchema('orders');
  assert.deepEqual(stub.lines(), ['PUT /topics/orders/schema', 'GET /topics/orders/schema', 'DELETE /topics/orders/schema']);
});

test('records that do not fit their schema are named', async (t) => {
  const records = [{ index: 1, message: 'orders-0, record 1: /total: -4 is less than the minimum of 0' }];
  const stub = await startStub(t, json({ error: { code: 'INVALID_RECORD', message: 'no', records } }, 422));
  const refused = stub.client().stream.topics.produceBatch('orders', [{ value: 1 }, { value: 2 }]);
  await assert.rejects(refused, { name: 'ValidationError', code: 'INVALID_RECORD', status: 422, records });
});

// Goal: a stream gives each record once, in order, over connections that break. Method: a stub that sends chunks cut at odd places, and
// breaks the connection.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ForbiddenError, NotFoundError } from '@fourbyfour/sdk';
import { chunks, cut, error, record, silence, startStub, text } from './stub.mjs';

const line = (offset, more) => `${JSON.stringify(record(offset, { id: `id-${offset}`, ...more }))}\n`;
const breakOff = (response) => response.socket.destroy();
const stayOpen = () => {};

/** Reads until `count` records were seen (or the stream ends) and gives their offsets. */
async function read(stub, count, options, clientOptions) {
  const offsets = [];
  for await (const { offset } of stub.client(clientOptions).stream.topics.stream('order.placed', options)) {
    offsets.push(offset);
    if (offsets.length === count) break;
  }
  return offsets;
}

const lastEventIds = (stub) => stub.requests.map(({ headers }) => headers['last-event-id']);

test('the request', async (t) => {
  const stub = await startStub(t, chunks([line(0)], stayOpen));
  await read(stub, 1);
  assert.deepEqual(stub.lines(), ['GET /topics/order.placed/stream']);
  assert.equal(stub.requests[0].headers.accept, 'application/x-ndjson');
  assert.equal(stub.requests[0].headers.authorization, 'Bearer key-1');
  assert.equal(stub.requests[0].headers['last-event-id'], undefined);
});

test('from, and a pattern that is encoded', async (t) => {
  const stub = await startStub(t, chunks([line(0)], stayOpen));
  for await (const _ of stub.client().stream.topics.stream('a b.*', { from: new Date(0) })) break;
  assert.deepEqual(stub.lines(), ['GET /topics/a%20b.*/stream?from=1970-01-01T00%3A00%3A00.000Z']);
});

test('records have their id, and values as they are', async (t) => {
  const stub = await startStub(t, chunks([line(4, { key: 'k', value: { next_offset: 'é' }, headers: { a_b: 'c' } })], stayOpen));
  for await (const each of stub.client().stream.topics.stream('order.placed')) {
    assert.deepEqual(each, {
      topic: 'order.placed', partition: 0, offset: 4, value: { next_offset: 'é' }, timestamp: '2026-01-02T03:04:05Z', key: 'k', headers: { a_b: 'c' }, id: 'id-4',
    });
    break;
  }
});

test('chunks may be cut anywhere, in the middle of a character too; blank lines are heart-beats', async (t) => {
  const bytes = Buffer.from(`\n${line(0, { value: 'é€😀' })}\r\n\n${line(1)}${line(2)}\n`);
  const parts = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, index) => bytes.subarray(index * 7, index * 7 + 7));
  const stub = await startStub(t, chunks(parts, stayOpen));
  const values = [];
  for await (const { value } of stub.client().stream.topics.stream('order.placed')) {
    values.push(value);
    if (values.length === 3) break;
  }
  assert.deepEqual(values, ['é€😀', { n: 1 }, { n: 2 }]);
});

test('after a cut it goes on behind the last record, and half a record is not one', async (t) => {
  const half = line(2).slice(0, 30);
  const stub = await startStub(t, chunks([line(0), line(1), half], breakOff), chunks([line(2), line(3)], stayOpen));
  assert.deepEqual(await read(stub, 4, { from: 'earliest' }), [0, 1, 2, 3]);
  assert.deepEqual(lastEventIds(stub), [undefined, 'id-1']);
  assert.deepEqual(stub.lines(), ['GET /topics/order.placed/stream?from=earliest', 'GET /topics/order.placed/stream']);
});

test('after a cut before the first record it goes on where it began', async (t) => {
  const begins = (id) => ({ 'last-event-id': id });
  const stub = await startStub(
    t, chunks(['\n'], breakOff, begins('id-begin')), chunks([], breakOff, begins('id-other')), chunks([line(7)], breakOff, begins('id-begin')),
    chunks([line(8)], stayOpen),
  );
  assert.deepEqual(await read(stub, 2), [7, 8]);
  assert.deepEqual(lastEventIds(stub), [undefined, 'id-begin', 'id-begin', 'id-7']);
});

test('an empty lastEventId is none, so that from counts', async (t) => {
  const stub = await startStub(t, chunks([line(0)], stayOpen));
  await read(stub, 1, { from: 'earliest', lastEventId: '' });
  assert.deepEqual(stub.lines(), ['GET /topics/order.placed/stream?from=earliest']);
  assert.deepEqual(lastEventIds(stub), [undefined]);
});

const part = (partition, offset, id) => `${JSON.stringify(record(offset, { partition, value: `${partition}@${offset}`, ...(id && { id }) }))}\n`;

test('records without an id that come again after a cut are given once, in whatever order they come', async (t) => {
  const stub = await startStub(
    t,
    chunks([part(0, 4, 'A'), part(0, 5), part(1, 7), part(0, 6), part(2, 9)], breakOff),
    // Less than before, and broken off again: what came in the first connection is still known.
    chunks([part(0, 5), part(1, 7), part(1, 8)], breakOff),
    // B stands for less than what was given before it (2@9 is not there yet), C for all of it.
    chunks([part(0, 5), part(1, 7), part(1, 8), part(0, 6), part(0, 7, 'B')], breakOff),
    chunks([part(2, 9), part(2, 10, 'C')], breakOff),
    chunks([part(0, 8)], stayOpen),
  );
  const values = [];
  for await (const { value } of stub.client().stream.topics.stream('order.placed')) {
    values.push(value);
    if (value === '0@8') break;
  }
  assert.deepEqual(values, ['0@4', '0@5', '1@7', '0@6', '2@9', '1@8', '0@7', '2@10', '0@8']);
  assert.deepEqual(lastEventIds(stub), [undefined, 'A', 'A', 'B', 'C']);
});

test('a topic made anew begins at 0 again, after what came again too', async (t) => {
  const stub = await startStub(
    t,
    chunks([part(0, 4), part(0, 5, 'A'), part(0, 0), part(0, 1, 'B'), part(0, 2)], breakOff),
    chunks([part(0, 2), part(0, 0), part(0, 1, 'C')], breakOff),
    chunks([part(0, 0)], stayOpen),
  );
  const values = [];
  for await (const { value } of stub.client().stream.topics.stream('order.placed')) {
    values.push(value);
    if (values.length === 8) break;
  }
  assert.deepEqual(values, ['0@4', '0@5', '0@0', '0@1', '0@2', '0@0', '0@1', '0@0']);
});

test('after an orderly end it goes on, too, and a line without its end is not a record', async (t) => {
  const whole = line(1).trimEnd();
  const stub = await startStub(t, chunks([line(0), whole]), chunks([line(1)], stayOpen));
  assert.deepEqual(await read(stub, 2), [0, 1]);
  assert.deepEqual(lastEventIds(stub), [undefined, 'id-0']);
});

test('after a cut before the first record it begins where it was told to', async (t) => {
  const stub = await startStub(t, cut(), chunks(['\n'], breakOff), chunks([line(0)], stayOpen));
  assert.deepEqual(await read(stub, 1, { from: { offset: 0 } }), [0]);
  assert.deepEqual(stub.lines(), Array(3).fill('GET /topics/order.placed/stream?from=0'));
});

test('lastEventId goes on where another process stopped', async (t) => {
  const stub = await startStub(t, chunks([line(8)], stayOpen));
  assert.deepEqual(await read(stub, 1, { lastEventId: 'id-7', from: 'earliest' }), [8]);
  assert.deepEqual(lastEventIds(stub), ['id-7']);
  assert.deepEqual(stub.lines(), ['GET /topics/order.placed/stream']);
});

test('a lastEventId that no header can carry is refused, and not retried for ever', async (t) => {
  const stub = await startStub(t, silence());
  await assert.rejects(read(stub, 1, { lastEventId: 'a\nb' }), TypeError);
});

test('a silent connection is made again', async (t) => {
  const stub = await startStub(t, chunks([line(0)], stayOpen), chunks([line(1)], stayOpen));
  assert.deepEqual(await read(stub, 2, {}, { timeoutMs: 100 }), [0, 1]);
  assert.deepEqual(lastEventIds(stub), [undefined, 'id-0']);
});

test('heart-beats keep a connection', async (t) => {
  const beats = Array(60).fill('\n');
  const stub = await startStub(t, chunks([line(0), ...beats, line(1)], stayOpen));
  // 60 beats, 5 ms or more apart, are longer than the silence that is allowed: 2 x 100 ms.
  assert.deepEqual(await read(stub, 2, {}, { timeoutMs: 100 }), [0, 1]);
  assert.equal(stub.requests.length, 1);
});

test('a body that takes its time is no silence', async (t) => {
  const stub = await startStub(t, chunks([line(0), line(1)], stayOpen));
  const offsets = [];
  for await (const { offset } of stub.client({ timeoutMs: 50 }).stream.topics.stream('order.placed')) {
    offsets.push(offset);
    if (offset === 1) break;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assert.deepEqual(offsets, [0, 1]);
  assert.equal(stub.requests.length, 1);
});

test('what passes is waited out, beyond maxRetries', async (t) => {
  const stub = await startStub(t, cut(), error(429), error(503), error(502), error(504), chunks([line(0)], stayOpen));
  assert.deepEqual(await read(stub, 1), [0]);
});

test('500 again and again is thrown, counted from the last thing that was heard', async (t) => {
  // Four failures in a row are one too many; the connection that breaks off is the first of them.
  const stub = await startStub(t, ...Array(3).fill(error(500)), chunks([line(0)], breakOff), ...Array(2).fill(error(500)), error(500, 'LAST'));
  await assert.rejects(read(stub, 2), { status: 500, code: 'LAST' });
  assert.equal(stub.requests.length, 7);
});

test('what does not pass is thrown', async (t) => {
  const stub = await startStub(t, error(404, 'NOT_FOUND', 'no topic order.placed; create it'));
  await assert.rejects(read(stub, 1), { name: 'NotFoundError', message: 'no topic order.placed; create it' });
  assert.equal(stub.requests.length, 1);
});

for (const [code, Expected] of [['FORBIDDEN', ForbiddenError], ['NOT_FOUND', NotFoundError]]) {
  test(`a line with the error ${code} ends the stream with it`, async (t) => {
    const stub = await startStub(t, chunks([line(0), `${JSON.stringify({ error: { code, message: 'the key was withdrawn' } })}\n`], stayOpen));
    const offsets = [];
    await assert.rejects(async () => {
      for await (const { offset } of stub.client().stream.topics.stream('order.placed')) offsets.push(offset);
    }, (thrown) => thrown instanceof Expected && thrown.code === code && thrown.message === 'the key was withdrawn');
    assert.deepEqual(offsets, [0]);
    await stub.requests[0].closed;
    assert.equal(stub.requests.length, 1);
  });
}

const errorLine = (code) => `${JSON.stringify({ error: { code, message: 'stopping' } })}\n`;

test('a line with an error that passes is waited out like an answer with it', async (t) => {
  const stub = await startStub(
    t, chunks([line(0), errorLine('UNAVAILABLE')], stayOpen), chunks([errorLine('INTERNAL_ERROR')], stayOpen), chunks([errorLine('UNAVAILABLE')]),
    chunks([errorLine('RATE_LIMIT_EXCEEDED')]), chunks([line(1)], stayOpen),
  );
  assert.deepEqual(await read(stub, 2), [0, 1]);
  assert.deepEqual(lastEventIds(stub), [undefined, 'id-0', 'id-0', 'id-0', 'id-0']);
});

test('a line with INTERNAL_ERROR is waited out as often as any other 500', async (t) => {
  const stub = await startStub(t, chunks([errorLine('INTERNAL_ERROR')]));
  await assert.rejects(read(stub, 1, {}, { maxRetries: 2 }), { name: 'InternalError', code: 'INTERNAL_ERROR', status: 500 });
  assert.equal(stub.requests.length, 3);
});

test('a line with another error keeps its code', async (t) => {
  const stub = await startStub(t, chunks(['{"error":{"code":"TOPIC_DELETED","message":"gone"}}\n'], stayOpen));
  await assert.rejects(read(stub, 1), { name: 'FourbyfourError', code: 'TOPIC_DELETED', message: 'gone' });
});

test('a record whose value has an error is a record', async (t) => {
  const stub = await startStub(t, chunks([line(0, { value: { error: { code: 'x', message: 'y' } } })], stayOpen));
  assert.deepEqual(await read(stub, 1), [0]);
});

test('a line that is no JSON says what to check', async (t) => {
  const stub = await startStub(t, text('<html>\n', 200));
  await assert.rejects(read(stub, 1), { code: 'INVALID_RESPONSE', message: /"<html>" instead of JSON; check that baseUrl/ });
});

test('leaving the loop closes the connection', async (t) => {
  const stub = await startStub(t, chunks([line(0), line(1)], stayOpen));
  await read(stub, 1);
  await stub.requests[0].closed;
});

test('an abort while waiting ends the loop quietly, and the connection', async (t) => {
  const stub = await startStub(t, chunks([line(0)], stayOpen));
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 100);
  assert.deepEqual(await read(stub, 2, { signal: controller.signal }), [0]);
  await stub.requests[0].closed;
  assert.equal(stub.requests.length, 1);
});

test('an abort in the body ends the loop, even if more has arrived', async (t) => {
  const stub = await startStub(t, chunks([line(0) + line(1) + line(2)], stayOpen));
  const controller = new AbortController();
  const offsets = [];
  for await (const { offset } of stub.client().stream.topics.stream('order.placed', { signal: controller.signal })) {
    offsets.push(offset);
    if (offset === 1) controller.abort();
  }
  assert.deepEqual(offsets, [0, 1]);
});

test('an abort between connections ends the loop quietly', async (t) => {
  const stub = await startStub(t, error(429, 'RATE_LIMIT_EXCEEDED', 'x', { 'retry-after': '600' }));
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 100);
  assert.deepEqual(await read(stub, 1, { signal: controller.signal }), []);
});

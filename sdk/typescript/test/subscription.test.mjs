// Goal: what a subscription commits, and when; that it outlives what passes and ends when told. Method: a stub that is one small group: it
// hands out given pages, then nothing, and keeps the commits.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionError, ForbiddenError } from '@fourbyfour/sdk';
import { cut, empty, error, page, record, silence, startStub } from './stub.mjs';

/** `pages`: answers to consume, then none comes. `onCommit`: answers to commits, 204 by default. */
async function startGroup(t, pages, onCommit = []) {
  const commits = [];
  const log = [];
  const answer = (request, response, seen) => {
    if (seen.method === 'GET') {
      log.push('consume');
      return (pages.shift() ?? silence())(request, response, seen);
    }
    const [, topic] = seen.url.match(/^\/topics\/(.+)\/offsets$/);
    const { group, partition, offset } = seen.body;
    const reply = onCommit.shift();
    log.push(`commit ${decodeURIComponent(topic)}-${partition}@${offset}`);
    if (!reply) commits.push(`${group}: ${decodeURIComponent(topic)}-${partition}@${offset}`);
    return (reply ?? empty(204))(request, response, seen);
  };
  const stub = await startStub(t, answer);
  return { ...stub, commits, log };
}

/** Runs a subscription to its end and gives the offsets its body saw. `body(record)` may break (true) or throw. */
async function run(stub, options, body = () => false) {
  const seen = [];
  for await (const each of stub.client().stream.topics.subscribe('order.placed', { group: 'g', ...options })) {
    seen.push(each.offset);
    if (await body(each)) break;
  }
  return seen;
}

test('a page is committed when it is done, and before more is asked for', async (t) => {
  const stub = await startGroup(t, [page(record(0), record(1)), page(record(2), record(3))]);
  assert.deepEqual(await run(stub, {}, ({ offset }) => offset === 3), [0, 1, 2, 3]);
  assert.deepEqual(stub.log, ['consume', 'commit order.placed-0@2', 'consume', 'commit order.placed-0@3']);
  assert.deepEqual(stub.commits, ['g: order.placed-0@2', 'g: order.placed-0@3']);
});

test('break commits what was completed, and not the record it left in', async (t) => {
  const stub = await startGroup(t, [page(record(5), record(6), record(7))]);
  assert.deepEqual(await run(stub, {}, ({ offset }) => offset === 6), [5, 6]);
  assert.deepEqual(stub.commits, ['g: order.placed-0@6']);
});

test('break in the first record commits nothing', async (t) => {
  const stub = await startGroup(t, [page(record(5), record(6))]);
  await run(stub, {}, () => true);
  assert.deepEqual(stub.log, ['consume']);
});

test('throw commits what was completed, and the error comes through', async (t) => {
  const stub = await startGroup(t, [page(record(5), record(6), record(7))]);
  const failure = new Error('record 7 is bad');
  await assert.rejects(run(stub, {}, ({ offset }) => { if (offset === 7) throw failure; }), failure);
  assert.deepEqual(stub.commits, ['g: order.placed-0@7']);
});

test('throw comes through even when the commit fails', async (t) => {
  const stub = await startGroup(t, [page(record(5), record(6))], [error(403)]);
  const failure = new Error('record 6 is bad');
  await assert.rejects(run(stub, {}, ({ offset }) => { if (offset === 6) throw failure; }), failure);
});

test('break whose commit fails throws that failure', async (t) => {
  const stub = await startGroup(t, [page(record(5), record(6))], [error(403)]);
  await assert.rejects(run(stub, {}, ({ offset }) => offset === 6), ForbiddenError);
});

test('a commit that is refused for good ends the loop, and is not tried twice', async (t) => {
  const stub = await startGroup(t, [page(record(5))], [error(403), error(403)]);
  await assert.rejects(run(stub, {}), ForbiddenError);
  assert.deepEqual(stub.log, ['consume', 'commit order.placed-0@6']);
});

test('a topic that was deleted meanwhile does not end the loop', async (t) => {
  const stub = await startGroup(t, [page(record(5, { topic: 'order.old' }), record(6)), page(record(7))], [error(404)]);
  await run(stub, {}, ({ offset }) => offset === 7);
  assert.deepEqual(stub.log, ['consume', 'commit order.old-0@6', 'commit order.placed-0@7', 'consume']);
});

test('each topic and partition is committed for itself', async (t) => {
  const stub = await startGroup(t, [page(
    record(5), record(9, { partition: 1 }), record(6), record(3, { topic: 'order.failed' }), record(0, { topic: '__proto__' }), record(1, { topic: 'a/b' }),
  ), page(record(99))]);
  await run(stub, {}, ({ offset }) => offset === 99);
  assert.deepEqual(stub.commits.sort(), [
    'g: __proto__-0@1', 'g: a/b-0@2', 'g: order.failed-0@4', 'g: order.placed-0@7', 'g: order.placed-1@10',
  ]);
});

test('manual commits nothing', async (t) => {
  const stub = await startGroup(t, [page(record(0), record(1)), page(record(2))]);
  assert.deepEqual(await run(stub, { commit: 'manual' }, ({ offset }) => offset === 2), [0, 1, 2]);
  assert.deepEqual(stub.log, ['consume', 'consume']);
});

test('a long poll by default, and what was asked for otherwise', async (t) => {
  const stub = await startGroup(t, [page(record(0)), page(record(0))]);
  await run(stub, {}, () => true);
  await run(stub, { limit: 7, waitMs: 100 }, () => true);
  assert.deepEqual(stub.lines(), [
    'GET /topics/order.placed/consume?group=g&wait_ms=20000', 'GET /topics/order.placed/consume?group=g&limit=7&wait_ms=100',
  ]);
});

test('a commit bears a name under which nothing was handed out: it is about its page alone, and takes nobody back', async (t) => {
  const stub = await startGroup(t, [cut(), page(record(100)), page(record(101)), page(record(102)), page(record(103))]);
  await run(stub, {}, ({ offset }) => offset === 101);
  await run(stub, {}, ({ offset }) => offset === 103);
  const reads = stub.requests.filter(({ method }) => method === 'GET');
  assert.ok(reads.every(({ url }) => !url.includes('worker')), 'what was handed out with a lost answer must not be committed with the next page');
  const [first, second, ...more] = stub.requests.filter(({ method }) => method === 'POST').map(({ body }) => body.worker);
  assert.match(first, /^[0-9a-f-]{36}$/);
  assert.match(second, /^[0-9a-f-]{36}$/);
  assert.notEqual(first, second);
  assert.deepEqual(more, []);
});

test('patterns are encoded', async (t) => {
  const stub = await startGroup(t, [page(record(0))]);
  for await (const _ of stub.client().stream.topics.subscribe('a b/**.failed', { group: 'g' })) break;
  assert.match(stub.lines()[0], /^GET \/topics\/a%20b%2F\*\*\.failed\/consume\?/);
});

test('records are plain', async (t) => {
  const stub = await startGroup(t, [page(record(0, { key: 'k', value: { a_b: 1 }, headers: { c_d: 'x' } }))]);
  for await (const each of stub.client().stream.topics.subscribe('order.placed', { group: 'g' })) {
    assert.deepEqual(each, {
      topic: 'order.placed', partition: 0, offset: 0, value: { a_b: 1 }, timestamp: '2026-01-02T03:04:05Z', key: 'k', headers: { c_d: 'x' },
    });
    break;
  }
});

test('what passes is waited out, beyond maxRetries', async (t) => {
  const failures = [cut(), error(429), error(503), error(502), error(504)];
  const stub = await startGroup(t, [...failures, page(record(0)), page(record(1))], [cut(), error(503), error(429), cut(), error(504)]);
  assert.deepEqual(await run(stub, {}, ({ offset }) => offset === 1), [0, 1]);
  assert.deepEqual(stub.commits, ['g: order.placed-0@1']);
});

test('what does not pass ends the loop', async (t) => {
  const stub = await startGroup(t, [error(403)]);
  await assert.rejects(run(stub, {}), ForbiddenError);
  assert.deepEqual(stub.log, ['consume']);
});

test('500 again and again ends the loop', async (t) => {
  const stub = await startGroup(t, Array(10).fill(error(500)));
  await assert.rejects(run(stub, {}), { status: 500 });
  assert.equal(stub.log.length, 4);
});

test('empty pages that come at once are not asked for at full speed', async (t) => {
  const stub = await startGroup(t, [page(), page(), page(record(0))]);
  await run(stub, { waitMs: 0 }, () => true);
  const [first, second, third] = stub.requests.map(({ atMs }) => atMs);
  assert.ok(second - first >= 240 && third - second >= 240, `${second - first} ms, ${third - second} ms`);
});

test('an abort while waiting ends the loop quietly, and the request', async (t) => {
  const stub = await startGroup(t, []);
  const controller = new AbortController();
  const arrival = stub.arrival();
  const ended = run(stub, { signal: controller.signal });
  const seen = await arrival;
  controller.abort();
  assert.deepEqual(await ended, []);
  await seen.closed;
  assert.deepEqual(stub.log, ['consume']);
});

test('an abort in the body commits the record, as its body was completed, and ends the loop', async (t) => {
  const stub = await startGroup(t, [page(record(0), record(1), record(2))]);
  const controller = new AbortController();
  const seen = await run(stub, { signal: controller.signal }, ({ offset }) => { if (offset === 1) controller.abort(); });
  assert.deepEqual(seen, [0, 1]);
  assert.deepEqual(stub.commits, ['g: order.placed-0@2']);
});

test('an abort while a commit is retried gives it one more chance', async (t) => {
  const controller = new AbortController();
  const abortAndCut = (request) => {
    controller.abort();
    request.socket.destroy();
  };
  const stub = await startGroup(t, [page(record(0), record(1, { partition: 1 }), record(2, { partition: 2 }))], [undefined, abortAndCut]);
  assert.deepEqual(await run(stub, { signal: controller.signal }), [0, 1, 2]);
  assert.deepEqual(stub.log, ['consume', 'commit order.placed-0@1', 'commit order.placed-1@2', 'commit order.placed-1@2', 'commit order.placed-2@3']);
});

test('the last commit gives up in the end', async (t) => {
  const stub = await startGroup(t, [page(record(0), record(1))], Array(20).fill(cut()));
  await assert.rejects(run(stub, {}, ({ offset }) => offset === 1), ConnectionError);
  assert.equal(stub.log.length, 1 + 4);
});

test('a signal that is already aborted asks for nothing', async (t) => {
  const stub = await startGroup(t, [page(record(0))]);
  assert.deepEqual(await run(stub, { signal: AbortSignal.abort() }), []);
  assert.deepEqual(stub.log, []);
});

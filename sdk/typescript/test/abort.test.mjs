// Goal: a call ends when its signal is aborted or its time is up, and leaves nothing behind. Method: a stub server that does not answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fourbyfour, TimeoutError } from '@fourbyfour/sdk';
import { onAbort } from '../dist/esm/abort.js';
import { Deadline } from '../dist/esm/deadline.js';
import { chunks, error, json, page, silence, startStub } from './stub.mjs';

const CALLS = {
  create: (client, options) => client.stream.topics.create({ name: 'a' }, options),
  list: (client, options) => client.stream.topics.list(options),
  get: (client, options) => client.stream.topics.get('a', options),
  delete: (client, options) => client.stream.topics.delete('a', options),
  stats: (client, options) => client.stream.topics.stats('a', options),
  produce: (client, options) => client.stream.topics.produce('a', { value: 1 }, options),
  produceBatch: (client, options) => client.stream.topics.produceBatch('a', [{ value: 1 }], options),
  consume: (client, options) => client.stream.topics.consume('a', { group: 'g', ...options }),
  commit: (client, options) => client.stream.topics.commit('a', { group: 'g', partition: 0, offset: 0 }, options),
  resetGroup: (client, options) => client.stream.topics.resetGroup('a', 'g', { to: 'latest' }, options),
  createEndpoint: (client, options) => client.hooks.createEndpoint({ name: 'a', url: 'http://a.test' }, options),
  listEndpoints: (client, options) => client.hooks.listEndpoints(options),
  deleteEndpoint: (client, options) => client.hooks.deleteEndpoint('a', options),
  getDeliveries: (client, options) => client.hooks.getDeliveries('a', options),
  send: (client, options) => client.hooks.send({ eventType: 'a', payload: 1 }, options),
  hookStats: (client, options) => client.hooks.stats(options),
};

for (const [name, call] of Object.entries(CALLS)) {
  test(`${name} ends when its signal is aborted, with the signal's reason`, async (t) => {
    const stub = await startStub(t, silence());
    const controller = new AbortController();
    const arrival = stub.arrival();
    const outcome = assert.rejects(call(stub.client(), { signal: controller.signal }), (thrown) => thrown === controller.signal.reason);
    const seen = await arrival;
    controller.abort();
    await outcome;
    await seen.closed;
    assert.equal(stub.requests.length, 1);
  });
}

test('the reason of an abort is an AbortError, unless the caller gave another', async (t) => {
  const stub = await startStub(t, silence());
  const controller = new AbortController();
  const arrival = stub.arrival();
  const outcome = assert.rejects(stub.client().stream.topics.list({ signal: controller.signal }), { name: 'AbortError' });
  await arrival;
  controller.abort();
  await outcome;
});

test('a signal that is already aborted sends nothing', async (t) => {
  const stub = await startStub(t, json({ topics: [] }));
  const reason = new Error('enough');
  await assert.rejects(stub.client().stream.topics.list({ signal: AbortSignal.abort(reason) }), reason);
  assert.deepEqual(stub.requests, []);
});

test('an abort ends the pause before a retry', async (t) => {
  const stub = await startStub(t, error(429, 'RATE_LIMIT_EXCEEDED', 'x', { 'retry-after': '30' }));
  const controller = new AbortController();
  const startedAtMs = Date.now();
  const outcome = assert.rejects(stub.client().stream.topics.list({ signal: controller.signal }), { name: 'AbortError' });
  setTimeout(() => controller.abort(), 100);
  await outcome;
  assert.ok(Date.now() - startedAtMs < 5000);
});

test('an abort ends a body that is being read', async (t) => {
  const stub = await startStub(t, chunks(['{"topics":'], () => {}));
  const controller = new AbortController();
  const outcome = assert.rejects(stub.client().stream.topics.list({ signal: controller.signal }), { name: 'AbortError' });
  setTimeout(() => controller.abort(), 100);
  await outcome;
});

test('no answer in time is a time-out that says what and how long', async (t) => {
  const stub = await startStub(t, silence());
  await assert.rejects(stub.client({ timeoutMs: 50, maxRetries: 0 }).stream.topics.list(), (thrown) => {
    assert.ok(thrown instanceof TimeoutError);
    assert.equal(thrown.code, 'TIMEOUT');
    assert.match(thrown.message, /GET \/topics at http:\S+ had no answer after 50 ms/);
    return true;
  });
  await stub.requests[0].closed;
});

test('a body that does not end in time is a time-out', async (t) => {
  const stub = await startStub(t, chunks(['{"topics":'], () => {}));
  await assert.rejects(stub.client({ timeoutMs: 100, maxRetries: 0 }).stream.topics.list(), TimeoutError);
});

test('head and body of an answer share one time-out', async (t) => {
  const stub = await startStub(t, (_request, response) => setTimeout(() => response.writeHead(200).write('{"topics":'), 300));
  const startedAtMs = Date.now();
  await assert.rejects(stub.client({ timeoutMs: 400, maxRetries: 0 }).stream.topics.list(), TimeoutError);
  assert.ok(Date.now() - startedAtMs < 600);
});

test('a long poll has its waiting time on top', async (t) => {
  const late = (request, response) => setTimeout(() => page()(request, response), 300);
  const stub = await startStub(t, late);
  const client = stub.client({ timeoutMs: 100, maxRetries: 0 });
  await client.stream.topics.consume('a', { group: 'g', waitMs: 1000 });
  await assert.rejects(client.stream.topics.consume('a', { group: 'g', waitMs: 50 }), TimeoutError);
});

test('a time-out of Infinity is none', async (t) => {
  const late = (request, response) => setTimeout(() => json({ topics: [] })(request, response), 50);
  const stub = await startStub(t, late);
  assert.deepEqual(await stub.client({ timeoutMs: Infinity }).stream.topics.list(), []);
});

test('a signal that is in many calls at once causes no warning', async (t) => {
  const stub = await startStub(t, json({ topics: [] }));
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning.name);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 40 }, () => stub.client().stream.topics.list({ signal })));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
});

test('an abort ends every call that has the signal', async (t) => {
  const stub = await startStub(t, silence());
  const controller = new AbortController();
  const calls = Array.from({ length: 5 }, () => stub.client().stream.topics.list({ signal: controller.signal }));
  const outcomes = Promise.allSettled(calls);
  setTimeout(() => controller.abort(), 100);
  for (const { reason } of await outcomes) assert.equal(reason, controller.signal.reason);
});

test('what a call leaves behind under its signal is ended with it', async (t) => {
  let given;
  t.mock.method(globalThis, 'fetch', async (_url, { signal }) => {
    given = signal;
    return new Response('{"topics":[]}');
  });
  await new Fourbyfour().stream.topics.list();
  assert.ok(given.aborted);
});

test('a deadline that is closed is forgotten by the caller\'s signal', (t) => {
  let aborts = 0;
  const controller = new AbortController();
  t.mock.method(AbortController.prototype, 'abort', function () { if (this !== controller) aborts += 1; });
  new Deadline(controller.signal).close();
  assert.equal(aborts, 1);
  t.mock.restoreAll();
  t.mock.method(AbortController.prototype, 'abort', function () { aborts += 1; });
  controller.signal.dispatchEvent(new Event('abort'));
  assert.equal(aborts, 1);
});

test('a deadline that has passed waits for nothing more', async () => {
  const controller = new AbortController();
  const deadline = new Deadline(controller.signal);
  controller.abort();
  await assert.rejects(deadline.within(Infinity, () => new Error('late'), new Promise(() => {})), { name: 'AbortError' });
});

test('calls that are over are forgotten by their signal', async () => {
  const controller = new AbortController();
  const called = [];
  const forget = onAbort(controller.signal, () => called.push('over'));
  onAbort(controller.signal, () => called.push('running'));
  forget();
  controller.abort();
  assert.deepEqual(called, ['running']);
});

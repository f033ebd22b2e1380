// Goal: what is sent again, how often, when, and with which idempotency key. Method: the pure parts with given clocks and dice; the rest
// against a stub server, whose first answers are failures.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionError, InternalError, RateLimitError, TimeoutError } from '@fourbyfour/sdk';
import { retryAfterMs, retryDelayMs } from '../dist/esm/retry.js';
import { newId } from '../dist/esm/ids.js';
import { cut, empty, error, json, page, silence, startStub } from './stub.mjs';

const PRODUCED = json({ topic: 'a', partition: 0, offset: 0, timestamp: '' });
const NOW_MS = Date.UTC(2026, 0, 1);

test('Retry-After is read in both of its forms', () => {
  for (const [header, expected] of [
    [null, undefined], ['', undefined], ['soon', undefined], ['0', 0], ['3', 3000], ['0.5', 500], ['-1', 0],
    ['Thu, 01 Jan 2026 00:00:07 GMT', 7000], ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
  ]) {
    assert.equal(retryAfterMs(header, NOW_MS), expected, `Retry-After: ${header}`);
  }
});

test('the pause doubles, with jitter below, up to a cap', () => {
  const failure = new ConnectionError('x');
  const most = (retries) => retryDelayMs(failure, retries, 'persistent', 3, () => 1);
  assert.deepEqual([0, 1, 2, 3].map(most), [100, 200, 400, 800]);
  assert.equal(most(50), 10_000);
  assert.equal(most(5000), 10_000);
  assert.equal(retryDelayMs(failure, 2, 'safe', 3, () => 0), 200);
});

test('Retry-After is a lower bound, with jitter above', () => {
  const failure = new RateLimitError('x', { retryAfterMs: 5000 });
  assert.equal(retryDelayMs(failure, 1, 'safe', 3, () => 0), 5000);
  assert.equal(retryDelayMs(failure, 1, 'safe', 3, () => 1), 5200);
});

test('a Retry-After of more than a minute is left to the caller, except in loops', () => {
  const failure = new RateLimitError('x', { retryAfterMs: 3_600_000 });
  assert.equal(retryDelayMs(failure, 0, 'safe', 3, () => 0), undefined);
  assert.equal(retryDelayMs(failure, 0, 'persistent', 3, () => 0), 3_600_000);
});

test('each rule retries what it can bear', () => {
  const failures = {
    connection: new ConnectionError('x'),
    timeout: new TimeoutError('x'),
    429: new RateLimitError('x'),
    ...Object.fromEntries([500, 501, 502, 503, 504].map((status) => [status, new InternalError('x', { status })])),
    typeError: new TypeError('x'),
  };
  const retried = (rule, retries) => Object.keys(failures).filter((name) => retryDelayMs(failures[name], retries, rule, 3) !== undefined).sort();
  const all = ['429', '500', '502', '503', '504', 'connection', 'timeout'];
  assert.deepEqual(retried('safe', 2), all);
  assert.deepEqual(retried('safe', 3), []);
  assert.deepEqual(retried('create', 2), ['429', '503', 'connection', 'timeout']);
  assert.deepEqual(retried('refused', 2), ['429']);
  assert.deepEqual(retried('refused', 3), []);
  assert.deepEqual(retried('persistent', 2), all);
  assert.deepEqual(retried('persistent', 1000), all.filter((name) => name !== '500'));
});

test('keys are unique where crypto is missing, too', (t) => {
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, 'crypto');
  Object.defineProperty(globalThis, 'crypto', { value: undefined, configurable: true, writable: true });
  t.after(() => descriptor ? Object.defineProperty(globalThis, 'crypto', descriptor) : delete globalThis.crypto);
  const keys = new Set(Array.from({ length: 1000 }, newId));
  assert.equal(keys.size, 1000);
  for (const key of keys) assert.match(key, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

for (const [method, call] of [
  ['produce', (topics) => topics.produce('a', { value: 1 })],
  ['produceBatch', (topics) => topics.produceBatch('a', [{ value: 1 }])],
]) {
  for (const [what, failure] of [['a cut', cut()], ['429', error(429)], ['500', error(500)], ['502', error(502)], ['503', error(503)], ['504', error(504)]]) {
    test(`${method} after ${what} is sent again, the same, with the same idempotency key`, async (t) => {
      const stub = await startStub(t, failure, failure, PRODUCED);
      await call(stub.client().stream.topics);
      assert.equal(stub.requests.length, 3);
      assert.equal(new Set(stub.requests.map(({ headers }) => headers['idempotency-key'])).size, 1);
      assert.equal(new Set(stub.requests.map(({ text }) => text)).size, 1);
      assert.ok(stub.requests[0].headers['idempotency-key']);
    });
  }
}

test('produce after a time-out is sent again with the same idempotency key', async (t) => {
  const stub = await startStub(t, silence(), PRODUCED);
  await stub.client({ timeoutMs: 100 }).stream.topics.produce('a', { value: 1 });
  assert.equal(stub.requests.length, 2);
  assert.equal(stub.requests[0].headers['idempotency-key'], stub.requests[1].headers['idempotency-key']);
});

test('maxRetries bounds the retries, and the last failure is thrown', async (t) => {
  const stub = await startStub(t, error(503), cut(), error(500, 'LAST'));
  await assert.rejects(stub.client({ maxRetries: 2 }).stream.topics.list(), { name: 'InternalError', code: 'LAST' });
  assert.equal(stub.requests.length, 3);
});

test('by default there are three retries', async (t) => {
  const stub = await startStub(t, cut());
  await assert.rejects(stub.client().stream.topics.delete('a'), ConnectionError);
  assert.equal(stub.requests.length, 4);
});

test('maxRetries of 0 means none', async (t) => {
  const stub = await startStub(t, error(503));
  await assert.rejects(stub.client({ maxRetries: 0 }).stream.topics.list(), InternalError);
  assert.equal(stub.requests.length, 1);
});

for (const status of [400, 401, 403, 404, 409, 422, 501]) {
  test(`${status} is not retried`, async (t) => {
    const stub = await startStub(t, error(status));
    await assert.rejects(stub.client().stream.topics.produce('a', { value: 1 }), { status });
    assert.equal(stub.requests.length, 1);
  });
}

test('Retry-After is honoured', async (t) => {
  const stub = await startStub(t, error(429, 'RATE_LIMIT_EXCEEDED', 'x', { 'retry-after': '1' }), PRODUCED);
  await stub.client().stream.topics.produce('a', { value: 1 });
  const pauseMs = stub.requests[1].atMs - stub.requests[0].atMs;
  assert.ok(pauseMs >= 1000, `retried after ${pauseMs} ms`);
});

test('a rate limit that is not waited out tells how long it is', async (t) => {
  const stub = await startStub(t, error(429, 'RATE_LIMIT_EXCEEDED', 'slow down', { 'retry-after': '120' }));
  await assert.rejects(stub.client().stream.topics.list(), (thrown) => thrown instanceof RateLimitError && thrown.retryAfterMs === 120_000);
  assert.equal(stub.requests.length, 1);
});

test('create is sent again after a cut and a refusal, but not after 500', async (t) => {
  const stub = await startStub(t, cut(), error(503), error(429), error(500));
  await assert.rejects(stub.client().stream.topics.create({ name: 'a' }), { status: 500 });
  assert.equal(stub.requests.length, 4);
});

test('consume is sent again after a cut', async (t) => {
  const stub = await startStub(t, cut(), page());
  await stub.client().stream.topics.consume('a', { group: 'g' });
  assert.equal(stub.requests.length, 2);
});

for (const option of [{ autoCommit: true }, { worker: 'w' }]) {
  test(`consume with ${JSON.stringify(option)} is not sent again after a cut: it, or a commit, would commit what was lost`, async (t) => {
    const stub = await startStub(t, error(429), cut());
    await assert.rejects(stub.client().stream.topics.consume('a', { group: 'g', ...option }), ConnectionError);
    assert.equal(stub.requests.length, 2);
  });
}

test('commit is sent again after a cut', async (t) => {
  const stub = await startStub(t, cut(), empty(204));
  await stub.client().stream.topics.commit('a', { group: 'g', partition: 0, offset: 1 });
  assert.equal(stub.requests.length, 2);
});

test('resetGroup is not sent again after a cut, but after a refusal', async (t) => {
  const stub = await startStub(t, error(429), cut());
  await assert.rejects(stub.client().stream.topics.resetGroup('a', 'g', { to: 'latest' }), ConnectionError);
  assert.equal(stub.requests.length, 2);
});

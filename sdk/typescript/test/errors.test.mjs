// Goal: an answer that is no success becomes the right error, with a message for people. Method: a stub server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as sdk from '@fourbyfour/sdk';
import { cut, error, json, startStub, text } from './stub.mjs';

const { ConnectionError, FourbyfourError, InternalError } = sdk;
const list = (stub) => stub.client({ maxRetries: 0 }).stream.topics.list();

for (const [status, name, defaultCode] of [
  [400, 'ValidationError', 'VALIDATION_ERROR'],
  [422, 'ValidationError', 'VALIDATION_ERROR'],
  [401, 'AuthenticationError', 'UNAUTHORIZED'],
  [403, 'ForbiddenError', 'FORBIDDEN'],
  [404, 'NotFoundError', 'NOT_FOUND'],
  [409, 'ConflictError', 'CONFLICT'],
  [429, 'RateLimitError', 'RATE_LIMIT_EXCEEDED'],
  [500, 'InternalError', 'INTERNAL_ERROR'],
  [503, 'InternalError', 'INTERNAL_ERROR'],
  [418, 'FourbyfourError', 'UNKNOWN_ERROR'],
]) {
  test(`${status} is a ${name}`, async (t) => {
    const stub = await startStub(
      t, error(status, 'TOLD', 'topic "a": what to do', { 'x-request-id': 'r-1' }), json({}, status), json({ error: 'odd' }, status),
    );
    await assert.rejects(list(stub), (thrown) => {
      assert.equal(thrown.constructor, sdk[name]);
      assert.ok(thrown instanceof FourbyfourError && thrown instanceof Error);
      const { name: shown, status: of, code, message, requestId } = thrown;
      assert.deepEqual({ shown, of, code, message, requestId }, {
        shown: name, of: status, code: 'TOLD', message: 'topic "a": what to do', requestId: 'r-1',
      });
      assert.ok(thrown.stack.startsWith(`${name}: topic`));
      return true;
    });
    for (const _ of ['no error in the JSON', 'an error that is no object']) {
      await assert.rejects(list(stub), { name, status, code: defaultCode, requestId: undefined, message: new RegExp(`GET /topics answered ${status}`) });
    }
  });
}

test('a body that is no JSON is told, if it is for people', async (t) => {
  const stub = await startStub(t, text('upstream\n  is away', 502), text('<html><h1>Bad Gateway</h1></html>', 502), text('', 502), text('x'.repeat(5000), 502));
  await assert.rejects(list(stub), { name: 'InternalError', status: 502, message: 'GET /topics answered 502 Bad Gateway: upstream is away' });
  await assert.rejects(list(stub), { message: 'GET /topics answered 502 Bad Gateway' });
  await assert.rejects(list(stub), { message: 'GET /topics answered 502 Bad Gateway' });
  await assert.rejects(list(stub), (thrown) => thrown.message.length < 300);
});

test('an error whose body breaks off still has its status', async (t) => {
  const stub = await startStub(t, (_request, response) => {
    response.writeHead(500, { 'content-length': 100 });
    response.write('{"error":');
    response.socket.destroySoon();
  });
  await assert.rejects(list(stub), (thrown) => thrown instanceof InternalError && thrown.status === 500);
});

test('a success that is no JSON says what to check', async (t) => {
  const stub = await startStub(t, text('<html>hello', 200));
  await assert.rejects(list(stub), { name: 'FourbyfourError', code: 'INVALID_RESPONSE', status: 200, message: /"<html>hello" instead of JSON; check that baseUrl/ });
});

test('a redirect is not followed but told', async (t) => {
  const stub = await startStub(t, text('', 308, { location: 'https://stream.test/topics' }));
  await assert.rejects(list(stub), { name: 'FourbyfourError', status: 308, message: /redirect|https:\/\/stream\.test\/topics; set baseUrl/i });
  assert.equal(stub.requests.length, 1);
});

test('a server that is not there is a connection error that names it and the cause', async (t) => {
  const stub = await startStub(t, cut());
  await stub.stop();
  await assert.rejects(list(stub), (thrown) => {
    assert.ok(thrown instanceof ConnectionError);
    assert.equal(thrown.code, 'CONNECTION_ERROR');
    assert.equal(thrown.status, undefined);
    assert.ok(thrown.message.startsWith(`GET /topics at ${stub.baseUrl} got no answer: connect ECONNREFUSED`), thrown.message);
    assert.match(thrown.message, /; check that the server runs and that baseUrl is its address$/);
    assert.ok(thrown.cause instanceof Error);
    return true;
  });
});

test('a connection that breaks is a connection error', async (t) => {
  const stub = await startStub(t, cut());
  await assert.rejects(list(stub), ConnectionError);
});

test('a body that breaks off is a connection error', async (t) => {
  const stub = await startStub(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('{"topics":');
    setTimeout(() => response.socket.destroy(), 20);
  });
  await assert.rejects(list(stub), ConnectionError);
});

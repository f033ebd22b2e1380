// Goal: options, environment and paths. Method: a stub server, and constructors that must refuse.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import { Fourbyfour, ValidationError } from '@fourbyfour/sdk';
import { json, startStub } from './stub.mjs';

const TOPICS = json({ topics: [] });
const VARIABLES = ['FOURBYFOUR_BASE_URL', 'FOURBYFOUR_API_KEY', 'FOURBYFOUR_PROJECT_ID'];

/** Sets the environment for one test; what it does not name is absent. */
function withEnvironment(t, variables) {
  const before = VARIABLES.map((name) => [name, process.env[name]]);
  for (const name of VARIABLES) delete process.env[name];
  Object.assign(process.env, variables);
  t.after(() => {
    for (const [name, value] of before) value === undefined ? delete process.env[name] : (process.env[name] = value);
  });
}

for (const [what, options] of [
  ['no address', { baseUrl: 'localhost' }],
  ['an empty address', { baseUrl: '' }],
  ['another scheme', { baseUrl: 'kafka://127.0.0.1:9092' }],
  ['a password in the address', { baseUrl: 'http://a:b@127.0.0.1' }],
  ['a query in the address', { baseUrl: 'http://127.0.0.1/?x=1' }],
  ['a key with a line break', { apiKey: 'a\nb' }],
  ['a project that climbs', { projectId: '..' }],
  ['no time', { timeoutMs: 0 }],
  ['a time that is no number', { timeoutMs: NaN }],
  ['negative retries', { maxRetries: -1 }],
]) {
  test(`the constructor refuses ${what}`, () => {
    assert.throws(() => new Fourbyfour(options), ValidationError);
  });
}

test('a key that is refused is not printed', () => {
  assert.throws(() => new Fourbyfour({ apiKey: 'sec\nret' }), (error) => !error.message.includes('sec'));
});

test('a printed client does not show its key', () => {
  assert.ok(!inspect(new Fourbyfour({ apiKey: 'secret-1' }), { depth: null, showHidden: true }).includes('secret-1'));
});

test('without a project, paths are at the root', async (t) => {
  withEnvironment(t, {});
  const stub = await startStub(t, TOPICS);
  await stub.client().stream.topics.list();
  assert.deepEqual(stub.lines(), ['GET /topics']);
});

test('with a project, paths begin with it, encoded', async (t) => {
  const stub = await startStub(t, TOPICS, json({ endpoints: [] }));
  const client = stub.client({ projectId: 'my project/1' });
  await client.stream.topics.list();
  await client.hooks.listEndpoints();
  assert.deepEqual(stub.lines(), ['GET /projects/my%20project%2F1/topics', 'GET /projects/my%20project%2F1/webhooks/endpoints']);
});

test('the environment stands in for options', async (t) => {
  const stub = await startStub(t, TOPICS);
  withEnvironment(t, { FOURBYFOUR_BASE_URL: stub.baseUrl, FOURBYFOUR_API_KEY: 'key-env', FOURBYFOUR_PROJECT_ID: 'p-env' });
  await new Fourbyfour().stream.topics.list();
  assert.deepEqual(stub.lines(), ['GET /projects/p-env/topics']);
  assert.equal(stub.requests[0].headers.authorization, 'Bearer key-env');
});

test('options win over the environment', async (t) => {
  const stub = await startStub(t, TOPICS);
  withEnvironment(t, { FOURBYFOUR_BASE_URL: 'http://127.0.0.1:1', FOURBYFOUR_API_KEY: 'key-env', FOURBYFOUR_PROJECT_ID: 'p-env' });
  await new Fourbyfour({ baseUrl: stub.baseUrl, apiKey: 'key-1', projectId: '' }).stream.topics.list();
  assert.deepEqual(stub.lines(), ['GET /topics']);
  assert.equal(stub.requests[0].headers.authorization, 'Bearer key-1');
});

test('the default address is 127.0.0.1:8080', async (t) => {
  withEnvironment(t, { FOURBYFOUR_BASE_URL: '' });
  const asked = [];
  t.mock.method(globalThis, 'fetch', async (url) => {
    asked.push(url);
    return new Response('{"topics":[]}');
  });
  await new Fourbyfour().stream.topics.list();
  assert.deepEqual(asked, ['http://127.0.0.1:8080/topics']);
});

test('without a key no authorization is sent', async (t) => {
  withEnvironment(t, {});
  const stub = await startStub(t, TOPICS);
  await new Fourbyfour({ baseUrl: stub.baseUrl }).stream.topics.list();
  assert.equal(stub.requests[0].headers.authorization, undefined);
});

test('a base URL may have a path and trailing slashes', async (t) => {
  const stub = await startStub(t, TOPICS);
  await stub.client({ baseUrl: `${stub.baseUrl}/events//` }).stream.topics.list();
  assert.deepEqual(stub.lines(), ['GET /events/topics']);
});

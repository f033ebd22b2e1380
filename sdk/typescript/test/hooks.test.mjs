// Goal: what each method of hooks sends and gives. Method: a stub server that keeps the requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionError } from '@fourbyfour/sdk';
import { cut, empty, error, json, startStub } from './stub.mjs';

const WIRE_ENDPOINT = {
  endpoint_id: 'e-1', name: 'crm', url: 'https://crm.test/in', secret: 'whsec_x', events: ['order.*'], enabled: true, created_at: '2026-01-01T00:00:00Z',
};
const ENDPOINT = {
  endpointId: 'e-1', name: 'crm', url: 'https://crm.test/in', secret: 'whsec_x', events: ['order.*'], enabled: true, createdAt: '2026-01-01T00:00:00Z',
};

test('createEndpoint leaves metadata as it is', async (t) => {
  const stub = await startStub(t, json(WIRE_ENDPOINT));
  const asked = { name: 'crm', url: 'https://crm.test/in', events: ['order.*'], description: 'd', metadata: { team_id: '1', teamId: '2' } };
  assert.deepEqual(await stub.client().hooks.createEndpoint(asked), ENDPOINT);
  assert.deepEqual(stub.lines(), ['POST /webhooks/endpoints']);
  assert.deepEqual(stub.requests[0].body, asked);
});

test('createEndpoint leaves the rest to the server', async (t) => {
  const stub = await startStub(t, json(WIRE_ENDPOINT));
  await stub.client().hooks.createEndpoint({ name: 'crm', url: 'https://crm.test/in' });
  assert.deepEqual(stub.requests[0].body, { name: 'crm', url: 'https://crm.test/in' });
});

test('listEndpoints', async (t) => {
  const stub = await startStub(t, json({ endpoints: [WIRE_ENDPOINT] }));
  assert.deepEqual(await stub.client().hooks.listEndpoints(), [ENDPOINT]);
  assert.deepEqual(stub.lines(), ['GET /webhooks/endpoints']);
});

test('deleteEndpoint', async (t) => {
  const stub = await startStub(t, empty(204));
  await stub.client().hooks.deleteEndpoint('a/b');
  assert.deepEqual(stub.lines(), ['DELETE /webhooks/endpoints/a%2Fb']);
});

test('getDeliveries', async (t) => {
  const wire = { delivery_id: 'd-1', endpoint_name: 'crm', event_type: 'order.placed', status: 'failed', retry_count: 2, created_at: 'c' };
  const stub = await startStub(t, json({
    deliveries: [{ ...wire, response_status_code: 500, duration_ms: 12, error_message: 'no' }, { ...wire, duration_ms: null }],
  }));
  const common = { deliveryId: 'd-1', endpointName: 'crm', eventType: 'order.placed', status: 'failed', retryCount: 2, createdAt: 'c' };
  assert.deepEqual(await stub.client().hooks.getDeliveries('a/b'), [
    { ...common, responseStatusCode: 500, durationMs: 12, errorMessage: 'no' }, common,
  ]);
  assert.deepEqual(stub.lines(), ['GET /webhooks/endpoints/a%2Fb/deliveries']);
});

test('send leaves the payload as it is', async (t) => {
  const stub = await startStub(t, json({ event_id: 'v-1', deliveries: [{ delivery_id: 'd-1', endpoint_name: 'crm', status: 'pending' }] }));
  const payload = { event_type: 1, eventType: 2 };
  assert.deepEqual(await stub.client().hooks.send({ eventType: 'order.placed', payload, endpoints: ['crm'] }), {
    eventId: 'v-1', deliveries: [{ deliveryId: 'd-1', endpointName: 'crm', status: 'pending' }],
  });
  assert.deepEqual(stub.lines(), ['POST /webhooks']);
  assert.deepEqual(stub.requests[0].body, { event_type: 'order.placed', payload, endpoints: ['crm'] });
});

test('send is not repeated after a lost answer, but after a refusal', async (t) => {
  const stub = await startStub(t, cut(), error(429), json({ event_id: 'v-1', deliveries: [] }));
  const { hooks } = stub.client();
  await assert.rejects(hooks.send({ eventType: 'a', payload: 1 }), ConnectionError);
  assert.equal(stub.requests.length, 1);
  await hooks.send({ eventType: 'a', payload: 1 });
  assert.equal(stub.requests.length, 3);
});

test('stats by endpoint, whatever the endpoints are called', async (t) => {
  const wire = { deliveries: 2, successful: 1, failed: 1, success_rate: 0.5, avg_duration_ms: 3.5 };
  const own = { deliveries: 2, successful: 1, failed: 1, successRate: 0.5, avgDurationMs: 3.5 };
  const stub = await startStub(t, json({
    tenant_id: 't', by_endpoint: { my_crm: wire }, total_deliveries: 2, successful_deliveries: 1, failed_deliveries: 1, success_rate: 0.5, avg_duration_ms: 3.5,
  }));
  assert.deepEqual(await stub.client().hooks.stats(), {
    tenantId: 't', byEndpoint: { my_crm: own }, totalDeliveries: 2, successfulDeliveries: 1, failedDeliveries: 1, successRate: 0.5, avgDurationMs: 3.5,
  });
  assert.deepEqual(stub.lines(), ['GET /webhooks/stats']);
});

test('an endpoint has what the server says of it, and no more', async (t) => {
  const stub = await startStub(t, json({
    ...WIRE_ENDPOINT, description: null, metadata: { team_id: '1' }, filters: { headers: {}, data: { '/a_b': 1 } }, ordered: true, timeout_ms: 500, group: 'hooks.crm',
    disabled_reason: 'gone', previous_secret_expires_at: 'p',
  }));
  assert.deepEqual(await stub.client().hooks.getEndpoint('crm'), {
    ...ENDPOINT, metadata: { team_id: '1' }, filters: { headers: {}, data: { '/a_b': 1 } }, ordered: true, timeoutMs: 500, group: 'hooks.crm',
    disabledReason: 'gone', previousSecretExpiresAt: 'p',
  });
  assert.deepEqual(stub.lines(), ['GET /webhooks/endpoints/crm']);
});

test('updateEndpoint sends what is to be changed, null where a field is to go', async (t) => {
  const stub = await startStub(t, json(WIRE_ENDPOINT));
  await stub.client().hooks.updateEndpoint('crm', { events: ['a'], timeoutMs: null });
  assert.deepEqual(stub.lines(), ['PATCH /webhooks/endpoints/crm']);
  assert.deepEqual(stub.requests[0].body, { events: ['a'], timeout_ms: null });
});

test('enable, disable and rotateSecret', async (t) => {
  const stub = await startStub(t, json(WIRE_ENDPOINT), json(WIRE_ENDPOINT), json(WIRE_ENDPOINT));
  const { hooks } = stub.client();
  await hooks.enableEndpoint('crm');
  await hooks.disableEndpoint('crm');
  await hooks.rotateSecret('crm', { overlapMs: 10 });
  assert.deepEqual(stub.lines(), [
    'POST /webhooks/endpoints/crm/enable', 'POST /webhooks/endpoints/crm/disable', 'POST /webhooks/endpoints/crm/rotate-secret',
  ]);
  assert.deepEqual(stub.requests[2].body, { overlap_ms: 10 });
});

test('replay by time, status or delivery', async (t) => {
  const answer = { ranges: 1, events: 2 };
  const stub = await startStub(t, json(answer), json(answer), json(answer));
  const { hooks } = stub.client();
  assert.deepEqual(await hooks.replay('crm', { from: new Date(0) }), answer);
  await hooks.replay('crm', { status: 'failed' });
  await hooks.replay('crm', { deliveryId: 'msg_1' });
  assert.deepEqual(stub.requests.map((request) => request.body), [
    { from: '1970-01-01T00:00:00.000Z' }, { status: 'failed' }, { delivery_id: 'msg_1' },
  ]);
});

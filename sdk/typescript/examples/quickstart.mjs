// The quick start as the README prints it, against a server that runs (FOURBYFOUR_BASE_URL, default http://127.0.0.1:8080),
// and then a look at what came of it. Needs a topic `order.placed` not to exist yet.
import { Fourbyfour } from '@fourbyfour/sdk';
const client = new Fourbyfour({ apiKey: 'your-api-key', projectId: 'your-project-id' });
await client.stream.topics.create({ name: 'order.placed', partitions: 3 });
await client.stream.topics.produce('order.placed', { key: 'order-123', value: { orderId: '123', total: 99.99 } });
const { records } = await client.stream.topics.consume('order.placed', { group: 'checkout-service' });

console.log(records);
const [record] = records;
if (records.length !== 1 || record.key !== 'order-123' || record.value.orderId !== '123' || record.value.total !== 99.99) {
  throw new Error(`expected the one record that was produced, got ${records.length}: ${JSON.stringify(records)}`);
}
console.log('ok');

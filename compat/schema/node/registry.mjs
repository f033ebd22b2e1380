// KafkaJS's registry client, as it comes from npm.
//
//   registry.mjs check URL PREFIX < formats   registers, encodes, decodes and is refused in each format; says for each {type, subject, id, value}
//   registry.mjs decode URL < values          reads {type, value} and says {type, record}, of values that another client has written
//
// Input and output are one JSON array each; values are in base64. The exit status is 1, with the reason, when anything is not as it should be.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import confluent from '@kafkajs/confluent-schema-registry';

const { SchemaRegistry, SchemaType } = confluent;
const [command, host, prefix] = process.argv.slice(2);
const input = JSON.parse(readFileSync(0, 'utf8'));

// A client with empty caches, so that it has to ask.
const client = () => new SchemaRegistry({ host });

function refused(status, call) {
  return assert.rejects(call, (error) => {
    assert.equal(error.status, status, `status of “${error.message}”`);
    return true;
  });
}

async function check({ type, first, second, incompatible, record, newer }) {
  const subject = `${prefix}-${type}-value`;
  const schema = (text) => ({ type: SchemaType[type], schema: text });
  await refused(404, () => client().getLatestSchemaId(subject));
  // The client asks for the subject's level first and takes 404 for “none”; then it registers, and sets the level.
  const { id } = await client().register(schema(first), { subject });
  assert.equal((await client().register(schema(first), { subject })).id, id, `${type}: id when registered again`);
  const secondId = (await client().register(schema(second), { subject })).id;
  assert.notEqual(secondId, id, `${type}: ids of two schemas`);
  await refused(409, () => client().register(schema(incompatible), { subject }));
  assert.equal(await client().getLatestSchemaId(subject), secondId, `${type}: latest`);
  assert.equal(await client().getRegistryId(subject, 1), id, `${type}: id of version 1`);
  assert.equal(await client().getRegistryIdBySchema(subject, schema(first)), id, `${type}: id by schema`);
  await assert.rejects(() => client().getRegistryIdBySchema(subject, schema(incompatible)), { name: 'ConfluentSchemaRegistryError' });
  await assert.rejects(() => client().register(schema(first), { subject, compatibility: 'FULL' }), /Compatibility does not match/);
  await refused(404, () => client().getSchema(2_000_000_000));

  const value = await client().encode(id, record);
  assert.deepEqual(plain(await client().decode(value)), plain(record), `${type}: decoded`);
  assert.deepEqual(plain(await client().decode(await client().encode(secondId, newer))), plain(newer), `${type}: decoded, second version`);
  return { type, subject, id, value: value.toString('base64') };
}

// Without the libraries' classes, and with numbers as text, as protobufjs shows those of 64 bits.
function plain(record) {
  return JSON.parse(JSON.stringify(record), (_, value) => (typeof value === 'number' ? String(value) : value));
}

async function decode({ type, value }) {
  return { type, record: plain(await client().decode(Buffer.from(value, 'base64'))) };
}

const found = [];
for (const each of input) found.push(await { check, decode }[command](each));
console.log(JSON.stringify(found));

// Goal: the package is what is published: both module kinds, the files, the quick start. Method: other processes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as esm from '@fourbyfour/sdk';
import { json, page, record, startStub } from './stub.mjs';

const execute = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const read = (file) => readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');

test('require gives the same names as import', () => {
  const cjs = createRequire(import.meta.url)('@fourbyfour/sdk');
  assert.deepEqual(Object.keys(cjs).sort(), Object.keys(esm).sort());
  assert.ok(new cjs.Fourbyfour().stream.topics instanceof cjs.Topics);
});

test('there are no runtime dependencies', () => {
  const { dependencies, peerDependencies, optionalDependencies } = JSON.parse(read('package.json'));
  assert.deepEqual({ dependencies, peerDependencies, optionalDependencies }, {
    dependencies: undefined, peerDependencies: undefined, optionalDependencies: undefined,
  });
});

test('the package has dist, README, LICENSE and package.json, and nothing else', async () => {
  const { stdout } = await execute('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, shell: process.platform === 'win32' });
  const files = JSON.parse(stdout)[0].files.map(({ path }) => path);
  assert.deepEqual(files.filter((path) => !path.startsWith('dist/')).sort(), ['LICENSE', 'README.md', 'package.json']);
  for (const path of ['dist/esm/index.js', 'dist/esm/index.d.ts', 'dist/cjs/index.js', 'dist/cjs/index.d.ts', 'dist/cjs/package.json']) {
    assert.ok(files.includes(path), path);
  }
});

test('the quick start runs as printed', async (t) => {
  const stub = await startStub(
    t,
    json({ name: 'order.placed', partitions: 3, retention_hours: 168, created_at: '2026-01-01T00:00:00Z' }, 201),
    json({ topic: 'order.placed', partition: 0, offset: 0, timestamp: '2026-01-01T00:00:00Z' }),
    page(record(0, { key: 'order-123', value: { orderId: '123', total: 99.99 } })),
  );
  const { stdout } = await execute(process.execPath, ['examples/quickstart.mjs'], { cwd: root, env: { ...process.env, FOURBYFOUR_BASE_URL: stub.baseUrl } });
  assert.match(stdout, /orderId: '123'[^]*\nok\n$/);
  assert.deepEqual(stub.lines(), [
    'POST /projects/your-project-id/topics',
    'POST /projects/your-project-id/topics/order.placed/produce',
    'GET /projects/your-project-id/topics/order.placed/consume?group=checkout-service',
  ]);
});

test('the example and the README have the same quick start', () => {
  const [, printed] = read('README.md').match(/```ts\n([^]*?)```/);
  assert.ok(read('examples/quickstart.mjs').includes(printed));
});

// A producer, a subscriber and a live stream of the package, while the server is killed and started again under all three. Half way this says
// "half" and waits for a line: quickstart.py kills the server, writes the line, and starts the server again. Says "done" when the stream has
// had every number exactly once, and the subscriber at least once.
import { once } from 'node:events';
import { Fourbyfour } from '@fourbyfour/sdk';

const NUMBERS = 200;
const topic = process.argv[2];
const { topics } = new Fourbyfour({ apiKey: 'any-key', maxRetries: 20 }).stream;
const wanted = Array.from({ length: NUMBERS }, (_, number) => number);
const stop = new AbortController();
const streamed = [];
const subscribed = new Set();

async function produce() {
  for (const number of wanted) {
    if (number === NUMBERS / 2) {
      console.log('half');
      await once(process.stdin, 'data');
      process.stdin.destroy();
    }
    await topics.produce(topic, { key: `k${number}`, value: number });
  }
}

async function stream() {
  for await (const record of topics.stream(topic, { from: 'earliest', signal: stop.signal })) {
    streamed.push(record.value);
    if (streamed.length >= NUMBERS) break;
  }
}

async function subscribe() {
  for await (const record of topics.subscribe(topic, { group: `${topic}-readers`, signal: stop.signal })) {
    subscribed.add(record.value);
    if (subscribed.size >= NUMBERS) break;
  }
}

function check(what, found) {
  const sorted = [...found].sort((a, b) => a - b);
  if (JSON.stringify(sorted) !== JSON.stringify(wanted)) throw new Error(`${what}: ${sorted.length} values: ${sorted}`);
}

const timer = setTimeout(() => stop.abort(), 60_000);
await Promise.all([produce(), stream(), subscribe()]);
clearTimeout(timer);
check('streamed', streamed);
check('subscribed', subscribed);
console.log('done');

// An HTTP server in this process that answers as a test says and keeps what it was asked.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Fourbyfour } from '@fourbyfour/sdk';

// A test that would wait for ever ends its file as a failure instead; what passes takes seconds.
setTimeout(() => {
  console.error('more than 60 s: a test waits for what does not come');
  process.exit(1);
}, 60_000).unref();

/**
 * `answers`: one per request, in order, the last one for all that follow. Each is what `json` and its kin make, or a function
 * `(request, response, seen) => …` that answers by itself.
 */
export async function startStub(t, ...answers) {
  const requests = [];
  const arrivals = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const seen = {
      method: request.method,
      url: request.url,
      headers: request.headers,
      text,
      body: text === '' ? undefined : JSON.parse(text),
      atMs: Date.now(),
      closed: once(response, 'close'),
    };
    requests.push(seen);
    arrivals.shift()?.(seen);
    const answer = answers[Math.min(requests.length, answers.length) - 1];
    await answer(request, response, seen);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  t.after(stop);
  const baseUrl = `http://127.0.0.1:${server.address().port}`;
  return {
    baseUrl,
    requests,
    stop,
    /** `GET /topics`, … */
    lines: () => requests.map(({ method, url }) => `${method} ${url}`),
    /** The next request to arrive. */
    arrival: () => new Promise((resolve) => arrivals.push(resolve)),
    client: (options = {}) => new Fourbyfour({ baseUrl, apiKey: 'key-1', ...options }),
  };
}

export const json = (body, status = 200, headers = {}) => (_request, response) => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
};

export const empty = (status = 204) => (_request, response) => response.writeHead(status).end();

export const error = (status, code = 'CODE', message = 'what, where, what to do', headers = {}) =>
  json({ error: { code, message } }, status, headers);

export const text = (body, status, headers = {}) => (_request, response) => response.writeHead(status, headers).end(body);

/** Breaks the connection without an answer, after the request was read: the client cannot know what became of it. */
export const cut = () => (request) => request.socket.destroy();

/** Never answers. */
export const silence = () => () => {};

/** Sends each chunk as soon as it can, and then calls `end(response)`. */
export const chunks = (parts, end = (response) => response.end(), headers = {}) => async (_request, response) => {
  response.writeHead(200, { 'content-type': 'application/x-ndjson', ...headers });
  response.flushHeaders();
  for (const part of parts) {
    response.write(part);
    // In a packet of its own, as far as anybody can tell: the reader must not depend on it either way.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  end(response);
};

export const record = (offset, more = {}) => ({
  topic: 'order.placed', partition: 0, offset, value: { n: offset }, timestamp: '2026-01-02T03:04:05Z', ...more,
});

export const page = (...records) => json({ records, next_offset: (records.at(-1)?.offset ?? -1) + 1, next_offsets: {} });

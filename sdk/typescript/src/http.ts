// One request to the server: its address, headers, time-outs, retries, and what an answer means.
import { isAbort } from './abort.js';
import { Deadline } from './deadline.js';
import { ConnectionError, errorForStatus, FourbyfourError, NotFoundError, TimeoutError, ValidationError } from './errors.js';
import type { ErrorDetails, RecordProblem } from './errors.js';
import { mayHaveHappened, retryAfterMs, retryDelayMs, sleep } from './retry.js';
import type { RetryRule } from './retry.js';

export interface HttpSettings {
  baseUrl: string;
  apiKey: string | undefined;
  projectId: string | undefined;
  timeoutMs: number;
  maxRetries: number;
}

export interface Request {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below the project's root, its segments already encoded: `/topics/order.placed`. */
  path: string;
  retry: RetryRule;
  query?: { [name: string]: string | number | true | undefined };
  headers?: { [name: string]: string | undefined };
  body?: unknown;
  /** How long the server was asked to hold the request; added to the time-out. */
  waitMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called with each failure that is followed by another try. */
  onRetry?: (error: unknown) => void;
}

interface Answer {
  response: Response;
  text: string;
}

export class HttpClient {
  readonly timeoutMs: number;
  readonly maxRetries: number;
  readonly #root: string;
  // Private, so that a client that is printed or logged does not show its key.
  readonly #authorization: string | undefined;

  /** Throws {@link ValidationError} if a setting is unusable: better here than as a "network failure" in every call. */
  constructor(settings: HttpSettings) {
    const base = checkedBaseUrl(settings.baseUrl);
    this.#root = settings.projectId ? `${base}/projects/${pathSegment('project id', settings.projectId)}` : base;
    this.#authorization = settings.apiKey ? checkedAuthorization(settings.apiKey) : undefined;
    this.timeoutMs = checkedNumber('timeoutMs', settings.timeoutMs, 1);
    this.maxRetries = checkedNumber('maxRetries', settings.maxRetries, 0);
  }

  /** The JSON of the answer. */
  async json<T>(request: Request): Promise<T> {
    const { response, text } = await this.#retried(request);
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw notJson(`${describe(request)} answered ${response.status}`, text, { status: response.status, cause });
    }
  }

  /** For answers whose body says nothing. */
  async empty(request: Request): Promise<void> {
    await this.#retried(request);
  }

  /** Deletes. A 404 counts as success after a try that may have deleted it already, its answer lost. */
  async delete(path: string, signal: AbortSignal | undefined): Promise<void> {
    let mayBeGone = false;
    const onRetry = (error: unknown) => { mayBeGone ||= mayHaveHappened(error); };
    try {
      await this.empty({ method: 'DELETE', path, retry: 'safe', signal, onRetry });
    } catch (error) {
      if (!(mayBeGone && error instanceof NotFoundError)) throw error;
    }
  }

  /** The answer to one try, its body still to be read; `deadline` ends both. Throws the typed error of any other answer than 2xx. */
  async open(request: Request, deadline: Deadline, body?: string): Promise<Response> {
    const expired = () => this.#timeout(request);
    const limitMs = this.#limitMs(request);
    // Outside of `try`: a header that cannot be sent is the caller's mistake, not a failure of the network.
    const init = this.#init(request, deadline.signal, body);
    let response: Response;
    try {
      response = await deadline.within(limitMs, expired, fetch(this.#url(request), init));
    } catch (cause) {
      throw this.#unanswered(request, deadline, cause);
    }
    if (response.ok) return response;
    // The error's text is a bonus: the status alone decides what it is.
    const text = await deadline.within(limitMs, expired, response.text()).catch((error) => {
      if (isAbort(error, request.signal)) throw error;
      return '';
    });
    throw errorForAnswer(request, response, text);
  }

  /** Retries what may be retried, as `request.retry` says, until it gives up or the caller's signal is aborted. */
  async #retried(request: Request): Promise<Answer> {
    const body = request.body === undefined ? undefined : jsonText(request);
    for (let retries = 0; ; retries++) {
      try {
        return await this.#once(request, body);
      } catch (error) {
        const delayMs = retryDelayMs(error, retries, request.retry, this.maxRetries);
        if (delayMs === undefined) throw error;
        request.onRetry?.(error);
        await sleep(delayMs, request.signal);
      }
    }
  }

  async #once(request: Request, body: string | undefined): Promise<Answer> {
    const deadline = new Deadline(request.signal);
    const endsAtMs = Date.now() + this.#limitMs(request);
    try {
      const response = await this.open(request, deadline, body);
      const text = await deadline
        .within(endsAtMs - Date.now(), () => this.#timeout(request), response.text())
        .catch((cause) => { throw this.#unanswered(request, deadline, cause); });
      return { response, text };
    } finally {
      deadline.close();
    }
  }

  #url(request: Request): string {
    const query = Object.entries(request.query ?? {})
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
    return `${this.#root}${request.path}${query.length > 0 ? `?${query.join('&')}` : ''}`;
  }

  #init(request: Request, signal: AbortSignal, body: string | undefined): RequestInit {
    const headers = new Headers({ accept: 'application/json' });
    if (this.#authorization !== undefined) headers.set('authorization', this.#authorization);
    if (body !== undefined) headers.set('content-type', 'application/json');
    for (const [name, value] of Object.entries(request.headers ?? {})) {
      if (value !== undefined) headers.set(name, value);
    }
    // A followed redirect turns POST into GET and may drop the key; being told of it is more use.
    return { method: request.method, headers, signal, redirect: 'manual', ...(body !== undefined && { body }) };
  }

  #limitMs(request: Request): number {
    return this.timeoutMs + (request.waitMs ?? 0);
  }

  #timeout(request: Request): TimeoutError {
    const limitMs = this.#limitMs(request);
    return new TimeoutError(`${describe(request)} at ${this.#root} had no answer after ${limitMs} ms; raise timeoutMs if the server needs longer`);
  }

  #unanswered(request: Request, deadline: Deadline, cause: unknown): unknown {
    if (isAbort(cause, deadline.signal)) return cause;
    return new ConnectionError(
      `${describe(request)} at ${this.#root} got no answer: ${reason(cause)}; check that the server runs and that baseUrl is its address`,
      { cause },
    );
  }
}

/** One segment of a path. Refuses what a URL cannot carry: `.` and `..` would be resolved and reach another path. */
export function pathSegment(what: string, name: string): string {
  if (typeof name !== 'string' || name === '' || name === '.' || name === '..') {
    throw new ValidationError(`${what} ${JSON.stringify(name)} cannot be part of a path; use a name that is not empty, "." or ".."`);
  }
  return encodeURIComponent(name);
}

/** A 2xx answer that is not what this API sends: most likely another server. */
export function notJson(where: string, text: string, details: ErrorDetails): FourbyfourError {
  const start = text === '' ? 'an empty body' : JSON.stringify(excerpt(text));
  return new FourbyfourError(`${where} with ${start} instead of JSON; check that baseUrl is the address of a Fourbyfour Stream server`, {
    code: 'INVALID_RESPONSE', ...details,
  });
}

function errorForAnswer(request: Request, response: Response, text: string): FourbyfourError {
  const { code, message, records } = errorOfBody(text);
  const requestId = response.headers.get('x-request-id');
  const waitMs = retryAfterMs(response.headers.get('retry-after'));
  return errorForStatus(response.status, message ?? plainMessage(request, response, text), {
    ...(code !== undefined && { code }),
    ...(records !== undefined && { records }),
    ...(requestId !== null && { requestId }),
    ...(waitMs !== undefined && { retryAfterMs: waitMs }),
  });
}

/** `{"error": {"code", "message", "records"}}`, as far as it is there. */
function errorOfBody(text: string): { code?: string; message?: string; records?: RecordProblem[] } {
  let body: { error?: { code?: unknown; message?: unknown; records?: unknown } | null } | null;
  try {
    body = JSON.parse(text);
  } catch {
    return {};
  }
  const { code, message, records } = body?.error ?? {};
  return {
    ...(typeof code === 'string' && { code }),
    ...(typeof message === 'string' && { message }),
    ...(Array.isArray(records) && { records: records as RecordProblem[] }),
  };
}

/** For answers that are not ours, mostly a proxy's: the status, and the text if it is for people. */
function plainMessage(request: Request, response: Response, text: string): string {
  const status = response.type === 'opaqueredirect' ? 'a redirect' : `${response.status} ${response.statusText}`.trim();
  const location = response.headers.get('location');
  const redirect = location === null ? '' : ` to ${location}; set baseUrl to where the server is`;
  const isMarkup = /^\s*</.test(text);
  return `${describe(request)} answered ${status}${redirect}${text === '' || isMarkup ? '' : `: ${excerpt(text)}`}`;
}

function describe(request: Request): string {
  return `${request.method} ${request.path}`;
}

function excerpt(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length <= 200 ? line : `${line.slice(0, 200)}…`;
}

/** Node says "fetch failed" and puts what happened into `cause`, which may be several errors and then has only a code. */
function reason(error: unknown): string {
  const cause = (error as { cause?: { message?: string; code?: string } } | null)?.cause;
  return cause?.message || cause?.code || (error instanceof Error ? error.message : String(error));
}

function jsonText(request: Request): string {
  try {
    return JSON.stringify(request.body);
  } catch (cause) {
    throw new ValidationError(`${describe(request)}: the body cannot be written as JSON: ${reason(cause)}; send plain JSON values`, { cause });
  }
}

function checkedBaseUrl(baseUrl: string): string {
  let url: URL | undefined;
  try {
    url = new URL(baseUrl);
  } catch { /* Reported below, with what is wrong in other ways. */ }
  const isUsable = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash;
  if (!url || !isUsable) {
    throw new ValidationError(`baseUrl ${JSON.stringify(baseUrl)} is no plain HTTP address; use one like http://127.0.0.1:8080`);
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

function checkedAuthorization(apiKey: string): string {
  const authorization = `Bearer ${apiKey.trim()}`;
  try {
    new Headers({ authorization });
  } catch {
    throw new ValidationError('apiKey has characters that an HTTP header cannot carry; copy it again, without line breaks');
  }
  return authorization;
}

function checkedNumber(name: string, value: number, min: number): number {
  if (typeof value === 'number' && value >= min) return value;
  throw new ValidationError(`${name} is ${value}; use a number of at least ${min}`);
}

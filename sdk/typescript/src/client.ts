import { Hooks } from './hooks.js';
import { HttpClient } from './http.js';
import { Topics } from './topics.js';

export interface FourbyfourOptions {
  /** Sent as `Authorization: Bearer …`. Default: `FOURBYFOUR_API_KEY`; without one no such header is sent. */
  apiKey?: string | undefined;
  /** Paths begin with `/projects/{projectId}`. Default: `FOURBYFOUR_PROJECT_ID`; without one, or with `''`, they are at the root. */
  projectId?: string | undefined;
  /** Default: `FOURBYFOUR_BASE_URL`, or `http://127.0.0.1:8080`. */
  baseUrl?: string | undefined;
  /** How long one try may take, in milliseconds; 30,000 by default. Long polls get what they wait on top. */
  timeoutMs?: number | undefined;
  /** How many times a request is sent again, where that is safe; 3 by default. */
  maxRetries?: number | undefined;
}

/** A client of a Fourbyfour Stream server. It keeps no connection of its own and needs no closing. */
export class Fourbyfour {
  readonly stream: { readonly topics: Topics };
  readonly hooks: Hooks;

  /** Throws {@link ValidationError} if an option, or the environment variable in its place, is unusable. */
  constructor(options: FourbyfourOptions = {}) {
    const http = new HttpClient({
      baseUrl: options.baseUrl ?? environment('FOURBYFOUR_BASE_URL') ?? 'http://127.0.0.1:8080',
      apiKey: options.apiKey ?? environment('FOURBYFOUR_API_KEY'),
      projectId: options.projectId ?? environment('FOURBYFOUR_PROJECT_ID'),
      timeoutMs: options.timeoutMs ?? 30_000,
      maxRetries: options.maxRetries ?? 3,
    });
    this.stream = { topics: new Topics(http) };
    this.hooks = new Hooks(http);
  }
}

/** Undefined where there is no such variable, no environment (browsers), or no permission to read it (Deno). */
function environment(name: string): string | undefined {
  const scope = globalThis as { process?: { env?: { [name: string]: string | undefined } } };
  try {
    return scope.process?.env?.[name] || undefined;
  } catch {
    return undefined;
  }
}

/** What a {@link FourbyfourError} knows besides its message. */
export interface ErrorDetails {
  code?: string;
  status?: number;
  requestId?: string;
  retryAfterMs?: number;
  records?: RecordProblem[];
  cause?: unknown;
}

/** What is wrong with one record of a request. */
export interface RecordProblem {
  /** Where it is in the request. */
  index: number;
  message: string;
}

/** The base of every error of this package. An aborted call is no error of ours: it throws the signal's own reason, as `fetch` does. */
export class FourbyfourError extends Error {
  /** The server's word for what happened, such as `NOT_FOUND`. */
  readonly code: string;
  /** The HTTP status; undefined when there was no answer. */
  readonly status: number | undefined;
  /** The answer's `X-Request-Id`, when it had one: quote it when you ask for help. */
  readonly requestId: string | undefined;
  /** How long the server asked to wait (`Retry-After`), in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** With `INVALID_RECORD`: the records that do not fit their topic's schema. */
  readonly records: RecordProblem[] | undefined;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined);
    this.code = details.code ?? 'UNKNOWN_ERROR';
    this.status = details.status;
    this.requestId = details.requestId;
    this.retryAfterMs = details.retryAfterMs;
    this.records = details.records;
  }

  // On the prototype, and as text: stack traces are right from the start, and minifiers that rename classes do no harm.
  static { this.prototype.name = 'FourbyfourError'; }
}

/** 400 or 422: the request is wrong, or its records do not fit the topic's schema; also thrown before sending what could not arrive unharmed. */
export class ValidationError extends FourbyfourError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { code: 'VALIDATION_ERROR', status: 400, ...details });
  }
  static { this.prototype.name = 'ValidationError'; }
}

/** 401: no API key, or an unknown one. */
export class AuthenticationError extends FourbyfourError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { code: 'UNAUTHORIZED', status: 401, ...details });
  }
  static { this.prototype.name = 'AuthenticationError'; }
}

/** 403: the API key may not do this. */
export class ForbiddenError extends FourbyfourError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { code: 'FORBIDDEN', status: 403, ...details });
  }
  static { this.prototype.name = 'ForbiddenError'; }
}

/** 404: there is no such topic, endpoint or path. */
export class NotFoundError extends FourbyfourError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { code: 'NOT_FOUND', status: 404, ...details });
  }
  static { this.prototype.name = 'NotFoundError'; }
}

/** 409: it exists already, or something else stands against it. */
export class ConflictError extends FourbyfourError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { code: 'CONFLICT', status: 409, ...details });
  }
  static { this.prototype.name = 'ConflictError'; }
}

/** 429: too many requests; `retryAfterMs` says how long to wait, if the server said. */
export class RateLimitError extends FourbyfourError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { code: 'RATE_LIMIT_EXCEEDED', status: 429, ...details });
  }
  static { this.prototype.name = 'RateLimitError'; }
}

/** 500 and above: the server, or a proxy before it, could not do it. */
export class InternalError extends FourbyfourError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { code: 'INTERNAL_ERROR', status: 500, ...details });
  }
  static { this.prototype.name = 'InternalError'; }
}

/** There was no answer: no connection, or it broke. Whether the server did what was asked is unknown. */
export class ConnectionError extends FourbyfourError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { code: 'CONNECTION_ERROR', ...details });
  }
  static { this.prototype.name = 'ConnectionError'; }
}

/** There was no answer in time. Whether the server did what was asked is unknown. */
export class TimeoutError extends FourbyfourError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { code: 'TIMEOUT', ...details });
  }
  static { this.prototype.name = 'TimeoutError'; }
}

/** The status decides the class, as in the Python package; a `code` in `details` stays the server's. */
export function errorForStatus(status: number, message: string, details: ErrorDetails): FourbyfourError {
  const all = { ...details, status };
  switch (status) {
    case 400: case 422: return new ValidationError(message, all);
    case 401: return new AuthenticationError(message, all);
    case 403: return new ForbiddenError(message, all);
    case 404: return new NotFoundError(message, all);
    case 409: return new ConflictError(message, all);
    case 429: return new RateLimitError(message, all);
    default: return status >= 500 ? new InternalError(message, all) : new FourbyfourError(message, all);
  }
}

/** For an error that comes inside a stream, where the status is long sent: the code decides the class. */
export function errorForCode(code: string, message: string): FourbyfourError {
  switch (code) {
    case 'VALIDATION_ERROR': return new ValidationError(message);
    case 'UNAUTHORIZED': return new AuthenticationError(message);
    case 'FORBIDDEN': return new ForbiddenError(message);
    case 'NOT_FOUND': return new NotFoundError(message);
    case 'CONFLICT': return new ConflictError(message);
    case 'RATE_LIMIT_EXCEEDED': return new RateLimitError(message);
    case 'INTERNAL_ERROR': return new InternalError(message);
    case 'UNAVAILABLE': return new InternalError(message, { code, status: 503 });
    default: return new FourbyfourError(message, { code });
  }
}

export { Fourbyfour } from './client.js';
export type { FourbyfourOptions } from './client.js';
export {
  AuthenticationError, ConflictError, ConnectionError, ForbiddenError, FourbyfourError, InternalError, NotFoundError, RateLimitError,
  TimeoutError, ValidationError,
} from './errors.js';
export type { ErrorDetails, RecordProblem } from './errors.js';
export { Hooks } from './hooks.js';
export { Topics } from './topics.js';
export type * from './types.js';

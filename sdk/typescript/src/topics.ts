import { ConflictError, ValidationError } from './errors.js';
import { commit, consume, reset, topicPath } from './group.js';
import type { HttpClient } from './http.js';
import { newId } from './ids.js';
import { liveRecords } from './live.js';
import { mayHaveHappened } from './retry.js';
import { subscription } from './subscription.js';
import type {
  CallOptions, ConsumeOptions, ConsumeResult, GroupReset, GroupResetResult, LiveRecord, NewRecord, NewTopic, NewTopicSchema, OffsetCommit,
  ProduceBatchResult, ProduceOptions, ProduceResult, StreamOptions, StreamRecord, SubscribeOptions, Topic, TopicSchema, TopicStats,
} from './types.js';
import { topic, topicSchema, topicStats } from './wire.js';
import type { WireTopic, WireTopicSchema, WireTopicStats } from './wire.js';

/** Topics and their records: `client.stream.topics`. */
export class Topics {
  readonly #http: HttpClient;

  constructor(http: HttpClient) {
    this.#http = http;
  }

  /**
   * Creates a topic. Throws {@link ConflictError} if there is one of this name.
   *
   * When a try ended without an answer and the next one meets a topic of this name, it is most likely ours. It is then the result if it
   * is what was asked for, and a conflict if it is not.
   */
  async create(newTopic: NewTopic, options: CallOptions = {}): Promise<Topic> {
    const { name, description, partitions, retentionHours } = newTopic;
    let mayBeOurs = false;
    try {
      return topic(await this.#http.json<WireTopic>({
        method: 'POST',
        path: '/topics',
        body: { name, description, partitions, retention_hours: retentionHours },
        retry: 'create',
        signal: options.signal,
        onRetry: (error) => { mayBeOurs ||= mayHaveHappened(error); },
      }));
    } catch (error) {
      if (!(mayBeOurs && error instanceof ConflictError)) throw error;
      const existing = await this.get(name, options);
      if (!isAsAsked(existing, newTopic)) throw error;
      return existing;
    }
  }

  async list(options: CallOptions = {}): Promise<Topic[]> {
    const wire = await this.#http.json<{ topics: WireTopic[] }>({
      method: 'GET', path: '/topics', retry: 'safe', signal: options.signal,
    });
    return wire.topics.map(topic);
  }

  /** Throws {@link NotFoundError} if there is no such topic. */
  async get(name: string, options: CallOptions = {}): Promise<Topic> {
    return topic(await this.#http.json<WireTopic>({
      method: 'GET', path: topicPath(name), retry: 'safe', signal: options.signal,
    }));
  }

  /** Deletes a topic and its records. Throws {@link NotFoundError} if there is no such topic. */
  async delete(name: string, options: CallOptions = {}): Promise<void> {
    await this.#http.delete(topicPath(name), options.signal);
  }

  async stats(name: string, options: CallOptions = {}): Promise<TopicStats> {
    return topicStats(await this.#http.json<WireTopicStats>({
      method: 'GET', path: topicPath(name, '/stats'), retry: 'safe', signal: options.signal,
    }));
  }

  /**
   * Gives a topic a schema, or a new version of it: every record is held against it from now on, whoever writes it. Throws
   * {@link ConflictError} if the versions before cannot bear it.
   */
  async setSchema(name: string, schema: NewTopicSchema, options: CallOptions = {}): Promise<TopicSchema> {
    const { onInvalid, ...same } = schema;
    return topicSchema(await this.#http.json<WireTopicSchema>({
      method: 'PUT', path: topicPath(name, '/schema'), body: { ...same, on_invalid: onInvalid }, retry: 'safe', signal: options.signal,
    }));
  }

  /** Throws {@link NotFoundError} if the topic has none. */
  async getSchema(name: string, options: CallOptions = {}): Promise<TopicSchema> {
    return topicSchema(await this.#http.json<WireTopicSchema>({
      method: 'GET', path: topicPath(name, '/schema'), retry: 'safe', signal: options.signal,
    }));
  }

  /** Takes a topic's schema away: nothing is asked of its records any more. */
  async deleteSchema(name: string, options: CallOptions = {}): Promise<void> {
    await this.#http.delete(topicPath(name, '/schema'), options.signal);
  }

  /** Appends a record. Retries carry one idempotency key, so the record is there once; with a key of yours, also when you call again. */
  async produce(name: string, record: NewRecord, options: ProduceOptions = {}): Promise<ProduceResult> {
    return this.#http.json<ProduceResult>({
      method: 'POST',
      path: topicPath(name, '/produce'),
      body: wireNewRecord(record, 'value'),
      headers: { 'idempotency-key': options.idempotencyKey ?? newId() },
      retry: 'safe',
      signal: options.signal,
    });
  }

  /** Appends records, in order. Each may fail alone: look at every result. Retries carry one idempotency key, as those of {@link produce}. */
  async produceBatch(name: string, records: readonly NewRecord[], options: ProduceOptions = {}): Promise<ProduceBatchResult> {
    return this.#http.json<ProduceBatchResult>({
      method: 'POST',
      path: topicPath(name, '/records'),
      body: { records: records.map((record, index) => wireNewRecord(record, `records[${index}].value`)) },
      headers: { 'idempotency-key': options.idempotencyKey ?? newId() },
      retry: 'safe',
      signal: options.signal,
    });
  }

  /**
   * The next records of a topic, or of all topics that match a pattern.
   *
   * With `autoCommit` or `worker` it is retried after 429 only: after a lost answer, the retry, or a commit under this name, would commit records nobody saw.
   */
  async consume<Value = unknown>(nameOrPattern: string, options: ConsumeOptions = {}): Promise<ConsumeResult<Value>> {
    return consume<Value>(this.#http, nameOrPattern, options, options.autoCommit || options.worker !== undefined ? 'refused' : 'safe');
  }

  /**
   * Commits: the group goes on at `at.offset` of `at.partition`. Of pages that were handed out one after the other, each is to be committed:
   * a page before this one that was not comes again when its lease is over.
   */
  async commit(topic: string, at: OffsetCommit, options: CallOptions = {}): Promise<void> {
    await commit(this.#http, topic, at, options, 'safe');
  }

  /** Sets where a group goes on. */
  async resetGroup(topic: string, group: string, how: GroupReset, options: CallOptions = {}): Promise<GroupResetResult> {
    return reset(this.#http, topic, group, how, options);
  }

  /**
   * The records of a group, one after the other, for ever: for `for await`.
   *
   * A record is committed (page by page) once the loop has asked for the next one. What the loop did not get done is delivered again: at
   * least once. Leaving the loop commits the records whose body was completed, and not the one it was left in.
   * Aborting `signal` ends the loop quietly. Failures that pass (no network, rate limit, 502, 503, 504) are waited out.
   */
  subscribe<Value = unknown>(nameOrPattern: string, options: SubscribeOptions): AsyncGenerator<StreamRecord<Value>, void, undefined> {
    return subscription<Value>(this.#http, nameOrPattern, options);
  }

  /**
   * Records as they are written, without a group, for ever: for `for await`.
   *
   * A connection that breaks, or is silent for twice `timeoutMs` (the server sends heart-beats), is made again and goes on after the
   * last record; before the first one, where it began. Aborting `signal` ends the loop quietly.
   */
  stream<Value = unknown>(nameOrPattern: string, options: StreamOptions = {}): AsyncGenerator<LiveRecord<Value>, void, undefined> {
    return liveRecords<Value>(this.#http, nameOrPattern, options);
  }
}

function wireNewRecord(record: NewRecord, where: string): NewRecord {
  // JSON would leave it out, and the server would ask for what the caller thinks is there.
  if (record.value === undefined) throw new ValidationError(`${where} is undefined, which JSON cannot carry; use null or a value`);
  return { value: record.value, key: record.key, headers: record.headers };
}

function isAsAsked(existing: Topic, asked: NewTopic): boolean {
  return (asked.partitions === undefined || existing.partitions === asked.partitions)
    && (asked.retentionHours === undefined || existing.retentionHours === asked.retentionHours)
    && (asked.description === undefined || (existing.description ?? '') === asked.description);
}

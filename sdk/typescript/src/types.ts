// What methods take and give. Offsets, counts and sizes are JavaScript numbers: exact up to 2^53 (9,007,199,254,740,991).

/** What every method takes last. */
export interface CallOptions {
  /** Aborting it ends the call, retries included; the call then throws the signal's reason. */
  signal?: AbortSignal | undefined;
}

export interface ProduceOptions extends CallOptions {
  /**
   * What makes two calls one: the server writes the records of a key once, and answers the later ones as the first. To be kept with the records by
   * who calls again after a failure; a random one for each call if left out.
   */
  idempotencyKey?: string | undefined;
}

export interface NewTopic {
  name: string;
  description?: string | undefined;
  /** The server's default if left out. */
  partitions?: number | undefined;
  /** How long records are kept; the server's default if left out. */
  retentionHours?: number | undefined;
}

export interface Topic {
  name: string;
  partitions: number;
  retentionHours: number;
  /** RFC 3339, UTC. */
  createdAt: string;
  description?: string;
}

export interface TopicStats {
  name: string;
  totalEvents: number;
  totalBytes: number;
  eventsPerSecond: number;
  /** Events that did not fit the topic's schema since the start of the server, by reason. */
  invalidEvents?: { [reason: string]: number };
  /** RFC 3339, UTC. */
  lastEventAt?: string;
}

/** What the values of a topic must be. */
export interface NewTopicSchema {
  /** `JSON` without. */
  type?: 'JSON' | 'AVRO' | 'PROTOBUF' | undefined;
  /** JSON Schema or Avro as an object or as text; Protobuf as text. */
  schema: object | boolean | string;
  /** Other registered schemas that this one names. */
  references?: { name: string; subject: string; version?: number }[] | undefined;
  /** `full` without: values fit the schema. `id`: they begin with the id of one of the topic's schemas. */
  validation?: 'none' | 'id' | 'full' | undefined;
  /** `refuse` without: a batch with a bad event is refused. `dead-letter`: bad events go to `{topic}.dlq`. */
  onInvalid?: 'refuse' | 'dead-letter' | undefined;
  /** Which versions must be able to read one another from now on. */
  compatibility?: Compatibility | undefined;
}

export type Compatibility =
  'NONE' | 'BACKWARD' | 'BACKWARD_TRANSITIVE' | 'FORWARD' | 'FORWARD_TRANSITIVE' | 'FULL' | 'FULL_TRANSITIVE';

export interface TopicSchema {
  subject: string;
  version: number;
  id: number;
  type: 'JSON' | 'AVRO' | 'PROTOBUF';
  /** As JSON where it is JSON, else as text. */
  schema: unknown;
  validation: 'none' | 'id' | 'full';
  onInvalid: 'refuse' | 'dead-letter';
}

export interface NewRecord {
  /** Anything JSON can carry; `null` too, but not `undefined`. */
  value: unknown;
  /** Records of one key are in one partition, in order. */
  key?: string | undefined;
  headers?: { [name: string]: string } | undefined;
}

export interface ProduceResult {
  topic: string;
  partition: number;
  offset: number;
  /** RFC 3339, UTC. */
  timestamp: string;
}

/** Of one record of a batch: where it is, or why it is nowhere. */
export type BatchRecordResult =
  | { partition: number; offset: number; timestamp: string; error?: undefined }
  | { error: { code: string; message: string } };

export interface ProduceBatchResult {
  /** One for each record, in their order. */
  results: BatchRecordResult[];
}

/** What the value of a record is when its bytes are no JSON (written by a Kafka client, say). */
export interface Base64Value {
  $base64: string;
}

/** A record as it was read. `Value` is what you know of its value; nothing checks it. */
export interface StreamRecord<Value = unknown> {
  topic: string;
  partition: number;
  offset: number;
  value: Value;
  /** RFC 3339, UTC. */
  timestamp: string;
  /** What a Kafka client wrote may be no UTF-8: a {@link Base64Value} then. */
  key?: string | Base64Value;
  /** As the key; `null` is a header without a value, which only a Kafka client writes. */
  headers?: { [name: string]: string | Base64Value | null };
}

/** A record of {@link Topics.stream}. */
export interface LiveRecord<Value = unknown> extends StreamRecord<Value> {
  /**
   * Opaque: where the stream goes on after this record. Pass it as `lastEventId` to go on there in another process.
   *
   * With many partitions (more than 64) only some records have one; what came after the last of them then comes again.
   */
  id?: string;
}

/** Offsets by topic, then by partition: `offsets['order.placed'][0]`. */
export type TopicOffsets = { [topic: string]: { [partition: number]: number } };

/** A place in a topic: an end of it, a time (a Date, or text in RFC 3339), or an offset. */
export type Position = 'earliest' | 'latest' | Date | { offset: number } | (string & {});

export interface ConsumeOptions extends CallOptions {
  /** The consumer group to read for. Without one, say `from` or `cursor`. */
  group?: string | undefined;
  partition?: number | undefined;
  /** How many records at most; 100 by default. */
  limit?: number | undefined;
  /** How long the server waits for a first record, in milliseconds; not at all by default. */
  waitMs?: number | undefined;
  /** Commits what `worker`, or everybody without a name, was handed out before. */
  autoCommit?: boolean | undefined;
  /**
   * Who asks, of several that share the group: a name for one run of a process, `crypto.randomUUID()` say. What comes back under the name of one that
   * crashed commits what that one was handed, too; so take another name when a call failed, whose answer may have been lost with records in it.
   */
  worker?: string | undefined;
  /** Where to read, instead of a group. */
  from?: Position | undefined;
  /** Where an answer without a group ended: goes on there. */
  cursor?: string | undefined;
}

export interface ConsumeResult<Value = unknown> {
  /** Of several partitions, perhaps; in offset order within each. */
  records: StreamRecord<Value>[];
  /** One past the last record of `records`. With several partitions, `nextOffsets` says more. */
  nextOffset: number;
  /** One past the last record of each partition in `records`. */
  nextOffsets: TopicOffsets;
  /** Without a group: to go on, pass it as `cursor`. */
  cursor?: string;
}

export interface OffsetCommit {
  group: string;
  partition: number;
  /** The offset to go on at: one past the last record that is done. */
  offset: number;
  /**
   * As it was given to `consume`: commits all that was handed out under this name below `offset`, and never takes the group back. Without one it is about the page
   * that the last record came in, and sets the group back where nobody holds anything.
   */
  worker?: string | undefined;
}

export interface GroupReset {
  to: Position;
  /** All partitions if left out. */
  partition?: number | undefined;
}

export interface GroupResetResult {
  /** Where the group goes on now. */
  offsets: TopicOffsets;
}

export interface SubscribeOptions extends CallOptions {
  group: string;
  /** How many records at most are fetched, and committed, at once; 100 by default. */
  limit?: number | undefined;
  /** How long the server waits for a first record before it is asked again, in milliseconds; 20,000 by default. */
  waitMs?: number | undefined;
  /** `after` (default): a record is committed once the loop has asked for the next. `manual`: you call `topics.commit`. */
  commit?: 'after' | 'manual' | undefined;
}

export interface StreamOptions extends CallOptions {
  /** Where to begin; `latest` if left out: what is written from now on. */
  from?: Position | undefined;
  /** Begins after the record with this `id` instead. */
  lastEventId?: string | undefined;
}

export interface NewEndpoint {
  name: string;
  url: string;
  /** Topic names or patterns; events of these topics are delivered. */
  events?: string[] | undefined;
  description?: string | undefined;
  metadata?: { [name: string]: string } | undefined;
  /** Only events for which all of it holds are delivered. */
  filters?: EndpointFilters | undefined;
  /** Events of one key are delivered one after the other. */
  ordered?: boolean | undefined;
  enabled?: boolean | undefined;
  /** How long an answer is waited for, in milliseconds; as the server is configured if left out. */
  timeoutMs?: number | undefined;
  /** Requests under way at once; as the server is configured if left out. */
  concurrency?: number | undefined;
  /** `whsec_` and 24 to 64 bytes as base64; a random one if left out. */
  secret?: string | undefined;
}

export interface EndpointFilters {
  /** Headers and their values. */
  headers?: { [name: string]: string } | undefined;
  /** JSON pointers into the value, and what is there: `{ '/order/kind': 'express' }`. */
  data?: { [pointer: string]: unknown } | undefined;
}

/** What is left out stays; null takes an optional field away. */
export interface EndpointChange {
  url?: string | undefined;
  events?: string[] | undefined;
  description?: string | null | undefined;
  metadata?: { [name: string]: string } | undefined;
  filters?: EndpointFilters | undefined;
  ordered?: boolean | undefined;
  enabled?: boolean | undefined;
  timeoutMs?: number | null | undefined;
  concurrency?: number | null | undefined;
}

export interface SecretRotation extends CallOptions {
  /** `whsec_` and 24 to 64 bytes as base64; a random one if left out. */
  secret?: string | undefined;
  /** How long the secret before signs as well, in milliseconds; as the server is configured if left out. */
  overlapMs?: number | undefined;
}

export interface Endpoint {
  endpointId: string;
  name: string;
  url: string;
  /** Signs the deliveries (Standard Webhooks). */
  secret: string;
  events: string[];
  enabled: boolean;
  /** RFC 3339, UTC. */
  createdAt: string;
  description?: string;
  metadata?: { [name: string]: string };
  filters?: EndpointFilters;
  ordered?: boolean;
  timeoutMs?: number;
  concurrency?: number;
  /** Why it is disabled, where nobody asked for it. */
  disabledReason?: string;
  /** Until then the secret before signs as well; RFC 3339, UTC. */
  previousSecretExpiresAt?: string;
  /** The consumer group whose lag says how far the endpoint is. */
  group?: string;
}

export type DeliveryStatus = 'pending' | 'success' | 'failed' | 'cancelled';

export interface Delivery {
  deliveryId: string;
  endpointName: string;
  eventType: string;
  status: DeliveryStatus;
  retryCount: number;
  /** RFC 3339, UTC. */
  createdAt: string;
  responseStatusCode?: number;
  durationMs?: number;
  errorMessage?: string;
  /** The beginning of the receiver's answer. */
  responseBody?: string;
  /** RFC 3339, UTC; while it is to be tried again. */
  nextAttemptAt?: string;
  /** Where the event is. */
  topic?: string;
  partition?: number;
  offset?: number;
}

export interface DeliveryQuery extends CallOptions {
  status?: DeliveryStatus | undefined;
  eventType?: string | undefined;
  /** Created at this time or later. */
  from?: Date | string | undefined;
  /** Created before this time. */
  to?: Date | string | undefined;
  /** 100 by default, 1000 at most. */
  limit?: number | undefined;
}

/** What is to be sent again: events from one time to another, those of deliveries with a status, or one. */
export type Replay =
  | { from: Date | string; to?: Date | string | undefined }
  // Those that are pending are sent anyway.
  | { status: Exclude<DeliveryStatus, 'pending'> }
  | { deliveryId: string };

export interface Replayed {
  /** Of offsets. */
  ranges: number;
  /** Offsets in them: some may be of events that the endpoint does not want. */
  events: number;
}

export interface TestEvent extends CallOptions {
  /** `webhook.test` if left out. */
  eventType?: string | undefined;
  payload?: unknown;
}

export interface NewWebhook {
  eventType: string;
  /** Anything JSON can carry; delivered as it is. */
  payload: unknown;
  /** Names of endpoints; without them the server decides by `eventType`. */
  endpoints?: string[] | undefined;
}

export interface SentWebhook {
  eventId: string;
  deliveries: { deliveryId: string; endpointName: string; status: DeliveryStatus }[];
}

export interface EndpointStats {
  deliveries: number;
  successful: number;
  failed: number;
  successRate: number;
  avgDurationMs: number;
}

export interface WebhookStats {
  tenantId: string;
  byEndpoint: { [name: string]: EndpointStats };
  totalDeliveries: number;
  successfulDeliveries: number;
  failedDeliveries: number;
  successRate: number;
  avgDurationMs: number;
}

// snake_case on the wire, camelCase here. Each field is named by hand: a renamer that walks the JSON would also rename inside values,
// headers, metadata, and maps whose keys are names of topics or endpoints.
import { ValidationError } from './errors.js';
import type {
  ConsumeResult, Delivery, DeliveryStatus, Endpoint, EndpointFilters, LiveRecord, Position, SentWebhook, StreamRecord, Topic, TopicOffsets, TopicSchema, TopicStats, WebhookStats,
} from './types.js';

export interface WireTopic {
  name: string;
  partitions: number;
  retention_hours: number;
  created_at: string;
  description?: string | null;
}

export function topic(wire: WireTopic): Topic {
  return {
    name: wire.name,
    partitions: wire.partitions,
    retentionHours: wire.retention_hours,
    createdAt: wire.created_at,
    ...present('description', wire.description),
  };
}

export interface WireTopicStats {
  name: string;
  total_events: number;
  total_bytes: number;
  events_per_second: number;
  invalid_events?: { [reason: string]: number } | null;
  last_event_at?: string | null;
}

export function topicStats(wire: WireTopicStats): TopicStats {
  return {
    name: wire.name,
    totalEvents: wire.total_events,
    totalBytes: wire.total_bytes,
    eventsPerSecond: wire.events_per_second,
    ...present('invalidEvents', wire.invalid_events),
    ...present('lastEventAt', wire.last_event_at),
  };
}

export interface WireTopicSchema {
  subject: string;
  version: number;
  id: number;
  type: TopicSchema['type'];
  schema: unknown;
  validation: TopicSchema['validation'];
  on_invalid: TopicSchema['onInvalid'];
}

export function topicSchema({ on_invalid, ...wire }: WireTopicSchema): TopicSchema {
  return { ...wire, onInvalid: on_invalid };
}

export interface WireRecord {
  topic: string;
  partition: number;
  offset: number;
  value: unknown;
  timestamp: string;
  key?: string | null;
  headers?: { [name: string]: string } | null;
}

export function record<Value>(wire: WireRecord): StreamRecord<Value> {
  return {
    topic: wire.topic,
    partition: wire.partition,
    offset: wire.offset,
    value: wire.value as Value,
    timestamp: wire.timestamp,
    ...present('key', wire.key),
    ...present('headers', wire.headers),
  };
}

export function liveRecord<Value>(wire: WireRecord & { id?: string | null }): LiveRecord<Value> {
  return { ...record<Value>(wire), ...present('id', wire.id) };
}

export interface WirePage {
  records: WireRecord[];
  next_offset: number;
  next_offsets?: TopicOffsets;
  cursor?: string | null;
}

export function page<Value>(wire: WirePage): ConsumeResult<Value> {
  return {
    records: wire.records.map((each) => record<Value>(each)),
    nextOffset: wire.next_offset,
    nextOffsets: wire.next_offsets ?? {},
    ...present('cursor', wire.cursor),
  };
}

/** As in the query and in JSON: a word, a time, or an integer. `where` names the option in an error. */
export function position(at: Position, where: string): string | number {
  if (typeof at === 'string') return at;
  if (at instanceof Date) {
    if (Number.isNaN(at.getTime())) throw new ValidationError(`${where} is an invalid Date; check how it was made`);
    return at.toISOString();
  }
  return exactOffset(at.offset, `${where}.offset`);
}

/** Refuses what would arrive as another offset, or as none. */
export function exactOffset(offset: number, where: string): number {
  if (Number.isSafeInteger(offset) && offset >= 0) return offset;
  throw new ValidationError(`${where} is ${String(offset)}; use an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
}

export interface WireEndpoint {
  endpoint_id: string;
  name: string;
  url: string;
  secret: string;
  events: string[];
  enabled: boolean;
  created_at: string;
  description?: string | null;
  metadata?: { [name: string]: string } | null;
  filters?: EndpointFilters | null;
  ordered?: boolean | null;
  timeout_ms?: number | null;
  concurrency?: number | null;
  disabled_reason?: string | null;
  previous_secret_expires_at?: string | null;
  group?: string | null;
}

export function endpoint(wire: WireEndpoint): Endpoint {
  return {
    endpointId: wire.endpoint_id,
    name: wire.name,
    url: wire.url,
    secret: wire.secret,
    events: wire.events,
    enabled: wire.enabled,
    createdAt: wire.created_at,
    ...present('description', wire.description),
    ...present('metadata', wire.metadata),
    ...present('filters', wire.filters),
    ...present('ordered', wire.ordered),
    ...present('timeoutMs', wire.timeout_ms),
    ...present('concurrency', wire.concurrency),
    ...present('disabledReason', wire.disabled_reason),
    ...present('previousSecretExpiresAt', wire.previous_secret_expires_at),
    ...present('group', wire.group),
  };
}

/** RFC 3339. `where` names the option in an error. */
export function time(at: Date | string, where: string): string {
  if (typeof at === 'string') return at;
  if (Number.isNaN(at.getTime())) throw new ValidationError(`${where} is an invalid Date; check how it was made`);
  return at.toISOString();
}

export interface WireDelivery {
  delivery_id: string;
  endpoint_name: string;
  event_type: string;
  status: DeliveryStatus;
  retry_count: number;
  created_at: string;
  response_status_code?: number | null;
  duration_ms?: number | null;
  error_message?: string | null;
  response_body?: string | null;
  next_attempt_at?: string | null;
  topic?: string | null;
  partition?: number | null;
  offset?: number | null;
}

export function delivery(wire: WireDelivery): Delivery {
  return {
    deliveryId: wire.delivery_id,
    endpointName: wire.endpoint_name,
    eventType: wire.event_type,
    status: wire.status,
    retryCount: wire.retry_count,
    createdAt: wire.created_at,
    ...present('responseStatusCode', wire.response_status_code),
    ...present('durationMs', wire.duration_ms),
    ...present('errorMessage', wire.error_message),
    ...present('responseBody', wire.response_body),
    ...present('nextAttemptAt', wire.next_attempt_at),
    ...present('topic', wire.topic),
    ...present('partition', wire.partition),
    ...present('offset', wire.offset),
  };
}

export interface WireSentWebhook {
  event_id: string;
  deliveries: { delivery_id: string; endpoint_name: string; status: DeliveryStatus }[];
}

export function sentWebhook(wire: WireSentWebhook): SentWebhook {
  return {
    eventId: wire.event_id,
    deliveries: wire.deliveries.map((each) => ({
      deliveryId: each.delivery_id, endpointName: each.endpoint_name, status: each.status,
    })),
  };
}

interface WireEndpointStats {
  deliveries: number;
  successful: number;
  failed: number;
  success_rate: number;
  avg_duration_ms: number;
}

export interface WireWebhookStats {
  tenant_id: string;
  by_endpoint: { [name: string]: WireEndpointStats };
  total_deliveries: number;
  successful_deliveries: number;
  failed_deliveries: number;
  success_rate: number;
  avg_duration_ms: number;
}

export function webhookStats(wire: WireWebhookStats): WebhookStats {
  const byEndpoint = Object.entries(wire.by_endpoint).map(([name, stats]) => [name, {
    deliveries: stats.deliveries,
    successful: stats.successful,
    failed: stats.failed,
    successRate: stats.success_rate,
    avgDurationMs: stats.avg_duration_ms,
  }] as const);
  return {
    tenantId: wire.tenant_id,
    byEndpoint: Object.fromEntries(byEndpoint),
    totalDeliveries: wire.total_deliveries,
    successfulDeliveries: wire.successful_deliveries,
    failedDeliveries: wire.failed_deliveries,
    successRate: wire.success_rate,
    avgDurationMs: wire.avg_duration_ms,
  };
}

/** `{[name]: value}`, or nothing where the server sent null or left it out. */
function present<Name extends string, T>(name: Name, value: T | null | undefined): { [key in Name]?: T } {
  return value === null || value === undefined ? {} : { [name]: value } as { [key in Name]?: T };
}

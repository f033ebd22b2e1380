import { pathSegment } from './http.js';
import type { HttpClient } from './http.js';
import type {
  CallOptions, Delivery, DeliveryQuery, Endpoint, EndpointChange, NewEndpoint, NewWebhook, Replay, Replayed, SecretRotation, SentWebhook, TestEvent,
  WebhookStats,
} from './types.js';
import { delivery, endpoint, sentWebhook, time, webhookStats } from './wire.js';
import type { WireDelivery, WireEndpoint, WireSentWebhook, WireWebhookStats } from './wire.js';

// The longest time that a server waits for a receiver's answer (`hooks.timeout_max_ms` as it comes).
const RECEIVER_MS_MAX = 60_000;

/** Webhooks: `client.hooks`. */
export class Hooks {
  readonly #http: HttpClient;

  constructor(http: HttpClient) {
    this.#http = http;
  }

  /** Creates an endpoint. Retried after 429 only. */
  async createEndpoint(newEndpoint: NewEndpoint, options: CallOptions = {}): Promise<Endpoint> {
    const { name, url, events, description, metadata, filters, ordered, enabled, timeoutMs, concurrency, secret } = newEndpoint;
    return endpoint(await this.#http.json<WireEndpoint>({
      method: 'POST',
      path: '/webhooks/endpoints',
      body: { name, url, events, description, metadata, filters, ordered, enabled, timeout_ms: timeoutMs, concurrency, secret },
      retry: 'refused',
      signal: options.signal,
    }));
  }

  async listEndpoints(options: CallOptions = {}): Promise<Endpoint[]> {
    const wire = await this.#http.json<{ endpoints: WireEndpoint[] }>({
      method: 'GET', path: '/webhooks/endpoints', retry: 'safe', signal: options.signal,
    });
    return wire.endpoints.map(endpoint);
  }

  /** Throws {@link NotFoundError} if there is no such endpoint, as what follows. */
  async getEndpoint(name: string, options: CallOptions = {}): Promise<Endpoint> {
    return endpoint(await this.#http.json<WireEndpoint>({
      method: 'GET', path: endpointPath(name), retry: 'safe', signal: options.signal,
    }));
  }

  /** Changes an endpoint; what is left out stays. Topics that it did not have before are delivered from now on. */
  async updateEndpoint(name: string, change: EndpointChange, options: CallOptions = {}): Promise<Endpoint> {
    const { url, events, description, metadata, filters, ordered, enabled, timeoutMs, concurrency } = change;
    return endpoint(await this.#http.json<WireEndpoint>({
      method: 'PATCH',
      path: endpointPath(name),
      body: { url, events, description, metadata, filters, ordered, enabled, timeout_ms: timeoutMs, concurrency },
      retry: 'safe',
      signal: options.signal,
    }));
  }

  /** Goes on delivering, with what was written meanwhile. */
  async enableEndpoint(name: string, options: CallOptions = {}): Promise<Endpoint> {
    return this.#changed(name, 'enable', options);
  }

  /** Stops delivering; events wait in their topics, for as long as these keep them. */
  async disableEndpoint(name: string, options: CallOptions = {}): Promise<Endpoint> {
    return this.#changed(name, 'disable', options);
  }

  async #changed(name: string, how: 'enable' | 'disable', options: CallOptions): Promise<Endpoint> {
    return endpoint(await this.#http.json<WireEndpoint>({
      method: 'POST', path: `${endpointPath(name)}/${how}`, retry: 'safe', signal: options.signal,
    }));
  }

  /** Gives an endpoint another secret, which is in the answer. Retried after 429 only: each try makes another one. */
  async rotateSecret(name: string, rotation: SecretRotation = {}): Promise<Endpoint> {
    return endpoint(await this.#http.json<WireEndpoint>({
      method: 'POST',
      path: `${endpointPath(name)}/rotate-secret`,
      body: { secret: rotation.secret, overlap_ms: rotation.overlapMs },
      retry: 'refused',
      signal: rotation.signal,
    }));
  }

  async deleteEndpoint(name: string, options: CallOptions = {}): Promise<void> {
    await this.#http.delete(endpointPath(name), options.signal);
  }

  /** The newest deliveries of an endpoint, the newest first. */
  async getDeliveries(endpointName: string, query: DeliveryQuery = {}): Promise<Delivery[]> {
    const wire = await this.#http.json<{ deliveries: WireDelivery[] }>({
      method: 'GET',
      path: `${endpointPath(endpointName)}/deliveries`,
      query: {
        status: query.status,
        event_type: query.eventType,
        from: query.from === undefined ? undefined : time(query.from, 'from'),
        to: query.to === undefined ? undefined : time(query.to, 'to'),
        limit: query.limit,
      },
      retry: 'safe',
      signal: query.signal,
    });
    return wire.deliveries.map(delivery);
  }

  async getDelivery(endpointName: string, deliveryId: string, options: CallOptions = {}): Promise<Delivery> {
    return delivery(await this.#http.json<WireDelivery>({
      method: 'GET',
      path: `${endpointPath(endpointName)}/deliveries/${pathSegment('delivery id', deliveryId)}`,
      retry: 'safe',
      signal: options.signal,
    }));
  }

  /** Sends events again, each with the id that it had before. Retried after 429 only. */
  async replay(endpointName: string, what: Replay, options: CallOptions = {}): Promise<Replayed> {
    return this.#http.json<Replayed>({
      method: 'POST', path: `${endpointPath(endpointName)}/replay`, body: wireReplay(what), retry: 'refused', signal: options.signal,
    });
  }

  /** Sends one event at once, and gives what became of it. It is in no topic, and is not tried again. */
  async test(endpointName: string, event: TestEvent = {}): Promise<Delivery> {
    return delivery(await this.#http.json<WireDelivery>({
      method: 'POST',
      path: `${endpointPath(endpointName)}/test`,
      body: { event_type: event.eventType, payload: event.payload },
      waitMs: RECEIVER_MS_MAX,
      retry: 'refused',
      signal: event.signal,
    }));
  }

  /** Sends an event. Retried after 429 only: a lost answer may mean that it is on its way. */
  async send(webhook: NewWebhook, options: CallOptions = {}): Promise<SentWebhook> {
    return sentWebhook(await this.#http.json<WireSentWebhook>({
      method: 'POST',
      path: '/webhooks',
      body: { event_type: webhook.eventType, payload: webhook.payload, endpoints: webhook.endpoints },
      retry: 'refused',
      signal: options.signal,
    }));
  }

  async stats(options: CallOptions = {}): Promise<WebhookStats> {
    return webhookStats(await this.#http.json<WireWebhookStats>({
      method: 'GET', path: '/webhooks/stats', retry: 'safe', signal: options.signal,
    }));
  }
}

function wireReplay(what: Replay): { [name: string]: string | undefined } {
  if ('deliveryId' in what) return { delivery_id: what.deliveryId };
  if ('status' in what) return { status: what.status };
  return { from: time(what.from, 'from'), to: what.to === undefined ? undefined : time(what.to, 'to') };
}

function endpointPath(name: string): string {
  return `/webhooks/endpoints/${pathSegment('endpoint name', name)}`;
}

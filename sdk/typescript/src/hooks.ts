import { pathSegment } from './http.js';
import type { HttpClient } from './http.js';
import type { CallOptions, Delivery, Endpoint, NewEndpoint, NewWebhook, SentWebhook, WebhookStats } from './types.js';
import { delivery, endpoint, sentWebhook, webhookStats } from './wire.js';
import type { WireDelivery, WireEndpoint, WireSentWebhook, WireWebhookStats } from './wire.js';

/** Webhooks: `client.hooks`. */
export class Hooks {
  readonly #http: HttpClient;

  constructor(http: HttpClient) {
    this.#http = http;
  }

  /** Creates an endpoint. Retried after 429 and 503 only. */
  async createEndpoint(newEndpoint: NewEndpoint, options: CallOptions = {}): Promise<Endpoint> {
    const { name, url, events, description, metadata } = newEndpoint;
    return endpoint(await this.#http.json<WireEndpoint>({
      method: 'POST',
      path: '/webhooks/endpoints',
      body: { name, url, events, description, metadata },
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

  async deleteEndpoint(name: string, options: CallOptions = {}): Promise<void> {
    await this.#http.delete(endpointPath(name), options.signal);
  }

  async getDeliveries(endpointName: string, options: CallOptions = {}): Promise<Delivery[]> {
    const wire = await this.#http.json<{ deliveries: WireDelivery[] }>({
      method: 'GET', path: `${endpointPath(endpointName)}/deliveries`, retry: 'safe', signal: options.signal,
    });
    return wire.deliveries.map(delivery);
  }

  /** Sends an event. Retried after 429 and 503 only: a lost answer may mean that it is on its way. */
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

function endpointPath(name: string): string {
  return `/webhooks/endpoints/${pathSegment('endpoint name', name)}`;
}

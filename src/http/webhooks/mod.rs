//! Webhooks over HTTP. The routes, each at the root and under `/projects/{project_id}`, and their JSON:
//!
//! ```text
//! Endpoint = {endpoint_id, name, url, secret, events, enabled, created_at, description?, metadata, filters: {headers, data}, ordered,
//!             timeout_ms?, concurrency?, disabled_reason?, previous_secret_expires_at?, group}
//! Delivery = {delivery_id, endpoint_name, event_type, status: pending|success|failed|cancelled, retry_count, attempts, created_at, updated_at,
//!             response_status_code?, duration_ms?, error_message?, response_body?, next_attempt_at?, topic?, partition?, offset?}
//!
//! POST   /webhooks/endpoints                       {name, url, events?, description?, metadata?, filters?, ordered?, enabled?, timeout_ms?, concurrency?, secret?}
//!                                                  201 Endpoint
//! GET    /webhooks/endpoints                       {endpoints: [Endpoint]}
//! GET    /webhooks/endpoints/{name}                Endpoint
//! PATCH  /webhooks/endpoints/{name}                {url?, events?, description?, metadata?, filters?, ordered?, enabled?, timeout_ms?, concurrency?}: Endpoint
//! DELETE /webhooks/endpoints/{name}                204
//! POST   /webhooks/endpoints/{name}/enable         Endpoint
//! POST   /webhooks/endpoints/{name}/disable        Endpoint
//! POST   /webhooks/endpoints/{name}/rotate-secret  {secret?, overlap_ms?}, or nothing: Endpoint
//! GET    /webhooks/endpoints/{name}/deliveries     ?status=&event_type=&from=&to=&limit=: {deliveries: [Delivery]}, the newest first
//! GET    /webhooks/endpoints/{name}/deliveries/{delivery_id}   Delivery
//! POST   /webhooks/endpoints/{name}/replay         {from, to?} or {status} or {delivery_id}: 202 {ranges, events}
//! POST   /webhooks/endpoints/{name}/test           {event_type?, payload?}, or nothing: Delivery
//! POST   /webhooks                                 {event_type, payload, endpoints?}: {event_id, deliveries: [{delivery_id, endpoint_name, status}]}
//! GET    /webhooks/stats                           {tenant_id, by_endpoint: {name: {deliveries, successful, failed, success_rate, avg_duration_ms}},
//!                                                  total_deliveries, successful_deliveries, failed_deliveries, success_rate, avg_duration_ms}
//! ```

pub mod deliveries;
pub mod endpoints;
pub mod events;

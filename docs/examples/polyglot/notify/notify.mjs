// Posts each unusual reading to a webhook, eight at once. What the receiver does not take is tried again later.
//
// The receiver may see an alert twice, when its answer gets lost: the header idempotency-key, the record's id, tells.

import { optional, Reject, Retry, run, sink } from '../../../../sdk-stubs/node/index.js';

async function notify(record, { config, signal }) {
  const reading = record.json();
  let response;
  try {
    response = await fetch(process.env.ALERT_WEBHOOK || config.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': record.id },
      body: JSON.stringify({ id: record.id, ...reading }),
      signal: AbortSignal.any ? AbortSignal.any([signal, AbortSignal.timeout(config.patience * 1000)]) : signal,
    });
    await response.arrayBuffer(); // or the connection cannot be used again
  } catch (error) {
    // Nobody knows whether it arrived.
    throw new Retry(error.cause?.message ?? error.message, { indefinite: true });
  }
  if (response.status >= 500 || response.status === 429) throw new Retry(`the webhook answered ${response.status}`);
  if (!response.ok) throw new Reject(1000 + response.status, `the webhook answered ${response.status}`);
}

run(sink(notify, {
  config: { url: 'string', patience: optional('number', 2) }, // seconds for one answer
  concurrency: 8,
  timeout: 10,
}), { version: '1.0.0' });

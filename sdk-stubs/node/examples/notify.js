// A sink: posts each record to a webhook, eight at once. Whoever receives it may get one twice, with the same key.

import { optional, Reject, Retry, run, sink } from 'stagewire';

async function notify(record, { config, signal }) {
  let response;
  try {
    response = await fetch(config.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': record.id },
      body: JSON.stringify({ id: record.id, key: record.key, data: record.json() }),
      signal,
    });
    await response.arrayBuffer(); // or the connection cannot be used again
  } catch (error) {
    // Nobody knows whether it arrived.
    throw new Retry(`${config.url}: ${error.cause?.message ?? error.message}`, { indefinite: true });
  }
  if (response.status >= 500 || response.status === 429) {
    const seconds = Number(response.headers.get('retry-after')) || config.retrySeconds;
    throw new Retry(`${config.url} answered ${response.status}`, { seconds });
  }
  if (!response.ok) throw new Reject(1000 + response.status, `${config.url} answered ${response.status}`);
}

run(sink(notify, {
  config: { url: 'string', retrySeconds: optional('number', 1) },
  concurrency: 8,
  timeout: 10,
}));

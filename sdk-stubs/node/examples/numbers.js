// A source: numbers, a hundred in each step. Its checkpoint is the next number, so a restart goes on there.

import { emission, optional, run, source } from 'stagewire';

run(source(function* numbers(partition, { config }) {
  for (let next = partition.checkpoint ?? 0; next < config.count;) {
    const end = Math.min(next + 100, config.count);
    const emissions = [];
    for (; next < end; next++) emissions.push(emission({ json: next, key: `${next % 10}` }));
    yield { emissions, checkpoint: next };
  }
}, { config: { count: optional('integer', 1000) } }));

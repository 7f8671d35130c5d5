// Every record goes on as it is: the worker of the pipeline benchmark (`make bench` in the root, docs/BENCHMARKS.md).

import { transform, run } from 'stagewire';

run(transform(function forward(record) {
  return record.emit();
}));

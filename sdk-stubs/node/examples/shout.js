// A transform: the text in capital letters.

import { transform, run } from 'stagewire';

run(transform(function shout(record) {
  return record.emit({ text: record.text().toUpperCase() });
}));

// A window: the mean of each sensor's readings, every ten seconds of event time.

import { run, window } from 'stagewire';

run(window(function mean(readings) {
  let sum = 0;
  for (const each of readings) sum += each.json().celsius;
  return readings.emit({
    json: { sensor: readings.key, readings: readings.size, mean: sum / readings.size },
    key: readings.key,
    eventTime: readings.start,
  });
}, { eventTime: { size: 10, lateness: 2 }, byKey: true }));

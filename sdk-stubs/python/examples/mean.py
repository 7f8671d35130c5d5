"""A window: the mean reading of each sensor in each minute, as one atomic step."""

import statistics

import stagewire


@stagewire.window(event_time=60, lateness=5, by_key=True)
def mean(window):
    values = []
    for record in window:
        try:
            values.append(float(record.json()["celsius"]))
        except (ValueError, TypeError, KeyError):
            window.reject(record, 1001, "not a reading in Celsius")
    if values:
        result = {"mean": statistics.fmean(values), "readings": len(values), "complete": window.complete}
        yield stagewire.emission(json=result, key=window.key, event_time=window.start)


if __name__ == "__main__":
    stagewire.run(mean)

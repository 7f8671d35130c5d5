"""A window: the mean of up to 100 readings, at least every ten seconds, as one atomic step."""

import statistics

import stagewire


@stagewire.batch(records=100, seconds=10)
def mean(records):
    values = [record.json()["celsius"] for record in records]
    yield stagewire.emission(json={"readings": len(values), "mean": statistics.fmean(values)})


if __name__ == "__main__":
    stagewire.run(mean)

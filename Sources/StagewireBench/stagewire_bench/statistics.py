"""Medians, spreads and percentiles, exactly: from the samples themselves, never from a histogram's buckets."""

import dataclasses
import math
import statistics

from .run import Failed


@dataclasses.dataclass(frozen=True)
class Spread:
    """The median of some runs, and the least and the greatest of them."""
    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values):
        values = list(values)
        if not values:
            raise ValueError("a spread of nothing")
        return cls(statistics.median(values), min(values), max(values), len(values))

    @property
    def relative(self):
        """Width of the spread as a share of the median; 0.1: the runs lie within 10%."""
        return (self.high - self.low) / self.median if self.median else 0.0


def percentile(ordered, share):
    """The least sample that at least `share` of the samples do not exceed (nearest rank)."""
    if not ordered:
        raise ValueError("a percentile of nothing")
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is no share")
    # 0.999 * 1000 is 999.0000000000001 in some orders of multiplication: that is still rank 999.
    rank = math.ceil(round(share * len(ordered), 6))
    return ordered[max(0, rank - 1)]


def paired(values, floor):
    """Spread of the ratios round by round, for the two were measured next to each other; None without a pair.

    The machine's drift from round to round is in both parts of such a ratio, and cancels out.
    """
    ratios = [a / b for a, b in zip(values, floor) if a is not None and b]
    return Spread.of(ratios) if ratios else None


class Rounds:
    """What has `samples`: one for each round, None where it could not be measured, and `failures`, which say why."""

    def take(self, label, measure, say, told):
        """Adds what a round measures, and says it as `told` has it; gives it back, None after a failure."""
        try:
            sample = measure()
        except Failed as failure:
            self.failures.append(str(failure))
            self.samples.append(None)
            say(f"{label} failed: {failure}")
            return None
        self.samples.append(sample)
        say(f"{label} {told(sample)}")
        return sample

    def values(self, name):
        return [getattr(sample, name) if sample else None for sample in self.samples]

    def spread(self, name):
        values = [value for value in self.values(name) if value is not None]
        return Spread.of(values) if values else None


@dataclasses.dataclass(frozen=True)
class Latency:
    """Microseconds; the samples of all rounds together."""
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    samples: int

    @classmethod
    def of(cls, samples):
        ordered = sorted(samples)
        return cls(*(percentile(ordered, share) for share in (0.5, 0.9, 0.99, 0.999)), ordered[-1], len(ordered))

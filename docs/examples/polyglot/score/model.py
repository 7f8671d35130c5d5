"""An online anomaly model for one sensor: how unlikely are its latest readings, given its past?

The raw score of a reading is its distance from the sensor's mean so far, in standard deviations (both computed
as the readings come: B. P. Welford, Technometrics 4(3), 1962). Single distances say little, for readings are noisy
and follow the day. So the *anomaly likelihood* of S. Ahmad and A. Lavin compares the mean of the last few scores
with the distribution of many, and asks how often chance alone would give so high a mean ("Evaluating Real-Time
Anomaly Detection Algorithms - the Numenta Anomaly Benchmark", IEEE ICMLA 2015, section III-C).

The parameters are those of the paper and of its authors' program; nothing here was fitted to a data set.
"""

import math

import numpy as np

# Scores that make up the distribution, and the latest ones that are compared with it (W and W' in the paper).
HISTORY = 8000
RECENT = 10
# Readings before anything is judged: 288 to learn and 100 to estimate, as in the authors' program.
PROBATION = 388


class Likelihood:
    """The chance that the recent scores are no higher than usual, from a ring of the last `HISTORY` scores."""

    def __init__(self, history: int = HISTORY, recent: int = RECENT):
        self.recent = recent
        self.scores = np.zeros(history)
        self.count = 0

    def add(self, score: float) -> None:
        self.scores[self.count % len(self.scores)] = score
        self.count += 1

    def chance(self) -> float:
        """Q((mean of the recent scores - mean) / standard deviation), the upper tail of the normal distribution."""
        known = self.scores[: min(self.count, len(self.scores))]
        deviation = float(known.std())
        if deviation == 0:
            return 1.0
        latest = self.scores[np.arange(self.count - min(self.recent, self.count), self.count) % len(self.scores)]
        return 0.5 * math.erfc(float(latest.mean() - known.mean()) / deviation / math.sqrt(2))


class Model:
    """Scores the readings of one sensor, in order."""

    def __init__(self, probation: int = PROBATION):
        self.probation = probation
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0  # sum of squared distances from the mean
        self.likelihood = Likelihood()

    def chance(self, value: float) -> float:
        """Takes one reading in, and gives the chance that what was seen lately is nothing unusual: 0 to 1."""
        self.count += 1
        distance = value - self.mean
        self.mean += distance / self.count
        self.squares += distance * (value - self.mean)
        deviation = math.sqrt(self.squares / self.count)
        self.likelihood.add(abs(value - self.mean) / deviation if deviation > 0 else 0.0)
        return self.likelihood.chance() if self.count > self.probation else 1.0

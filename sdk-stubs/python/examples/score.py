"""A transform: marks readings that are far from the mean so far."""

from dataclasses import dataclass

import stagewire


@dataclass
class Settings:
    mean: float
    threshold: float = 3.5


@stagewire.transform
def score(record, config: Settings):
    reading = record.json()
    verdict = "warning" if abs(reading["celsius"] - config.mean) > config.threshold else "normal"
    yield record.emit(json={**reading, "prediction": verdict}, attributes={"prediction": verdict})


if __name__ == "__main__":
    stagewire.run(score)

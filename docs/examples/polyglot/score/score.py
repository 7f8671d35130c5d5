"""Scores each reading with an online anomaly model of its sensor (model.py)."""

from dataclasses import dataclass

import stagewire
from model import Model


@dataclass
class Settings:
    """The chance below which a reading is unusual. `critical` is the threshold of the model's paper, `warning` ten
    times as much: of 10,000 usual readings one is expected to look as strange."""

    warning: float = 1e-4
    critical: float = 1e-5

    def prediction(self, chance: float) -> str:
        if chance < self.critical:
            return "critical"
        return "warning" if chance < self.warning else "normal"


class Scorer:
    """The models, and each sensor's latest verdict."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.models: dict[str, Model] = {}
        self.latest: dict[str, tuple[str, float]] = {}

    def chance(self, sensor: str, record: stagewire.Record, celsius: float) -> float:
        """A record that comes again, because its verdict got lost, must not count twice: it gets the same one."""
        known = self.latest.get(sensor)
        if known is None or known[0] != record.id:
            model = self.models.setdefault(sensor, Model())
            known = self.latest[sensor] = (record.id, model.chance(celsius))
        return known[1]


@stagewire.transform
def score(record, scorer):
    reading = record.json()
    chance = scorer.chance(reading["sensor"], record, reading["celsius"])
    prediction = scorer.settings.prediction(chance)
    yield record.emit(
        json={**reading, "chance": chance, "prediction": prediction}, attributes={"prediction": prediction}
    )


if __name__ == "__main__":
    stagewire.run(score, version="1.0.0", setup=Scorer)

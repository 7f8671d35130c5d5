"""Makes sample readings: `generate.py DIRECTORY [--readings N] [--seed N]`. The same seed, the same files.

Each sensor is a CSV file, one line every five minutes: a daily wave, noise, a few anomalies to be found, and lines that are
irrelevant (comments, humidity) or malformed. Sensors write times and units in their own ways.
"""

import argparse
import math
import pathlib
import random
from datetime import datetime, timedelta, timezone

# Mean and half the distance between a day's warmest and coldest moment, degrees Celsius; how times and values are written.
SENSORS = {
    "boiler": (65.0, 5.0, "local", "F"),
    "cellar": (12.5, 0.8, "offset", "C"),
    "greenhouse": (24.0, 8.0, "unix", "K"),
    "roof": (16.0, 10.0, "local", "F"),
}
BEGIN = datetime(2024, 3, 1)
STEP = timedelta(minutes=5)
MALFORMED = 0.0005  # shares of lines
IRRELEVANT = 0.001
ANOMALIES = 0.0005  # share of readings at which one begins


def readings(chance: random.Random, mean: float, swing: float, number: int):
    """Times, values, and whether the value is part of an anomaly."""
    left, away = 0, 0.0
    for i in range(number):
        moment = BEGIN + i * STEP
        day = (moment.hour * 60 + moment.minute) / 1440
        value = mean - swing * math.cos(2 * math.pi * (day - 0.1)) + chance.gauss(0, swing / 20)
        # None in the first days: a model has to see what is usual first.
        if left == 0 and i > 1000 and chance.random() < ANOMALIES:
            left, away = chance.randrange(12, 60), chance.choice([-5, 5]) * swing
        if left:
            left -= 1
            value += away
        yield moment, value, left > 0


def written(moment: datetime, celsius: float, times: str, unit: str) -> str:
    """A line as this sensor writes it."""
    stamp = {
        "local": f"{moment}",
        "offset": f"{moment + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}+01:00",
        "unix": f"{int(moment.replace(tzinfo=timezone.utc).timestamp())}",
    }[times]
    value = {"F": celsius * 9 / 5 + 32, "C": celsius, "K": celsius + 273.15}[unit]
    return f"{stamp},{value:.4f}" + ("" if unit == "F" else f",{unit}")


def irrelevant(chance: random.Random, moment: datetime) -> str:
    return chance.choice(["# restarted", f"{moment},{chance.uniform(30, 90):.1f},%", f"{moment},1013.2,hPa"])


def malformed(chance: random.Random, moment: datetime, value: float) -> str:
    """A line as broken sensors and editors leave it; none of these is a reading."""
    return chance.choice([
        f"{moment},", f"{moment},n/a", f"{moment}", f",{value:.4f}", f"{moment},{value:.4f},furlong",
        f"{moment.year}-13-45 25:61:00,{value:.4f}",
    ])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("directory", type=pathlib.Path)
    arguments.add_argument("--readings", type=int, default=10_000, help="lines per sensor")
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    broken = beside = strange = 0
    for sensor, (mean, swing, times, unit) in SENSORS.items():
        chance = random.Random(f"{options.seed} {sensor}")
        with open(options.directory / f"{sensor}.csv", "w", encoding="ascii") as file:
            file.write("timestamp,value,unit\n")
            for moment, value, anomalous in readings(chance, mean, swing, options.readings):
                roll = chance.random()
                if roll < MALFORMED:
                    broken += 1
                    file.write(malformed(chance, moment, value) + "\n")
                elif roll < MALFORMED + IRRELEVANT:
                    beside += 1
                    file.write(irrelevant(chance, moment) + "\n")
                else:
                    strange += anomalous
                    file.write(written(moment, value, times, unit) + "\n")
    total = len(SENSORS) * options.readings
    print(
        f"generated {total:,} lines of {len(SENSORS)} sensors in {options.directory}: {broken} malformed, {beside} irrelevant, "
        f"{strange} readings in anomalies"
    )


if __name__ == "__main__":
    main()

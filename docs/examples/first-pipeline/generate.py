"""Makes sample readings: `generate.py DIRECTORY [--readings N] [--seed N]`. The same seed, the same files.

Each sensor is a CSV file `timestamp,value` in degrees Fahrenheit, one line every five minutes: a daily
wave, noise, now and then an anomaly (a spike, or a sensor that sticks), and a few lines that are no readings.
"""

import argparse
import math
import pathlib
import random
from datetime import datetime, timedelta

SENSORS = {"boiler": (150.0, 9.0), "cellar": (55.0, 1.5), "greenhouse": (75.0, 14.0), "roof": (62.0, 18.0)}
BEGIN = datetime(2024, 3, 1)
STEP = timedelta(minutes=5)
MALFORMED = 0.0005  # share of lines


def readings(chance: random.Random, mean: float, swing: float, number: int):
    """Times and values. `swing` is half the distance between a day's warmest and coldest moment."""
    anomaly, left, stuck = "", 0, 0.0
    for i in range(number):
        moment = BEGIN + i * STEP
        day = (moment.hour * 60 + moment.minute) / 1440
        value = mean - swing * math.cos(2 * math.pi * (day - 0.1)) + chance.gauss(0, swing / 20)
        if left == 0 and chance.random() < 0.002:
            anomaly, left, stuck = chance.choice(["spike", "stuck"]), chance.randrange(3, 24), value
        if left:
            left -= 1
            value = stuck if anomaly == "stuck" else value + 3 * swing
        yield moment, value


def malformed(chance: random.Random, moment: datetime, value: float) -> str:
    """A line as broken sensors and editors leave it; none of these is a reading."""
    return chance.choice([
        f"{moment},", f"{moment},n/a", f"{moment}", f",{value:.4f}", "### restarted ###",
        f"{moment.year}-13-45 25:61:00,{value:.4f}",
    ])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("directory", type=pathlib.Path)
    arguments.add_argument("--readings", type=int, default=10_000, help="lines per sensor")
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    broken = 0
    for sensor, (mean, swing) in SENSORS.items():
        chance = random.Random(f"{options.seed} {sensor}")
        with open(options.directory / f"{sensor}.csv", "w", encoding="ascii") as file:
            file.write("timestamp,value\n")
            for moment, value in readings(chance, mean, swing, options.readings):
                if chance.random() < MALFORMED:
                    broken += 1
                    file.write(malformed(chance, moment, value) + "\n")
                else:
                    file.write(f"{moment},{value:.4f}\n")
    total = len(SENSORS) * options.readings
    print(f"generated {total:,} lines of {len(SENSORS)} sensors, {broken} of them malformed, in {options.directory}")


if __name__ == "__main__":
    main()

"""A source: counts from where it stopped, ten numbers in each step.

(The file is not called numbers.py because that is a module of Python's own.)
"""

from dataclasses import dataclass

import stagewire


@dataclass
class Settings:
    count: int = 1000
    step: int = 10


@stagewire.source(partitions=["numbers"])
def numbers(partition, config: Settings):
    for first in range(partition.checkpoint or 0, config.count, config.step):
        after = min(first + config.step, config.count)
        # The numbers and where to go on after them are kept together, or neither is.
        yield [stagewire.emission(text=str(each)) for each in range(first, after)], after


if __name__ == "__main__":
    stagewire.run(numbers)

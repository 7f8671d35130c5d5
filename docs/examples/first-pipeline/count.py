"""The last stage: writes every reading as a line of JSON, counts per sensor, and sums up at the end."""

import json
import os
import sys
from collections import Counter
from dataclasses import dataclass

import stagewire


@dataclass
class Settings:
    output: str  # one line of JSON per reading
    summary: str  # written when the input has ended


class Ledger:
    """The output file and what is known about it.

    A sink may see a record again: when this process dies between writing and settling, the broker
    delivers what was not settled to the next one. So what is in the file is read back at the start, and
    a record whose id is there already is not written twice.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.seen: set[str] = set()  # 16 bytes of identity per reading: fine for a file, not for a year
        self.sensors: Counter = Counter()
        self.incomplete = 0
        self.last: dict = {}  # each sensor's last line of input, or time
        self.out_of_order = 0
        self.file = open(settings.output, "a+b")
        self._read_back()

    def _read_back(self) -> None:
        self.file.seek(0)
        for line in self.file:
            if not line.endswith(b"\n"):  # torn by a crash: it was not settled, so it comes again
                self.file.truncate(self.file.tell() - len(line))
                break
            self._count(json.loads(line))

    def write(self, records: list[stagewire.Record]) -> None:
        """Adds what is new. When this returns, the lines are the kernel's: only now may the records be
        settled, and only now do they count as seen."""
        lines = {record.id: self._line(record) for record in records if record.id not in self.seen}
        try:
            self.file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines.values()))
            self.file.flush()
        except OSError as error:  # what is in the file now? The next process reads it back and knows
            sys.exit(f"count: {self.settings.output}: {error}")
        for line in lines.values():
            self._count(line)

    @staticmethod
    def _line(record: stagewire.Record) -> dict:
        reading = record.json()
        hops = [f"{hop.stage}/{hop.version}/{hop.instance}" for hop in record.hops]
        complete = len(hops) == 2 and all(all(hop.split("/", 2)) for hop in hops)
        line = {
            "sensor": reading["sensor"], "time": reading["time"], "celsius": reading["celsius"],
            "id": record.id, "hops": hops, "complete": complete,
        }
        if "line" in reading:
            line["line"] = reading["line"]
        return line

    def _count(self, line: dict) -> None:
        sensor = line["sensor"]
        self.seen.add(line["id"])
        self.sensors[sensor] += 1
        self.incomplete += not line["complete"]
        # Times alone are not enough where clocks are set back: then the input's line decides.
        position = line.get("line", line["time"])
        self.out_of_order += position < self.last.get(sensor, position)
        self.last[sensor] = position

    def close(self) -> None:
        summary = {
            "readings": sum(self.sensors.values()), "sensors": dict(sorted(self.sensors.items())),
            "out_of_order": self.out_of_order, "incomplete_lineage": self.incomplete,
        }
        with open(self.settings.summary + ".new", "w") as file:
            json.dump(summary, file, indent=2)
            file.write("\n")
        os.replace(self.settings.summary + ".new", self.settings.summary)


@stagewire.sink(batch=True)
def count(records, ledger):
    ledger.write(records)


if __name__ == "__main__":
    stagewire.run(count, version="1.0.0", setup=Ledger)

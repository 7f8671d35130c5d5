"""A source: the lines of files, one partition per file, which goes on where it stopped."""

import itertools

import stagewire


@stagewire.source(partitions=lambda config: config["files"])
def lines(partition, config):
    with open(partition.name, "rb") as file:
        file.seek(partition.checkpoint or 0)
        while batch := list(itertools.islice(iter(file.readline, b""), 500)):
            yield [stagewire.emission(payload=line.rstrip(), key=partition.name) for line in batch], file.tell()


if __name__ == "__main__":
    stagewire.run(lines)

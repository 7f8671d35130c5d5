"""The smallest useful transform: every record goes on in capitals."""

import stagewire


@stagewire.transform
def shout(record):
    yield record.emit(text=record.text().upper())


if __name__ == "__main__":
    stagewire.run(shout)

#!/bin/sh
# Compresses a batch into a file that is named by its content. ARCHIVE: the directory.
set -e
directory=${ARCHIVE:-archive}
mkdir -p "$directory"
name=$(sha256sum < "$STAGEWIRE_FILE" | cut -c 1-16)
# A reader never sees half a file: it gets its name when it is whole.
gzip -n < "$STAGEWIRE_FILE" > "$directory/.$name"
mv "$directory/.$name" "$directory/$name.jsonl.gz"
echo "archived $STAGEWIRE_RECORDS records as $name"

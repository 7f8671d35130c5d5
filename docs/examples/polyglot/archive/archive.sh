#!/bin/sh
# Archives a batch of records: archive.sh DIRECTORY, the batch in $STAGEWIRE_FILE (one JSON record a line, docs/RECORD_JSON.md).
#
# An archive holds raw.jsonl, filtered.jsonl and scored.jsonl: what this batch has of each stage. Its name begins with the time
# at which the first record entered the pipeline, so that names sort in that order, and ends with a hash of the contents:
# the same batch tried again writes the same file again. It appears under its name when it is complete.
set -eu
directory=$1
mkdir -p "$directory"
work=$(mktemp -d "$directory/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT

for pair in ingest:raw normalise:filtered score:scored; do
    jq -c --arg stage "${pair%%:*}" 'select(.input == $stage)' "$STAGEWIRE_FILE" > "$work/${pair##*:}.jsonl"
done

first=$(head -n 1 "$STAGEWIRE_FILE" | jq -r '.lineage.ingest_time' | tr -d ':.-')
name=$first-$(sha256sum < "$STAGEWIRE_FILE" | cut -c 1-16).tar.gz
# No times and owners of this machine: the same records make the same bytes.
tar -C "$work" --sort=name --mtime=@0 --owner=0 --group=0 -cf - filtered.jsonl raw.jsonl scored.jsonl | gzip -n > "$work/archive"
mv "$work/archive" "$directory/$name"
echo "archived $(wc -l < "$STAGEWIRE_FILE") records in $name" >&2

#!/usr/bin/env python3
"""Kills the broker and its workers under load, starts them again, and has an oracle count what arrived.

    KILLS=50 SEED=3 DURABILITY=disk SDKS="go node" crash.py STAGEWIRE

Kills come in rounds of ROUND (25), each a pipeline of its own that is drawn from seed and number. What a round leaves lies
in build/crash/SEED-DURABILITY; a rig that was interrupted goes on there. A round that is not as it must be stays for
whoever looks into it, and the next call begins with a new round.
"""

import json
import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from oracle import Oracle, Verdict
from rig import Rig, Wrong
from rounds import ROOT, Round, built_sdks

TALLIED = ("confirmed", "arrived", "letters", "redelivered", "undone")


class Campaign:
    """What was killed and found under one seed and durability, over all calls."""

    def __init__(self, seed: int, durability: str):
        self.seed, self.durability = seed, durability
        self.directory = ROOT / "build" / "crash" / f"{seed}-{durability}"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file = self.directory / "tally.json"
        self.tally = Counter(json.loads(self.file.read_text()) if self.file.exists() else {})

    def save(self) -> None:
        self.file.write_text(json.dumps(self.tally, indent=2))

    def enter(self, verdict: Verdict, kills: Counter) -> None:
        self.tally["rounds"] += 1
        for name in TALLIED:
            self.tally[name] += getattr(verdict, name)
        self.tally.update({f"killed_{kind}": count for kind, count in kills.items()})
        self.tally["lost_in_window"] += sum(count for count, _ in verdict.losses)
        self.tally["losses"] += len(verdict.losses)
        self.tally["oldest_ms"] = max(self.tally["oldest_ms"], *(round(age) for _, age in verdict.losses), 0)
        self.save()

    def line(self) -> str:
        t = self.tally
        brokers, workers, both = (t[f"killed_{kind}"] for kind in ("broker", "worker", "both"))
        text = (
            f"kills: {brokers + workers + both:,} (broker {brokers:,}, workers {workers:,}, both {both:,}), confirmed records: "
            f"{t['confirmed']:,}, lost 0, doubled 0, out of order 0, redelivered {t['redelivered']:,}; "
            f"{t['arrived']:,} records at the sinks, {t['letters']:,} dead letters")
        if self.durability == "relaxed":
            text += (
                f"; lost at the end, as announced: {t['lost_in_window']:,} records in {t['losses']:,} partitions, the oldest confirmed "
                f"{t['oldest_ms']:,} ms before its broker was killed; {t['undone']:,} settlements done again")
        return text


def kills_of(directory: Path) -> Counter:
    path = directory / "events.jsonl"
    return Counter(json.loads(line)["kind"] for line in path.read_text().splitlines()) if path.exists() else Counter()


def run_round(stagewire: str, round: Round, seed: int, kills: int) -> list[dict]:
    """Kills until the round has had its share, and lets it end. Returns its dead letters."""
    with Rig(stagewire, round) as rig:
        rig.start_broker()
        while (done := kills_of(round.directory).total()) < kills:
            rig.kill(f"{seed} {round.number} {done}")
        rig.finish()
        # The sinks that the rig starts have ended with the pipeline.
        return rig.letters()


def trial(campaign: Campaign, stagewire: str, number: int, kills: int, sdks: dict) -> int:
    """One round. Returns how many kills it had."""
    directory = campaign.directory / f"round-{number}"
    plan = directory / "round.json"
    if plan.exists():
        kills = json.loads(plan.read_text())["kills"]
    round = Round(directory, campaign.seed, number, kills, campaign.durability, sdks)
    if not plan.exists():
        round.write()
        plan.write_text(json.dumps({"kills": kills, "sdks": sorted(sdks)}))
    begin = time.monotonic()
    letters = run_round(stagewire, round, campaign.seed, kills)
    seconds = time.monotonic() - begin
    verdict = Oracle(directory, round.name, campaign.durability, round.source_records).judge(letters)
    if verdict.counts:
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(verdict.counts.items()))
        raise Wrong("\n  ".join([f"{counts} of {verdict.confirmed:,} confirmed records", *verdict.wrong]))
    done = kills_of(directory)
    campaign.enter(verdict, done)
    shutil.rmtree(directory)
    print(
        f"round {number}: {round.describe()}: {done.total()} kills, {verdict.confirmed:,} records confirmed, "
        f"{verdict.arrived:,} at the sinks ({seconds:.0f} s)", flush=True)
    return done.total()


def main() -> None:
    stagewire = str(Path(sys.argv[1]).resolve())
    seed, kills, share = (int(os.environ.get(name) or standard) for name, standard in (("SEED", 1), ("KILLS", 20), ("ROUND", 25)))
    durability = os.environ.get("DURABILITY") or "disk"
    sdks = built_sdks(os.environ.get("SDKS", "").split())
    campaign = Campaign(seed, durability)
    while kills > 0:
        number = campaign.tally["next"] or 1
        try:
            kills -= trial(campaign, stagewire, number, min(kills, share), sdks)
        except Wrong as wrong:
            campaign.tally["next"] = number + 1
            campaign.save()
            where = (campaign.directory / f"round-{number}").relative_to(ROOT)
            sys.exit(f"not ok: SEED={seed} DURABILITY={durability}, round {number}: {wrong}\n(its files stay in {where})")
        campaign.tally["next"] = number + 1
        campaign.save()
    print(campaign.line())


if __name__ == "__main__":
    main()

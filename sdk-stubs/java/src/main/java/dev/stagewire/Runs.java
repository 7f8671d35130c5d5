package dev.stagewire;

import dev.stagewire.v1.Run;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The runs that the broker has announced: what the numbers in hops stand for. */
final class Runs {
    private final Map<Integer, Run> known = new ConcurrentHashMap<>();

    void add(dev.stagewire.v1.Runs announced) {
        announced.getRunsList().forEach(run -> known.put(run.getNumber(), run));
    }

    Run get(int number) {
        return known.getOrDefault(number, Run.getDefaultInstance());
    }
}

package dev.stagewire;

import java.util.Arrays;
import java.util.List;

/** Delivery ids as ascending ranges, as an Outcome has them. */
final class Ids {
    private long[] ranges = new long[16];
    /** How many ranges. */
    int count;

    static Ids of(List<StageRecord> records) {
        Ids ids = new Ids();
        boolean sorted = true;
        for (int i = 1; i < records.size() && sorted; i++) {
            sorted = Long.compareUnsigned(records.get(i - 1).delivery, records.get(i).delivery) < 0;
        }
        if (sorted) {
            records.forEach(each -> ids.add(each.delivery));
        } else {
            records.stream().map(each -> each.delivery).sorted(Long::compareUnsigned).forEach(ids::add);
        }
        return ids;
    }

    /** Adds an id above all of those that are there. */
    void add(long id) {
        if (count > 0 && ranges[2 * count - 1] + 1 == id) {
            ranges[2 * count - 1] = id;
            return;
        }
        if (2 * count == ranges.length) {
            ranges = Arrays.copyOf(ranges, 2 * ranges.length);
        }
        ranges[2 * count] = id;
        ranges[2 * count + 1] = id;
        count++;
    }

    long first(int range) {
        return ranges[2 * range];
    }

    long last(int range) {
        return ranges[2 * range + 1];
    }
}

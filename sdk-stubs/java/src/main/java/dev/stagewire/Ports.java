package dev.stagewire;

import dev.stagewire.v1.Output;
import dev.stagewire.v1.Welcome;
import java.util.Arrays;
import java.util.List;

/**
 * The stage's outputs in this session with the credit that the broker has given for each, and the limits of a step. Who
 * uses it guards it.
 */
final class Ports {
    final String[] names;
    final int[] numbers;
    final long maxRecord;
    final long stamp;
    final long maxStepRecords;
    final long maxStepBytes;
    private final long[] limitRecords;
    private final long[] limitBytes;
    private final long[] usedRecords;
    private final long[] usedBytes;

    Ports(Welcome welcome) {
        List<Output> outputs = welcome.getOutputsList();
        names = outputs.stream().map(Output::getPort).toArray(String[]::new);
        numbers = outputs.stream().mapToInt(Output::getNumber).toArray();
        maxRecord = welcome.getMaxRecord();
        stamp = welcome.getStampReserve();
        maxStepRecords = welcome.getMaxStepRecords();
        maxStepBytes = welcome.getMaxStepBytes();
        limitRecords = new long[names.length];
        limitBytes = new long[names.length];
        usedRecords = new long[names.length];
        usedBytes = new long[names.length];
    }

    /** The place of the output with this name, null standing for the first. */
    int index(String name) {
        if (name == null && names.length > 0) {
            return 0;
        }
        for (int i = 0; i < names.length; i++) {
            if (names[i].equals(name)) {
                return i;
            }
        }
        throw new IllegalArgumentException(names.length == 0 ? "this stage has no outputs: nothing reads from it"
                : "no output '" + name + "'; this stage has " + String.join(", ", names));
    }

    /** Whether a step that was encoded for `other` means the same here. */
    boolean alike(Ports other) {
        return Arrays.equals(names, other.names) && Arrays.equals(numbers, other.numbers);
    }

    /** Takes a Credit (CR-2). False when it names an output that there is not. */
    boolean raise(int number, long records, long bytes) {
        for (int i = 0; i < numbers.length; i++) {
            if (numbers[i] == number) {
                limitRecords[i] = Math.max(limitRecords[i], records);
                limitBytes[i] = Math.max(limitBytes[i], bytes);
                return true;
            }
        }
        return false;
    }

    /** Whether there is credit for so many records and bytes on each output. */
    boolean fits(long[] records, long[] bytes) {
        for (int i = 0; i < numbers.length; i++) {
            if (records[i] > 0 && (usedRecords[i] + records[i] > limitRecords[i]
                    || usedBytes[i] + bytes[i] > limitBytes[i])) {
                return false;
            }
        }
        return true;
    }

    void use(long[] records, long[] bytes) {
        for (int i = 0; i < numbers.length; i++) {
            usedRecords[i] += records[i];
            usedBytes[i] += bytes[i];
        }
    }
}

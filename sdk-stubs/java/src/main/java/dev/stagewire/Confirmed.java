package dev.stagewire;

/** What is to be done once a record's settlement is durable; see {@link StageRecord#onConfirmed}. */
@FunctionalInterface
public interface Confirmed {
    void run() throws Exception;
}

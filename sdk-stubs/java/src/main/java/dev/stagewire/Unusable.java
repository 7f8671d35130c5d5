package dev.stagewire;

/** Trying again, unchanged, makes no sense: the worker ends with exit code 2 and this sentence. */
final class Unusable extends RuntimeException {
    private static final long serialVersionUID = 1;

    Unusable(String message) {
        super(message);
    }
}

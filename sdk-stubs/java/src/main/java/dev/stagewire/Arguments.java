package dev.stagewire;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * What the library takes from a stage's command line; the rest is its author's.
 *
 * @param test whether to run without a broker
 * @param file what to read records from, `-` for standard input; null for a source
 * @param config the configuration as JSON
 * @param limit how many records a source gives
 */
record Arguments(boolean test, String file, String config, long limit) {
    static Arguments parse(String[] arguments, Stage.Kind kind) {
        boolean test = false;
        String file = null;
        String config = null;
        long limit = 100;
        for (int i = 0; i < arguments.length; i++) {
            String name = arguments[i].contains("=") ? arguments[i].substring(0, arguments[i].indexOf('=')) : arguments[i];
            boolean known = name.equals("--test") || name.equals("--config") || name.equals("--limit");
            if (!known) {
                continue;
            }
            String value = null;
            if (name.length() < arguments[i].length()) {
                value = arguments[i].substring(name.length() + 1);
            } else if (!(name.equals("--test") && kind == Stage.Kind.SOURCE)) {
                if (i + 1 == arguments.length) {
                    throw new Unusable(name + " needs a value: " + (name.equals("--test") ? "a file of records, or - for standard input"
                            : name.equals("--config") ? "JSON, or @FILE" : "a number"));
                }
                value = arguments[++i];
            }
            switch (name) {
                case "--test" -> {
                    test = true;
                    file = value;
                }
                case "--config" -> config = value;
                default -> limit = number(value);
            }
        }
        return new Arguments(test, file, config == null ? "{}" : content(config), limit);
    }

    private static long number(String text) {
        try {
            long limit = Long.parseLong(text);
            if (limit >= 0) {
                return limit;
            }
        } catch (NumberFormatException invalid) {
            // The sentence below says it.
        }
        throw new Unusable("--limit " + text + ": not a number of records");
    }

    private static String content(String config) {
        if (!config.startsWith("@")) {
            return config;
        }
        try {
            return Files.readString(Path.of(config.substring(1)));
        } catch (IOException | RuntimeException unreadable) {
            throw new Unusable("--config " + config + ": cannot be read (" + unreadable.getMessage() + ")");
        }
    }
}

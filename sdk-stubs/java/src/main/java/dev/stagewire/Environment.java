package dev.stagewire;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.function.UnaryOperator;

/**
 * What the broker's host tells a worker by its environment.
 *
 * @param socket the broker's; null when it is not set
 * @param token null for a worker that somebody else started
 */
record Environment(String socket, String stage, String instance, byte[] token) {
    private static final String TOKEN = "STAGEWIRE_TOKEN";
    /** Read and wiped once, as early as this class is: see {@link #wipe}. */
    private static final String TAKEN = wipe();

    boolean spawned() {
        return token != null;
    }

    /** This process's, whose token is out of what child processes inherit (HS-1). */
    static Environment take() {
        return of(Environment::variable);
    }

    static String variable(String name) {
        return name.equals(TOKEN) ? TAKEN : System.getenv(name);
    }

    static Environment of(UnaryOperator<String> variables) {
        String token = variables.apply(TOKEN);
        byte[] bytes = null;
        if (token != null && !token.isEmpty()) {
            try {
                bytes = HexFormat.of().parseHex(token);
            } catch (IllegalArgumentException invalid) {
                throw new Unusable(TOKEN + " is not hexadecimal: it is the broker's to set");
            }
        }
        return new Environment(variables.apply("STAGEWIRE_SOCKET"), orEmpty(variables.apply("STAGEWIRE_STAGE")),
                orEmpty(variables.apply("STAGEWIRE_INSTANCE")), bytes);
    }

    private static String orEmpty(String value) {
        return value == null ? "" : value;
    }

    /**
     * Java cannot unset a variable: it has a copy of the environment, while child processes inherit the C library's. On
     * Linux the strings of the latter can be overwritten where the kernel has put them. Done before anything has asked
     * Java for its copy, that one is without the token, too. Elsewhere, or where this is not allowed, the token stays,
     * and ProcessBuilder.environment() is the place to remove it.
     */
    private static String wipe() {
        String token = null;
        try {
            byte[] block = Files.readAllBytes(Path.of("/proc/self/environ"));
            String text = new String(block, StandardCharsets.ISO_8859_1);
            int at = text.startsWith(TOKEN + "=") ? 0 : text.indexOf("\0" + TOKEN + "=") + 1;
            if (at == 0 && !text.startsWith(TOKEN + "=")) {
                return System.getenv(TOKEN);
            }
            int end = text.indexOf('\0', at) < 0 ? text.length() : text.indexOf('\0', at);
            token = text.substring(at + TOKEN.length() + 1, end);
            // The field behind the program's name, which may have spaces, is the third; env_start is the fiftieth.
            String stat = Files.readString(Path.of("/proc/self/stat"), StandardCharsets.ISO_8859_1);
            long start = Long.parseUnsignedLong(stat.substring(stat.lastIndexOf(')') + 2).split(" ")[47]);
            overwrite(start + at, text.substring(at, end).getBytes(StandardCharsets.ISO_8859_1));
        } catch (IOException | RuntimeException elsewhere) {
            return token == null ? System.getenv(TOKEN) : token;
        }
        return token;
    }

    /** Puts zeros over `expected` in this process's memory, if that is what stands there. */
    private static void overwrite(long address, byte[] expected) throws IOException {
        try (RandomAccessFile memory = new RandomAccessFile("/proc/self/mem", "rw")) {
            byte[] found = new byte[expected.length];
            memory.seek(address);
            memory.readFully(found);
            if (java.util.Arrays.equals(found, expected)) {
                memory.seek(address);
                memory.write(new byte[expected.length]);
            }
        }
    }
}

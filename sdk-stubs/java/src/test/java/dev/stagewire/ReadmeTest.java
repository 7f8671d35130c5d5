package dev.stagewire;

import static org.junit.Assert.assertEquals;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.Test;

/** The quick start does what it says. */
public class ReadmeTest {
    private static String block(String language) throws IOException {
        Matcher matcher = Pattern.compile("```" + language + "\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(Path.of("README.md")));
        if (!matcher.find()) {
            throw new AssertionError("no block of " + language);
        }
        return matcher.group(1);
    }

    @Test
    public void theFirstStageIsTheExample() throws IOException {
        assertEquals(Files.readString(Path.of("examples/Shout.java")), block("java"));
    }

    @Test
    public void theQuickStartPrintsWhatItSays() throws Exception {
        Process shell = new ProcessBuilder("sh", "-e", "-c", block("sh")).redirectErrorStream(true).start();
        String printed = new String(shell.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, shell.waitFor());
        assertEquals(block("text"), printed);
    }
}

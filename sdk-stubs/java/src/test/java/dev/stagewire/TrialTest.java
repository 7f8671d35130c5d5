package dev.stagewire;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import org.junit.Test;

public class TrialTest {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    private int run(Stage stage, String input, String... arguments) {
        PrintStream output = new PrintStream(out, true, StandardCharsets.UTF_8);
        PrintStream errors = new PrintStream(err, true, StandardCharsets.UTF_8);
        return new Trial(stage, Arguments.parse(arguments, stage.kind),
                new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)), output, errors).run();
    }

    private String output() {
        return out.toString(StandardCharsets.UTF_8);
    }

    private String errors() {
        return err.toString(StandardCharsets.UTF_8);
    }

    @Test
    public void printsEmissionsAndVerdicts() {
        Stage stage = Stage.transform((record, emitter) -> {
            switch (record.text()) {
                case "reject" -> throw Verdict.reject(1001, "no such unit");
                case "release" -> throw Verdict.release();
                case "throw" -> throw new IllegalStateException("boom");
                case "" -> { }
                default -> emitter.emit(record.output().port("side"));
            }
        });
        int code = run(stage, "{\"text\": \"a\"}\n\n{\"key\": \"k\"}\n{\"text\": \"reject\"}\n{\"text\": \"throw\"}\n{\"text\": \"release\"}\n",
                "--test", "-");
        assertEquals(1, code);
        assertEquals("{\"text\": \"a\", \"port\": \"side\"}\n", output());
        assertTrue(errors(), errors().contains("record 3: REJECTED 1001: no such unit\n"));
        assertTrue(errors(), errors().contains("record 4: RETRY 1000: boom\n"));
        assertTrue(errors(), errors().contains("record 5: RELEASED\n"));
        assertTrue(errors(), errors().endsWith(
                "5 records: 2 accepted (1 filtered), 1 rejected, 1 to be retried, 1 released; 1 emitted\n"));
    }

    @Test
    public void namesTheLineThatIsWrong() {
        Stage stage = Stage.sink(record -> { });
        Unusable unusable = assertThrows(Unusable.class, () -> run(stage, "{}\n{\"atributes\": {}}\n", "--test", "-"));
        assertTrue(unusable.getMessage(), unusable.getMessage().startsWith("-:2: atributes: unknown"));
        unusable = assertThrows(Unusable.class, () -> run(stage, "", "--test", "/nowhere"));
        assertTrue(unusable.getMessage(), unusable.getMessage().startsWith("/nowhere: cannot be read"));
    }

    @Test
    public void endsWindowsByEventTimeAndAtTheEnd() {
        Stage stage = Stage.window(Bounds.ofEventTime(Duration.ofSeconds(10), Duration.ZERO),
                (window, emitter) -> emitter.emit(new Output().json(window.size()).eventTime(window.start())));
        int code = run(stage, "{\"event_time\": 1000000}\n{\"event_time\": 2000000}\n{\"event_time\": 10000000}\n"
                + "{\"event_time\": 3000000}\n{}\n", "--test", "-");
        assertEquals(1, code);
        assertEquals("{\"json\": 2, \"content_type\": \"application/json\"}\n"
                + "{\"json\": 1, \"event_time\": \"1970-01-01T00:00:10.000000Z\", \"content_type\": \"application/json\"}\n", output());
        assertTrue(errors(), errors().contains("record 4: REJECTED 1000: late: its window ended at 1970-01-01T00:00:10.000000Z"));
        assertTrue(errors(), errors().contains("record 5: REJECTED 1000: a record without event time"));
    }

    @Test
    public void aSourceStopsAtTheLimit() {
        Stage stage = Stage.source(source -> {
            Partition partition = source.claim("p");
            for (int i = 0; ; i += 2) {
                partition.emit(List.of(Output.of("" + i), Output.of("" + (i + 1))), "");
            }
        });
        assertEquals(0, run(stage, "", "--test", "--limit", "3"));
        assertEquals("{\"text\": \"0\"}\n{\"text\": \"1\"}\n{\"text\": \"2\"}\n", output());
        assertEquals("3 emitted\n", errors());
    }

    @Test
    public void takesItsConfiguration() {
        record Config(String word) {}
        Stage stage = Stage.transform(Config.class, config -> (record, emitter) -> emitter.emit(Output.of(config.word())));
        assertEquals(0, run(stage, "{}\n", "--config", "{\"word\": \"hello\"}", "mine", "--test=-"));
        assertEquals("{\"text\": \"hello\"}\n", output());
        Unusable unusable = assertThrows(Unusable.class, () -> run(stage, "{}\n", "--test", "-"));
        assertEquals("config.word: missing", unusable.getMessage());
    }

    private static String again(String line) {
        StageRecord record = RecordJson.read(line, 1);
        return RecordJson.write(StageRecord.of(record.output()), null);
    }

    @Test
    public void recordsKeepTheirFormAsJson() {
        String[][] cases = {
            {"{}", "{}"},
            {"{\"json\": { \"a\" : [1.50, \"x y\"] } }", "{\"json\": {\"a\":[1.50,\"x y\"]}, \"content_type\": \"application/json\"}"},
            {"{\"json\": 1, \"content_type\": \"text/x\"}", "{\"text\": \"1\", \"content_type\": \"text/x\"}"},
            {"{\"text\": \"{\\\"a\\\":1}\", \"content_type\": \"a/b+json\"}", "{\"json\": {\"a\":1}, \"content_type\": \"a/b+json\"}"},
            {"{\"text\": \"[1,\\n2]\", \"content_type\": \"a/b+json\"}", "{\"text\": \"[1,\\n2]\", \"content_type\": \"a/b+json\"}"},
            {"{\"base64\": \"/w==\", \"key_base64\": \"/g==\"}", "{\"key_base64\": \"/g==\", \"base64\": \"/w==\"}"},
            {"{\"base64\": \"aGk=\", \"key_base64\": \"aGk=\"}", "{\"key\": \"hi\", \"text\": \"hi\"}"},
            {"{\"event_time\": \"2026-01-05T11:30:00.123456789+01:00\"}", "{\"event_time\": \"2026-01-05T10:30:00.123456Z\"}"},
            {"{\"event_time\": -99999999999999999}", "{\"event_time\": -99999999999999999}"},
            {"{\"attributes\": {\"i\": 3, \"n\": 3.0, \"e\": 1e2, \"t\": \"x\", \"f\": true, \"big\": 36893488147419103232}}",
                "{\"attributes\": {\"i\":3,\"n\":3.0,\"e\":100.0,\"t\":\"x\",\"f\":true,\"big\":3.6893488147419103E19}}"},
            {"{\"schema\": \"s\", \"schema_version\": 4294967295, \"lineage\": {\"x\": 1}, \"attempt\": 2}",
                "{\"schema\": \"s\", \"schema_version\": 4294967295}"},
        };
        for (String[] each : cases) {
            assertEquals(each[1], again(each[0]));
            assertEquals(each[1], again(each[1]));
        }
    }

    @Test
    public void whatIsNoRecordIsRefused() {
        for (String line : List.of("", "[]", "{\"text\": 1}", "{\"text\": \"a\", \"json\": 1}", "{\"key\": \"a\", \"key_base64\": \"\"}",
                "{\"attributes\": {\"a\": null}}", "{\"base64\": \"*\"}", "{\"event_time\": \"yesterday\"}", "{\"schema_version\": -1}",
                "{} {}", "{\"json\": {\"a\":1,}}", "{\"json\": 01}", "{\"json\": 'a'}", "{\"json\": TRUE}", "{\"text\": \"a\nb\"}")) {
            assertThrows(line, Json.Invalid.class, () -> RecordJson.read(line, 1));
        }
    }

    @Test
    public void lineageIsReadForHandlers() {
        StageRecord record = RecordJson.read("{\"attempt\": 3, \"lineage\": {\"id\": \"000102030405060708090a0b0c0d0e0f\", "
                + "\"ingest_time\": \"2026-01-05T10:30:01.250000Z\", \"hops\": [{\"stage\": \"ingest\", \"version\": \"1.2\", "
                + "\"instance\": \"1\", \"language\": \"rust\", \"time\": \"2026-01-05T10:30:01.250001Z\", \"attempt\": 1}]}}", 1);
        assertEquals(3, record.attempt());
        assertEquals("000102030405060708090a0b0c0d0e0f", record.id());
        assertEquals(record.id(), record.lineage().root());
        assertEquals(new Lineage.Hop("ingest", "1.2", "1", "rust", java.time.Instant.parse("2026-01-05T10:30:01.250001Z"), 1),
                record.lineage().hops().get(0));
    }
}

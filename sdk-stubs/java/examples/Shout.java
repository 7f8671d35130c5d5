import dev.stagewire.Stage;
import java.util.Locale;

/** Shout is the smallest useful transform: every record goes on with its payload in capitals. */
public class Shout {
    public static void main(String[] arguments) {
        Stage.transform((record, out) -> out.emit(record.output().text(record.text().toUpperCase(Locale.ROOT)))).run(arguments);
    }
}

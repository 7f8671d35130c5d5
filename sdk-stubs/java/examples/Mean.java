import dev.stagewire.Bounds;
import dev.stagewire.Emitter;
import dev.stagewire.Output;
import dev.stagewire.Stage;
import dev.stagewire.StageRecord;
import dev.stagewire.Window;
import java.time.Duration;

/** Mean is a window: the mean reading of each sensor in each minute, as one atomic step. */
public class Mean {
    record Reading(double celsius) {}

    record Result(double mean, int readings, boolean complete) {}

    public static void main(String[] arguments) {
        Bounds minute = Bounds.ofEventTime(Duration.ofMinutes(1), Duration.ofSeconds(5)).eachKey();
        Stage.window(minute, Mean::mean).run(arguments);
    }

    static void mean(Window window, Emitter out) {
        double sum = 0;
        for (StageRecord record : window) {
            sum += record.json(Reading.class).celsius();
        }
        Result result = new Result(sum / window.size(), window.size(), window.complete());
        out.emit(Output.ofJson(result).key(window.key()).eventTime(window.start()));
    }
}

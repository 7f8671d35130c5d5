/* Mean is a window: the mean reading of each sensor in each minute, as one atomic step. */
#include <stagewire.h>

static void mean(sw_window *window, sw_emitter *out, void *user) {
    (void)user;
    double sum = 0, celsius;
    size_t count = 0;
    for (size_t i = 0; i < sw_window_count(window); i++) {
        sw_record *record = sw_window_record(window, i);
        if (!sw_json_number(sw_payload(record), "celsius", &celsius)) {
            sw_reject_one(out, record, 1001, "not a reading in Celsius");
            continue;
        }
        sum += celsius;
        count++;
    }
    if (count == 0) return;
    const char *complete = sw_window_complete(window) ? "true" : "false";
    sw_emit(out, &(sw_output){
                     .key = sw_window_key(window),
                     .event_time = sw_window_start(window),
                     .content_type = sw_text("application/json"),
                     .payload = sw_format(out, "{\"mean\": %.6g, \"readings\": %zu, \"complete\": %s}", sum / (double)count,
                                          count, complete),
                 });
}

int main(int argc, char **argv) {
    sw_bounds minute = {.size = 60, .lateness = 5, .by_key = true};
    return sw_run(argc, argv, &(sw_stage){.window = mean, .bounds = minute});
}

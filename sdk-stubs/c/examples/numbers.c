/* Numbers is a source: it counts from where it stopped, ten numbers in each step. */
#include <stagewire.h>
#include <stdio.h>
#include <stdlib.h>

static struct settings {
    int64_t count, step;
} settings;

static void *set_up(sw_config *config) {
    settings.count = sw_config_integer(config, "count", 1000);
    settings.step = sw_config_integer(config, "step", 10);
    if (settings.step < 1) sw_config_wrong(config, "step", "has to be at least 1");
    return &settings;
}

static int count(sw_source *source, void *user) {
    const struct settings *config = user;
    sw_partition *numbers = sw_claim(source, "numbers");
    if (numbers == NULL) return SW_STOPPED;
    char checkpoint[24] = "";
    snprintf(checkpoint, sizeof checkpoint, "%.*s", (int)sw_checkpoint(numbers).size, sw_checkpoint(numbers).data);
    int64_t next = atoll(checkpoint); /* 0 in the beginning */
    while (next < config->count) {
        sw_emitter *out = sw_step(numbers);
        for (int64_t i = 0; i < config->step && next < config->count; i++, next++)
            sw_emit(out, &(sw_output){.payload = sw_format(out, "%lld", (long long)next)});
        /* The numbers and where to go on after them are kept together, or neither is. */
        int size = snprintf(checkpoint, sizeof checkpoint, "%lld", (long long)next);
        int result = sw_commit(numbers, checkpoint, (size_t)size);
        if (result != 0) return result;
    }
    return 0; /* every partition is finished */
}

int main(int argc, char **argv) { return sw_run(argc, argv, &(sw_stage){.source = count, .setup = set_up}); }

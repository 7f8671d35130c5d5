/* Every record goes on as it is: the worker of the pipeline benchmark (`make bench` in the root, docs/BENCHMARKS.md). */
#include <stagewire.h>

static void forward(sw_record *record, sw_emitter *out, void *user) {
    (void)user;
    sw_emit(out, &(sw_output){.base = record});
}

int main(int argc, char **argv) { return sw_run(argc, argv, &(sw_stage){.transform = forward}); }

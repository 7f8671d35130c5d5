// The stages of the benchmark, in C with a slice codec: no protobuf library, no allocation and no system
// call per record. Run as `StagewireBenchWorker producer|worker|sink` with STAGEWIRE_SOCKET set.
#include "roles.h"

struct counters *counters;

int main(int count, char **words) {
  struct options options = options_read(count, words);
  static const struct {
    const char *name;
    void (*run)(struct session *, const struct options *);
  } roles[] = {{"producer", produce}, {"worker", work}, {"sink", drain}};
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
    if (strcmp(options.role, roles[i].name)) continue;
    static struct session session;
    counters_open(options.counters);
    session_open(&session, &options);
    if (!session.closed) roles[i].run(&session, &options);
    fprintf(stderr, "bench: %s emitted %llu, forwarded %llu, received %llu, wrong %llu, disordered %llu, repeated %llu\n",
            options.role, (unsigned long long)counters->emitted.value, (unsigned long long)counters->forwarded.value,
            (unsigned long long)counters->received.value, (unsigned long long)counters->wrong.value,
            (unsigned long long)counters->disordered.value, (unsigned long long)counters->repeated.value);
    return 0;
  }
  fprintf(stderr, "bench: the role is producer, worker or sink, not '%s'\n", options.role);
  return EXIT_USAGE;
}

/* --test: a stage without a broker. */
#ifndef SWI_TRIAL_H
#define SWI_TRIAL_H

#include "emitter.h"

/* Whether the arguments ask for it. */
bool swi_is_trial(int argc, char **argv);
/* Runs the stage on a file; the exit code. */
int swi_trial(int argc, char **argv, const sw_stage *stage);

typedef struct swi_tally {
    uint64_t records, accepted, filtered, rejected, retried, released, emitted;
} swi_tally;

/* Prints what was emitted to standard output, `limit` records at most; how many those were. */
uint64_t swi_print_emissions(const sw_emitter *emitter, uint64_t limit);

#endif

/* --test: a stage without a broker. */
#ifndef SWI_TRIAL_H
#define SWI_TRIAL_H

#include "wire.h"

bool swi_is_trial(int argc, char **argv);
int swi_trial(int argc, char **argv, const sw_stage *stage);

#endif

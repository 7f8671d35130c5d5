/* The stage's configuration: what was asked for, and what did not fit. */
#ifndef SWI_CONFIG_H
#define SWI_CONFIG_H

#include "wire.h"

/* A configuration, of which a copy is made. Empty stands for {}. */
sw_config *swi_config_make(const char *json);
void swi_config_free(sw_config *config);
/* A sentence when the configuration does not fit, valid as long as it. NULL: it fits. */
const char *swi_config_fault(sw_config *config);
/* Calls the stage's `setup`; what handlers get. `*is_wrong`: a sentence was written. */
void *swi_set_up(const sw_stage *stage, sw_config *config, bool *is_wrong);

#endif

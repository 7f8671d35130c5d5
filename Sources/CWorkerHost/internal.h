#ifndef STAGEWIRE_WORKER_HOST_INTERNAL_H
#define STAGEWIRE_WORKER_HOST_INTERNAL_H

#include <signal.h>

// Closes every descriptor from `first` on. Async-signal-safe.
void sw_close_from(unsigned first);

// Every signal back to its default. Async-signal-safe.
void sw_reset_signals(void);

#endif

// What Swift cannot do safely: code that runs in a child between fork and exec, or after a fork without exec. There only
// async-signal-safe calls are allowed; Swift allocates, retains and locks wherever it likes.
#ifndef STAGEWIRE_WORKER_HOST_H
#define STAGEWIRE_WORKER_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// ---- Starting a worker ----

// One of the RLIMIT_ constants and its new values.
struct sw_limit {
  int resource;
  uint64_t soft;
  uint64_t hard;
};

struct sw_spawn {
  const char *program;             // found already: a path, relative to `directory` unless it begins with a slash
  char *const *arguments;          // argv, ended by NULL
  char *const *environment;        // envp, ended by NULL
  const char *directory;
  int input;                       // becomes descriptor 0; -1: empty input
  int output;                      // becomes descriptor 1
  int error;                       // becomes descriptor 2
  bool shares_group;               // stays in the caller's process group, so that it may read from the terminal
  const struct sw_limit *limits;
  size_t limit_count;
  int niceness;                    // added to the caller's own
};

enum sw_step {
  SW_STEP_NONE,
  SW_STEP_FORK,
  SW_STEP_PARENT,     // the broker was gone before the child could ask to be told of it
  SW_STEP_GROUP,
  SW_STEP_STREAMS,
  SW_STEP_DIRECTORY,
  SW_STEP_LIMIT,
  SW_STEP_NICE,
  SW_STEP_EXEC,
};

struct sw_failure {
  enum sw_step step;
  int code;      // errno
  int resource;  // SW_STEP_LIMIT: which
};

// Starts a program: the process id, which is also its process group's unless the group is shared; or -1 with `failure`
// filled in. Returns when the child has become the program, or has failed to. To be called on a thread that lives as long
// as the worker may: the kernel sends the worker SIGTERM when the thread that started it ends, not when the process does.
pid_t sw_spawn(const struct sw_spawn *request, struct sw_failure *failure);

// ---- The guardian ----

// Process groups and sockets that one guardian can look after.
enum { SW_GUARD_TARGETS = 2048, SW_GUARD_SOCKETS = 16, SW_GUARD_PATH = 108 };

enum sw_guard_verb { SW_GUARD_ADD_TARGET = 1, SW_GUARD_REMOVE_TARGET, SW_GUARD_ADD_SOCKET, SW_GUARD_REMOVE_SOCKET };

// What the broker tells its guardian: one message each.
struct sw_guard_message {
  int32_t verb;
  int32_t target;    // as for kill(2): a process, or minus a process group
  uint64_t device;   // of the socket file
  uint64_t inode;
  char path[SW_GUARD_PATH];
};

// Forks a guardian: a process that waits for the end of its broker and then removes the broker's sockets and ends its
// process groups, with SIGTERM at once and SIGKILL `grace_milliseconds` later. Returns its process id, which the caller
// reaps, and in `channel` the socket (non-blocking, close-on-exec) that takes messages; the guardian acts when its last
// copy is closed. Returns -1 with errno on failure.
pid_t sw_guard_start(int grace_milliseconds, int *channel);

// Sends a message. False when it did not get through: the guardian is gone, or has stood still for half a second.
bool sw_guard_tell(int channel, const struct sw_guard_message *message);

#endif

#define _GNU_SOURCE
#include "worker_host.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

// The child runs on a stack of its own inside its parent's memory: what it writes, the parent sees.
enum { STACK_SIZE = 64 * 1024 };

struct start {
  const struct sw_spawn *request;
  struct sw_failure *failure;
  pid_t parent;
};

void sw_close_from(unsigned first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, ~0U, 0) == 0) return;
#endif
  // Kernels before 5.9. A descriptor above the limit, opened before it was lowered, is missed.
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  for (rlim_t descriptor = first; descriptor < limit.rlim_cur; descriptor++) close((int)descriptor);
}

void sw_reset_signals(void) {
  struct sigaction standard = {.sa_handler = SIG_DFL};
  // Fails for SIGKILL, SIGSTOP and the C library's own two, whose dispositions exec resets anyway.
  for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &standard, NULL);
}

// In the child: its memory is the parent's, so the parent reads what is written here.
static _Noreturn void fail(struct start *start, enum sw_step step) {
  start->failure->code = errno;
  start->failure->step = step;
  _exit(127);
}

// The kernel tells of the broker's death only from now on; if it was too late, the child has another parent already.
static void follow_parent(struct start *start) {
  if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) fail(start, SW_STEP_PARENT);
  errno = ESRCH;
  if (getppid() != start->parent) fail(start, SW_STEP_PARENT);
}

// A descriptor that is in the way of the three standard ones moves up first.
static int lift(int descriptor, int target) {
  if (descriptor < 0 || descriptor > 2 || descriptor == target) return descriptor;
  return fcntl(descriptor, F_DUPFD, 3);
}

// Makes `from` the descriptor `to`, open across exec.
static void place(struct start *start, int from, int to) {
  int result = from == to ? fcntl(to, F_SETFD, 0) : dup2(from, to);
  if (result < 0) fail(start, SW_STEP_STREAMS);
}

static void set_streams(struct start *start) {
  bool is_empty = start->request->input < 0;
  int input = lift(start->request->input, 0);
  int output = lift(start->request->output, 1);
  int error = lift(start->request->error, 2);
  if (!is_empty) place(start, input, 0);
  place(start, output, 1);
  place(start, error, 2);
  // Before /dev/null is opened, so that a broker without free descriptors can still start a worker.
  sw_close_from(3);
  if (!is_empty) return;
  close(0);
  if (open("/dev/null", O_RDONLY) != 0) fail(start, SW_STEP_STREAMS);
}

static void set_limits(struct start *start) {
  for (size_t index = 0; index < start->request->limit_count; index++) {
    const struct sw_limit *wanted = &start->request->limits[index];
    struct rlimit limit = {.rlim_cur = wanted->soft, .rlim_max = wanted->hard};
    start->failure->resource = wanted->resource;
    if (setrlimit(wanted->resource, &limit) != 0) fail(start, SW_STEP_LIMIT);
  }
  // -1 is a niceness, too.
  errno = 0;
  if (start->request->niceness == 0) return;
  if (nice(start->request->niceness) == -1 && errno != 0) fail(start, SW_STEP_NICE);
}

// Who is in no foreground process group may not read from the terminal and, if the terminal says so (`stty tostop`), not
// write to it. A worker in a group of its own just writes; one in the broker's group must not die of a Ctrl-C that is
// meant for the broker, which drains: both by a signal that stays ignored across exec.
static void set_signals(const struct sw_spawn *request) {
  sw_reset_signals();
  if (request->input == 0 || request->output == 1) signal(request->shares_group ? SIGINT : SIGTTOU, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static int run_child(void *argument) {
  struct start *start = argument;
  const struct sw_spawn *request = start->request;
  follow_parent(start);
  if (!request->shares_group && setpgid(0, 0) != 0) fail(start, SW_STEP_GROUP);
  set_streams(start);
  if (chdir(request->directory) != 0) fail(start, SW_STEP_DIRECTORY);
  // Last but for the program itself: a limit of descriptors or memory must hit the worker and not these steps.
  set_limits(start);
  set_signals(request);
  execve(request->program, request->arguments, request->environment);
  fail(start, SW_STEP_EXEC);
}

// As posix_spawn of glibc does it, which cannot set limits: the child shares the parent's memory until it becomes the
// program, and the calling thread stands still meanwhile. Nothing of a large broker is copied, and no handler of its
// signals runs in the child, because all of them are blocked until their dispositions are reset.
pid_t sw_spawn(const struct sw_spawn *request, struct sw_failure *failure) {
  _Alignas(16) char stack[STACK_SIZE];
  struct start start = {.request = request, .failure = failure, .parent = getpid()};
  *failure = (struct sw_failure){.step = SW_STEP_NONE};
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = clone(run_child, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
  if (pid < 0) *failure = (struct sw_failure){.step = SW_STEP_FORK, .code = errno};
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failure->step == SW_STEP_NONE) return pid;
  if (pid > 0) {
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
  }
  return -1;
}

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "internal.h"
#include "worker_host.h"

// How often the guardian looks whether its groups are gone, milliseconds.
enum { LOOK = 50 };
// How long it stays after SIGKILL. What remains then are zombies that nobody reaps (a container without an init).
enum { LINGER = 1000 };
// How long the broker waits for a guardian that takes no messages.
enum { PATIENCE = 500 };

// All that the guardian knows. Static, because nothing may be allocated after the fork; untouched in the broker.
static int32_t targets[SW_GUARD_TARGETS];
static size_t target_count;
static struct sw_guard_message sockets[SW_GUARD_SOCKETS];
static size_t socket_count;

static bool is_same(const struct sw_guard_message *a, const struct sw_guard_message *b) {
  return a->device == b->device && a->inode == b->inode && strncmp(a->path, b->path, sizeof a->path) == 0;
}

static void take(const struct sw_guard_message *message) {
  switch ((enum sw_guard_verb)message->verb) {
    case SW_GUARD_ADD_TARGET:
      if (target_count < SW_GUARD_TARGETS) targets[target_count++] = message->target;
      break;
    case SW_GUARD_REMOVE_TARGET:
      for (size_t index = 0; index < target_count; index++) {
        if (targets[index] == message->target) targets[index--] = targets[--target_count];
      }
      break;
    case SW_GUARD_ADD_SOCKET:
      if (socket_count < SW_GUARD_SOCKETS) sockets[socket_count++] = *message;
      break;
    case SW_GUARD_REMOVE_SOCKET:
      for (size_t index = 0; index < socket_count; index++) {
        if (is_same(&sockets[index], message)) sockets[index--] = sockets[--socket_count];
      }
      break;
  }
}

// ---- Sockets ----

// Whether somebody listens there. A file system may give the inode of a removed socket to the next one, so that device
// and inode alone do not tell a successor's socket from ours.
static bool is_listening(const struct sw_guard_message *socket_file) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, socket_file->path, sizeof address.sun_path);
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return true;
  bool is_refused = connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED;
  close(descriptor);
  return !is_refused;
}

static int open_directory(const char *path) {
  char directory[SW_GUARD_PATH];
  memcpy(directory, path, sizeof directory);
  char *slash = strrchr(directory, '/');
  if (slash == NULL) return -1;
  slash[slash == directory ? 1 : 0] = 0;
  return open(directory, O_RDONLY | O_DIRECTORY);
}

// Removes a socket of ours under the lock that every broker holds while it replaces one (SocketPath.claim). False: not
// yet, because somebody has the lock, or because the dead broker's end of the socket is not closed yet.
static bool remove_socket(const struct sw_guard_message *socket_file) {
  int directory = open_directory(socket_file->path);
  if (directory < 0) return true;
  bool is_done = false;
  if (flock(directory, LOCK_EX | LOCK_NB) == 0) {
    struct stat status;
    bool is_ours = lstat(socket_file->path, &status) == 0 && S_ISSOCK(status.st_mode) &&
                   status.st_dev == socket_file->device && status.st_ino == socket_file->inode;
    is_done = !is_ours || (!is_listening(socket_file) && (unlink(socket_file->path) == 0 || errno != EINTR));
  }
  close(directory);
  return is_done;
}

static void remove_sockets(void) {
  for (size_t index = 0; index < socket_count; index++) {
    if (remove_socket(&sockets[index])) sockets[index--] = sockets[--socket_count];
  }
}

// ---- Processes ----

static void signal_targets(int number) {
  for (size_t index = 0; index < target_count; index++) kill(targets[index], number);
}

// Forgets what is gone, at once: the number may soon be somebody else's.
static void forget_gone(void) {
  for (size_t index = 0; index < target_count; index++) {
    if (kill(targets[index], 0) != 0 && errno == ESRCH) targets[index--] = targets[--target_count];
  }
}

// A group that is stopped gets SIGTERM only when it goes on.
static void end_all(int grace) {
  forget_gone();
  signal_targets(SIGTERM);
  signal_targets(SIGCONT);
  for (int waited = 0; waited < grace + LINGER; waited += LOOK) {
    remove_sockets();
    forget_gone();
    if (target_count == 0 && socket_count == 0) return;
    if (waited >= grace) signal_targets(SIGKILL);
    poll(NULL, 0, LOOK);
  }
}

// ---- Its life ----

// Out of reach of the terminal, of the broker's descriptors, and of what a shell or a service manager sends to all
// processes of a job to end it: the guardian has to outlive the broker by a moment.
static void settle_down(int channel) {
  setsid();
  sw_reset_signals();
  const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGTTIN, SIGTTOU};
  for (size_t index = 0; index < sizeof ignored / sizeof *ignored; index++) signal(ignored[index], SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  prctl(PR_SET_NAME, "stagewire-guard");
  // So that the file system that the broker was started in can be unmounted; else it just cannot.
  (void)!chdir("/");
  dup2(channel, 0);
  sw_close_from(1);
}

static void keep_watch(int grace) {
  struct sw_guard_message message;
  while (true) {
    ssize_t length = recv(0, &message, sizeof message, 0);
    if (length == (ssize_t)sizeof message) {
      take(&message);
    } else if (length >= 0 || errno != EINTR) {
      end_all(grace);
      return;
    }
  }
}

pid_t sw_guard_start(int grace_milliseconds, int *channel) {
  // Message boundaries, no SIGPIPE, and an end of file when the broker is gone for whatever reason.
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return -1;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = fork();
  if (pid == 0) {
    // Closes the copy of the other end too, and those of other guardians: else none would ever see its end of file.
    settle_down(ends[1]);
    keep_watch(grace_milliseconds);
    _exit(0);
  }
  int code = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(ends[1]);
  if (pid < 0) close(ends[0]);
  *channel = ends[0];
  errno = code;
  return pid;
}

bool sw_guard_tell(int channel, const struct sw_guard_message *message) {
  while (send(channel, message, sizeof *message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    // The kernel keeps some 200 messages: a thousand workers in a row may have to wait for the guardian's turn to run.
    struct pollfd writable = {.fd = channel, .events = POLLOUT};
    if (errno == EAGAIN && poll(&writable, 1, PATIENCE) == 0) return false;
    if (errno != EAGAIN && errno != EINTR) return false;
  }
  return true;
}

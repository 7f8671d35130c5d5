#define _GNU_SOURCE
#include "journal.h"

#include <errno.h>
#include <fcntl.h>

int sw_start_writing(int file, off_t offset, off_t count) {
#ifdef __linux__
  int result;
  do {
    result = sync_file_range(file, offset, count, SYNC_FILE_RANGE_WRITE);
  } while (result < 0 && errno == EINTR);
  // Not on this file system, or not allowed here: the sync does it all, as it does anyway.
  if (result == 0 || errno == ENOSYS || errno == EINVAL || errno == ESPIPE || errno == EPERM) return 0;
  return errno;
#else
  (void)file, (void)offset, (void)count;
  return 0;
#endif
}

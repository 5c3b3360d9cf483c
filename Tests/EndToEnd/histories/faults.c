// Preloaded into a server: makes its disk slow, full or broken when the test says so. What to do is read from a file
// that both map (FAULTS names it); all zero means nothing.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct control {
  _Atomic int32_t sync_delay_us;    // Each fsync and fdatasync takes as much longer.
  _Atomic int32_t sync_errno;       // What they fail with.
  _Atomic int32_t write_errno;      // What pwrite and fallocate fail with, once the budget is used up.
  _Atomic int32_t short_writes;     // Whether a pwrite writes only half of what it is given.
  _Atomic int64_t write_budget;     // Bytes that may still be written.
  _Atomic int64_t syncs, writes, failures;  // What was seen.
  _Atomic int64_t operations;       // All that changes the disk, counted before it is done.
  _Atomic int64_t kill_at;          // The process ends, as by kill -9, before the operation of this number; 0: never.
};

static struct control *control;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULTS");
  if (!path) return;
  int descriptor = open(path, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return;
  void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (mapped != MAP_FAILED) control = mapped;
  close(descriptor);
}

// Before each operation that changes the disk.
static void step(void) {
  if (control && atomic_fetch_add(&control->operations, 1) + 1 == control->kill_at) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
}

int rename(const char *from, const char *to) {
  static int (*real)(const char *, const char *);
  if (!real) real = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
  step();
  return real(from, to);
}

int unlink(const char *path) {
  static int (*real)(const char *);
  if (!real) real = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
  step();
  return real(path);
}

int ftruncate(int descriptor, off_t length) {
  static int (*real)(int, off_t);
  if (!real) real = (int (*)(int, off_t))dlsym(RTLD_NEXT, "ftruncate");
  step();
  return real(descriptor, length);
}

static int sync_with(const char *name, int descriptor) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  step();
  if (control) {
    control->syncs++;
    int32_t delay = control->sync_delay_us;
    if (delay > 0) {
      struct timespec time = {delay / 1000000, delay % 1000000 * 1000};
      nanosleep(&time, NULL);
    }
    if (control->sync_errno) {
      control->failures++;
      errno = control->sync_errno;
      return -1;
    }
  }
  return real(descriptor);
}

int fsync(int descriptor) { return sync_with("fsync", descriptor); }
int fdatasync(int descriptor) { return sync_with("fdatasync", descriptor); }

// Whether so many more bytes may be written.
static int refused(int64_t size) {
  if (!control || !control->write_errno) return 0;
  if (atomic_fetch_sub(&control->write_budget, size) >= size) return 0;
  control->failures++;
  errno = control->write_errno;
  return 1;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset) {
  static ssize_t (*real)(int, const void *, size_t, off_t);
  if (!real) real = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
  step();
  if (control) control->writes++;
  if (refused((int64_t)size)) return -1;
  if (control && control->short_writes && size > 1) size /= 2;
  return real(descriptor, bytes, size, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t size, off_t offset) { return pwrite(descriptor, bytes, size, offset); }

int fallocate(int descriptor, int mode, off_t offset, off_t length) {
  static int (*real)(int, int, off_t, off_t);
  if (!real) real = (int (*)(int, int, off_t, off_t))dlsym(RTLD_NEXT, "fallocate");
  step();
  if (control && control->write_errno && control->write_budget < length) {
    errno = control->write_errno;
    return -1;
  }
  return real(descriptor, mode, offset, length);
}

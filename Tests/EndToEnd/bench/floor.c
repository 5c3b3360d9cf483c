// What this machine's disk and scheduler alone cost one durable write at a time: a bare write and fdatasync, an echo
// through a socket, and both together with the thread that syncs apart from the one that serves, as in a server that
// must not hold readers up while the disk is at work. No protocol, no store.
//
// usage: floor FILE REQUESTS      prints one line of JSON: medians in microseconds

#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RECORD = 512 };
static int file, requests, ends[2], wake, poller;
static char record[RECORD];
static off_t position;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int waiting;

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void need(int ok, const char *what) {
  if (!ok) { perror(what); exit(1); }
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static double median(int64_t *times) {
  qsort(times, (size_t)requests, sizeof *times, by_value);
  return (double)times[requests / 2] / 1e3;
}

static void write_and_sync(void) {
  need(pwrite(file, record, RECORD, position) == RECORD && fdatasync(file) == 0, "sync");
  position += RECORD;
}

__attribute__((noreturn)) static void *syncing(void *unused) {
  (void)unused;
  for (uint64_t one = 1;;) {
    pthread_mutex_lock(&mutex);
    while (!waiting) pthread_cond_wait(&condition, &mutex);
    waiting = 0;
    pthread_mutex_unlock(&mutex);
    write_and_sync();
    need(write(wake, &one, sizeof one) == sizeof one, "wake");
  }
}

// Serves the other end of the socket: 'e' is echoed at once, 's' when it is on the disk.
static void *serving(void *unused) {
  (void)unused;
  for (;;) {
    struct epoll_event event;
    if (epoll_wait(poller, &event, 1, -1) < 1) continue;
    char byte = 's';
    uint64_t count;
    if (event.data.fd == wake) {
      need(read(wake, &count, sizeof count) == sizeof count, "wake");
    } else {
      if (read(ends[1], &byte, 1) != 1) return NULL;
      if (byte == 's') {
        pthread_mutex_lock(&mutex);
        waiting = 1;
        pthread_mutex_unlock(&mutex);
        pthread_cond_signal(&condition);
        continue;
      }
    }
    need(write(ends[1], &byte, 1) == 1, "answer");
  }
}

static double ask(char what) {
  int64_t *times = calloc((size_t)requests, sizeof *times);
  for (int i = 0; i < requests; i++) {
    int64_t start = now();
    need(write(ends[0], &what, 1) == 1 && read(ends[0], &what, 1) == 1, "ask");
    times[i] = now() - start;
  }
  double result = median(times);
  free(times);
  return result;
}

int main(int count, char **arguments) {
  if (count != 3) { fprintf(stderr, "usage: floor FILE REQUESTS\n"); return 2; }
  requests = atoi(arguments[2]);
  file = open(arguments[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
  need(file >= 0, arguments[1]);
  // Blocks that exist, as a log has them.
  for (int i = 0; i < 2 * requests; i++) need(write(file, record, RECORD) == RECORD, "fill");
  need(fsync(file) == 0, "fsync");

  int64_t *times = calloc((size_t)requests, sizeof *times);
  for (int i = 0; i < requests; i++) {
    int64_t start = now();
    write_and_sync();
    times[i] = now() - start;
  }
  double sync = median(times);

  need(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
  pid_t server = fork();
  if (server == 0) {
    close(ends[0]);
    poller = epoll_create1(0), wake = eventfd(0, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = ends[1]};
    epoll_ctl(poller, EPOLL_CTL_ADD, ends[1], &event);
    event.data.fd = wake;
    epoll_ctl(poller, EPOLL_CTL_ADD, wake, &event);
    pthread_t thread;
    pthread_create(&thread, NULL, syncing, NULL);
    serving(NULL);
    _exit(0);
  }
  close(ends[1]);
  double echo = ask('e'), durable = ask('s');
  close(ends[0]);
  waitpid(server, NULL, 0);
  unlink(arguments[1]);
  printf("{\"sync_us\":%.1f,\"echo_us\":%.1f,\"durable_us\":%.1f}\n", sync, echo, durable);
  return 0;
}

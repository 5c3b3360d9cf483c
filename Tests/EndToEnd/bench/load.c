// A load generator for etcd's API: one thread, nghttp2, any number of connections with any number of calls
// in flight on each. It sends well-formed gRPC requests with keys of their own and reads no more of the
// answers than it must, so that it costs less than the servers that it measures.
//
// usage: load PORT put   CONNECTIONS STREAMS REQUESTS KEYS VALUE_BYTES
//        load PORT range CONNECTIONS STREAMS REQUESTS KEYS SERIALIZABLE(0|1)
//        load PORT list  CONNECTIONS STREAMS REQUESTS
//        load PORT watch CONNECTIONS STREAMS EVENTS        each stream watches all keys and waits for EVENTS
//
// Prints `ready` once a watch is established, and at the end one line of JSON.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum mode { PUT, RANGE, LIST, WATCH };

struct call {  // The user data of a stream.
  struct connection *connection;
  uint8_t body[128 + 65536];
  size_t length, sent;
  int64_t started;
  int status;          // grpc-status; -1 before the trailers.
  // The reader of watch responses: a 5-byte head, then the message.
  uint8_t *message;
  size_t have, capacity;
  int64_t events;
  int created;
};

struct connection {
  int socket;
  nghttp2_session *session;

};

static enum mode mode;
static int port, connection_count, streams, serializable;
static int64_t requests, keys, value_bytes, begun, finished, failed, bytes, target_events, created, done_watching;
static int64_t total_events, first_event, last_event;
static int64_t *latencies;
static int epoll;
static uint64_t random_state = 88172645463325252ull;

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static uint64_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  return random_state ^= random_state << 17;
}

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint8_t *varint(uint8_t *p, uint64_t v) {
  for (; v >= 0x80; v >>= 7) *p++ = (uint8_t)(v | 0x80);
  *p++ = (uint8_t)v;
  return p;
}

static uint8_t *field(uint8_t *p, int number, const void *data, size_t size) {
  *p++ = (uint8_t)(number << 3 | 2);
  p = varint(p, size);
  memcpy(p, data, size);
  return p + size;
}

static uint8_t *a_key(uint8_t *p) {
  char key[32];
  // Keys are written once in order, so that all exist, and then at random.
  int64_t n = mode == PUT && begun < keys ? begun : (int64_t)(next_random() % (uint64_t)keys);
  int size = snprintf(key, sizeof key, "/registry/bench/%09lld", (long long)n);
  return field(p, 1, key, (size_t)size);
}

static void build(struct call *call) {
  static uint8_t filler[65536];
  uint8_t *start = call->body + 5, *p = start;
  switch (mode) {
  case PUT:
    p = a_key(p);
    if (!filler[0])
      for (size_t i = 0; i < sizeof filler; i++) filler[i] = (uint8_t)(next_random() >> 11) | 1;
    p = field(p, 2, filler, (size_t)value_bytes);
    break;
  case RANGE:
    p = a_key(p);
    if (serializable) { *p++ = 7 << 3; *p++ = 1; }
    break;
  case LIST:
    p = field(p, 1, "/registry/bench/", 16);
    p = field(p, 2, "/registry/bench0", 16);
    break;
  case WATCH: {
    uint8_t create[64], *q = create;
    q = field(q, 1, "/registry/bench/", 16);
    q = field(q, 2, "/registry/bench0", 16);
    p = field(p, 1, create, (size_t)(q - create));
    break;
  }
  }
  uint32_t size = (uint32_t)(p - start);
  call->body[0] = 0;
  call->body[1] = (uint8_t)(size >> 24), call->body[2] = (uint8_t)(size >> 16);
  call->body[3] = (uint8_t)(size >> 8), call->body[4] = (uint8_t)size;
  call->length = size + 5;
  call->sent = 0;
  call->status = -1;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *context) {
  (void)session, (void)stream, (void)context;
  struct call *call = source->ptr;
  size_t n = call->length - call->sent;
  if (n == 0) return NGHTTP2_ERR_DEFERRED;  // Only a watch: it stays open.
  if (n > room) n = room;
  memcpy(buffer, call->body + call->sent, n);
  call->sent += n;
  if (call->sent == call->length && mode != WATCH) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return (ssize_t)n;
}

#define HEADER(name, value) {(uint8_t *)name, (uint8_t *)(value), sizeof name - 1, strlen(value), 0}

static void start_call(struct call *call) {
  static const char *paths[] = {"/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Range", "/etcdserverpb.Watch/Watch"};
  char authority[32];
  snprintf(authority, sizeof authority, "127.0.0.1:%d", port);
  build(call);
  nghttp2_nv headers[] = {HEADER(":method", "POST"), HEADER(":scheme", "http"), HEADER(":path", paths[mode]),
                          HEADER(":authority", authority), HEADER("content-type", "application/grpc"), HEADER("te", "trailers")};
  nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_body};
  call->started = now();
  if (nghttp2_submit_request(call->connection->session, NULL, headers, 6, &body, call) < 0) die("submit");
  begun++;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t size, uint8_t flags, void *context) {
  (void)flags, (void)context, (void)size;
  struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  if (call && name_size == 11 && memcmp(name, "grpc-status", 11) == 0) call->status = atoi((const char *)value);
  return 0;
}

// Counts the events (field 11) of a WatchResponse; finds created (field 3).
static void take_response(struct call *call, const uint8_t *p, size_t size) {
  const uint8_t *end = p + size;
  while (p < end) {
    uint64_t tag = 0, value = 0;
    for (int shift = 0; p < end; shift += 7) { tag |= (uint64_t)(*p & 0x7f) << shift; if (!(*p++ & 0x80)) break; }
    for (int shift = 0; p < end; shift += 7) { value |= (uint64_t)(*p & 0x7f) << shift; if (!(*p++ & 0x80)) break; }
    if ((tag & 7) == 2) p += value;
    if (tag >> 3 == 3 && value) {
      call->created = 1;
      if (++created == (int64_t)connection_count * streams) { puts("ready"); fflush(stdout); }
    }
    if (tag >> 3 == 11) {
      last_event = now();
      if (!total_events++) first_event = last_event;
      if (++call->events == target_events) done_watching++;
    }
  }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t size, void *context) {
  (void)flags, (void)context;
  bytes += (int64_t)size;
  if (mode != WATCH) return 0;
  struct call *call = nghttp2_session_get_stream_user_data(session, stream);
  if (call->have + size > call->capacity) {
    call->capacity = (call->have + size) * 2;
    call->message = realloc(call->message, call->capacity);
  }
  memcpy(call->message + call->have, data, size);
  call->have += size;
  size_t at = 0;
  while (call->have - at >= 5) {
    const uint8_t *head = call->message + at;
    size_t length = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
    if (call->have - at - 5 < length) break;
    take_response(call, head + 5, length);
    at += 5 + length;
  }
  memmove(call->message, call->message + at, call->have - at);
  call->have -= at;
  return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *context) {
  (void)context;
  struct call *call = nghttp2_session_get_stream_user_data(session, stream);
  if (!call) return 0;
  if (mode == WATCH) { fprintf(stderr, "load: a watch ended (%u, grpc %d)\n", code, call->status); exit(1); }
  latencies[finished++] = now() - call->started;
  if (code || call->status != 0) failed++;
  if (begun < requests) start_call(call);
  return 0;
}

static void flush_connection(struct connection *c) {
  static uint8_t out[1 << 18];
  for (;;) {
    const uint8_t *data;
    size_t size = 0;
    ssize_t n;
    while (size < sizeof out / 2 && (n = nghttp2_session_mem_send(c->session, &data)) > 0) {
      if (size + (size_t)n > sizeof out) die("frame too large");
      memcpy(out + size, data, (size_t)n);
      size += (size_t)n;
    }
    if (size == 0) return;
    // Requests are small and sockets' buffers large: waiting here is rare, and simple.
    for (size_t at = 0; at < size;) {
      ssize_t sent = send(c->socket, out + at, size - at, MSG_NOSIGNAL);
      if (sent > 0) at += (size_t)sent;
      else if (errno == EAGAIN) usleep(50);
      else die("send");
    }
  }
}

static void open_connection(struct connection *c, nghttp2_session_callbacks *callbacks) {
  c->socket = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(c->socket, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
  int one = 1;
  setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->socket, F_SETFL, O_NONBLOCK);
  nghttp2_session_client_new(&c->session, callbacks, c);
  nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 24}, {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
  nghttp2_submit_settings(c->session, 0, settings, 2);
  nghttp2_session_set_local_window_size(c->session, 0, 0, 1 << 26);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll, EPOLL_CTL_ADD, c->socket, &event);
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

int main(int count, char **arguments) {
  if (count < 6) { fprintf(stderr, "usage: load PORT put|range|list|watch CONNECTIONS STREAMS REQUESTS [...]\n"); return 2; }
  port = atoi(arguments[1]);
  const char *names[] = {"put", "range", "list", "watch"};
  for (int i = 0; i < 4; i++) if (strcmp(arguments[2], names[i]) == 0) mode = (enum mode)i;
  connection_count = atoi(arguments[3]), streams = atoi(arguments[4]);
  requests = atoll(arguments[5]), target_events = requests;
  keys = count > 6 ? atoll(arguments[6]) : 1;
  if (mode == PUT) value_bytes = atoll(arguments[7]);
  if (mode == RANGE) serializable = atoi(arguments[7]);
  if (mode == WATCH) requests = (int64_t)connection_count * streams;
  if (value_bytes > 65536) { fprintf(stderr, "load: values of at most 65536 bytes\n"); return 2; }
  latencies = calloc((size_t)requests + 1, sizeof *latencies);

  epoll = epoll_create1(0);
  nghttp2_session_callbacks *callbacks;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  struct connection *connections = calloc((size_t)connection_count, sizeof *connections);
  for (int i = 0; i < connection_count; i++) open_connection(&connections[i], callbacks);

  int64_t start = now();
  for (int s = 0; s < streams; s++)
    for (int i = 0; i < connection_count && begun < requests; i++) {
      struct call *call = calloc(1, sizeof *call);
      call->connection = &connections[i];
      start_call(call);
    }
  for (int i = 0; i < connection_count; i++) flush_connection(&connections[i]);

  static uint8_t in[1 << 18];
  while (mode == WATCH ? done_watching < requests : finished < requests) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, 30000);
    if (n == 0) { fprintf(stderr, "load: nothing for 30 s (%lld of %lld)\n", (long long)finished, (long long)requests); return 1; }
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      ssize_t size = recv(c->socket, in, sizeof in, 0);
      if (size < 0 && errno == EAGAIN) continue;
      if (size <= 0) die("connection closed");
      if (nghttp2_session_mem_recv(c->session, in, (size_t)size) < 0) die("protocol");
      flush_connection(c);
    }
  }
  double seconds = (double)(now() - start) / 1e9;
  if (mode == WATCH) {
    seconds = (double)(last_event - first_event) / 1e9;
    finished = total_events;
  } else {
    qsort(latencies, (size_t)finished, sizeof *latencies, by_value);
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  printf("{\"done\":%lld,\"failed\":%lld,\"seconds\":%.6f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"bytes\":%lld,\"cpu_seconds\":%.4f}\n",
         (long long)finished, (long long)failed, seconds, mode == WATCH ? 0 : (double)latencies[finished / 2] / 1e3,
         mode == WATCH ? 0 : (double)latencies[finished * 99 / 100] / 1e3, (long long)bytes, cpu);
  return failed ? 1 : 0;
}

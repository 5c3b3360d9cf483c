// A load generator for etcd's API: one thread, nghttp2, any number of connections with any number of calls
// in flight on each. It sends well-formed gRPC requests with keys of its own and reads no more of the
// answers than it must, so that it costs less than the servers that it measures.
//
// usage: load PORT MODE [NAME=VALUE …]
//   put         requests= keys= value=BYTES key=BYTES (8: short keys, else 25) lease=1 (key n on lease n + 1)
//   txn         requests= value=      each call has keys of its own: "if unchanged since my last write, put, else get"
//   range       requests= keys= key= serializable=1
//   list        requests= limit=      all keys
//   page        requests= keys= limit=    from a random key on
//   watch       events= watchers= noput=1     each stream has WATCHERS on all keys; ends when each got EVENTS
//   grant       requests= ttl=        leases 1 … REQUESTS
//   keepalive   requests= leases=     one stream per call, one renewal at a time on each
// for all: connections= streams= (calls at a time on each connection), seconds= (ends then, whatever was sent)
//
// With -DTLS, linked with OpenSSL, it speaks TLS. Prints `ready` once all watches are established, and at the end
// one line of JSON.

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
#ifdef TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

enum mode { PUT, TXN, RANGE, LIST, PAGE, WATCH, GRANT, KEEPALIVE, MODES };
static const char *mode_names[MODES] = {"put", "txn", "range", "list", "page", "watch", "grant", "keepalive"};
static const char *paths[MODES] = {
    "/etcdserverpb.KV/Put",      "/etcdserverpb.KV/Txn",      "/etcdserverpb.KV/Range",         "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/Range",    "/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseGrant", "/etcdserverpb.Lease/LeaseKeepAlive"};

struct call {  // The user data of a stream.
  struct connection *connection;
  uint8_t *body;
  size_t length, sent;
  int32_t stream;
  int64_t key, revision, started, events;
  int status;  // grpc-status; -1 before the trailers.
  // The reader of messages: a 5-byte head, then the message.
  uint8_t *message;
  size_t have, capacity;
};

struct connection {
  int socket;
  nghttp2_session *session;
#ifdef TLS
  SSL *tls;
#endif
};

static enum mode mode;
static int port, epoll;
static int64_t connection_count = 1, streams = 1, requests = 1, keys = 1, value_bytes = 256, key_bytes = 25, serializable, limit,
               seconds_limit, watchers = 1, noput, leases = 1, ttl = 60, with_lease;
static int64_t begun, finished, failed, bytes, created, done_watching, total_events, first_event, last_event, stop_at;
static int64_t *latencies, latency_count, latency_capacity;
static uint64_t random_state = 88172645463325252ull;
static uint8_t filler[1 << 16];

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

// MARK: Requests

static uint8_t *varint(uint8_t *p, uint64_t v) {
  for (; v >= 0x80; v >>= 7) *p++ = (uint8_t)(v | 0x80);
  *p++ = (uint8_t)v;
  return p;
}

static uint8_t *number(uint8_t *p, int field, uint64_t v) {
  *p++ = (uint8_t)(field << 3);
  return varint(p, v);
}

static uint8_t *field(uint8_t *p, int number, const void *data, size_t size) {
  *p++ = (uint8_t)(number << 3 | 2);
  p = varint(p, size);
  memcpy(p, data, size);
  return p + size;
}

static uint8_t *a_key(uint8_t *p, int number, int64_t n) {
  char key[48];
  int size = snprintf(key, sizeof key, key_bytes == 8 ? "%08lld" : "/registry/bench/%09lld", (long long)n);
  return field(p, number, key, (size_t)size);
}

static uint8_t *prefix(uint8_t *p) {
  p = field(p, 1, "/registry/bench/", 16);
  return field(p, 2, "/registry/bench0", 16);
}

// "If unchanged since the revision that this call wrote, put; else get", as an API server updates an object.
static uint8_t *txn(uint8_t *p, struct call *call) {
  uint8_t compare[64], *c = compare, range[64], *r = range, *put = malloc((size_t)value_bytes + 128), *q = put;
  c = number(number(c, 1, 0), 2, 2);  // EQUAL, MOD
  c = a_key(c, 3, call->key);
  c = number(c, 6, (uint64_t)call->revision);
  q = field(a_key(q, 1, call->key), 2, filler, (size_t)value_bytes);
  r = a_key(r, 1, call->key);
  uint8_t *wrapped = malloc((size_t)value_bytes + 192), *w = field(wrapped, 2, put, (size_t)(q - put));
  p = field(p, 1, compare, (size_t)(c - compare));
  p = field(p, 2, wrapped, (size_t)(w - wrapped));
  w = field(wrapped, 1, range, (size_t)(r - range));
  p = field(p, 3, wrapped, (size_t)(w - wrapped));
  free(put), free(wrapped);
  return p;
}

static uint8_t *watch_creations(uint8_t *p) {
  for (int64_t i = 0; i < watchers; i++) {
    uint8_t create[64], message[96], *q = prefix(create);
    if (noput) q = number(q, 5, 0);
    uint8_t *m = field(message, 1, create, (size_t)(q - create));
    size_t size = (size_t)(m - message);
    *p++ = 0, *p++ = 0, *p++ = 0, *p++ = 0, *p++ = (uint8_t)size;
    memcpy(p, message, size);
    p += size;
  }
  return p;
}

static void build(struct call *call) {
  uint8_t *start = call->body + 5, *p = start;
  // Keys are written once in order, so that all exist, and then at random.
  int64_t some = mode == PUT && begun < keys ? begun : (int64_t)(next_random() % (uint64_t)keys);
  switch (mode) {
  case PUT:
    p = field(a_key(p, 1, some), 2, filler, (size_t)value_bytes);
    if (with_lease) p = number(p, 3, (uint64_t)some + 1);
    break;
  case TXN: p = txn(p, call); break;
  case RANGE:
    p = a_key(p, 1, some);
    if (serializable) p = number(p, 7, 1);
    break;
  case PAGE: p = number(field(a_key(p, 1, some), 2, "/registry/bench0", 16), 3, (uint64_t)limit); break;
  case LIST:
    p = prefix(p);
    if (limit) p = number(p, 3, (uint64_t)limit);
    break;
  case WATCH: p = watch_creations(call->body); break;
  case GRANT: p = number(number(p, 1, (uint64_t)ttl), 2, (uint64_t)begun + 1); break;
  default: p = number(p, 1, next_random() % (uint64_t)leases + 1); break;
  }
  uint32_t size = (uint32_t)(p - start);
  if (mode != WATCH)
    for (int i = 0; i < 5; i++) call->body[i] = i ? (uint8_t)(size >> (32 - 8 * i)) : 0;
  call->length = (size_t)(p - call->body);
  call->sent = 0;
  call->started = now();
  begun++;
}

static int is_stream(void) { return mode == WATCH || mode == KEEPALIVE; }
static int may_begin(void) { return begun < requests && (!stop_at || now() < stop_at); }

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *context) {
  (void)session, (void)stream, (void)context;
  struct call *call = source->ptr;
  size_t n = call->length - call->sent;
  if (n == 0) return NGHTTP2_ERR_DEFERRED;  // A stream stays open.
  if (n > room) n = room;
  memcpy(buffer, call->body + call->sent, n);
  call->sent += n;
  if (call->sent == call->length && !is_stream()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return (ssize_t)n;
}

#define HEADER(name, value) {(uint8_t *)name, (uint8_t *)(value), sizeof name - 1, strlen(value), 0}

static void start_call(struct call *call) {
  char authority[32];
  snprintf(authority, sizeof authority, "127.0.0.1:%d", port);
  build(call);
  call->status = -1;
  call->have = 0;
  nghttp2_nv headers[] = {HEADER(":method", "POST"), HEADER(":scheme", "http"), HEADER(":path", paths[mode]),
                          HEADER(":authority", authority), HEADER("content-type", "application/grpc"), HEADER("te", "trailers")};
  nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_body};
  call->stream = nghttp2_submit_request(call->connection->session, NULL, headers, 6, &body, call);
  if (call->stream < 0) die("submit");
}

// MARK: Answers

static void took(int64_t nanoseconds) {
  if (latency_count == latency_capacity) {
    latency_capacity = latency_capacity ? latency_capacity * 2 : 1 << 16;
    latencies = realloc(latencies, (size_t)latency_capacity * sizeof *latencies);
  }
  latencies[latency_count++] = nanoseconds;
  finished++;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t size, uint8_t flags, void *context) {
  (void)flags, (void)context, (void)size;
  struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  if (call && name_size == 11 && memcmp(name, "grpc-status", 11) == 0) call->status = atoi((const char *)value);
  return 0;
}

// Reads a tag and its number or length.
static const uint8_t *read_field(const uint8_t *p, const uint8_t *end, uint64_t *tag, uint64_t *value) {
  *tag = *value = 0;
  for (int shift = 0; p < end; shift += 7) { *tag |= (uint64_t)(*p & 0x7f) << shift; if (!(*p++ & 0x80)) break; }
  for (int shift = 0; p < end; shift += 7) { *value |= (uint64_t)(*p & 0x7f) << shift; if (!(*p++ & 0x80)) break; }
  return p;
}

static void take_message(struct call *call, const uint8_t *p, size_t size) {
  const uint8_t *end = p + size;
  if (mode == KEEPALIVE) {
    took(now() - call->started);
    if (!may_begin()) return;
    build(call);
    nghttp2_session_resume_data(call->connection->session, call->stream);
    return;
  }
  while (p < end) {
    uint64_t tag, value;
    p = read_field(p, end, &tag, &value);
    if (mode == TXN && tag == (1 << 3 | 2)) {  // The header: our write's revision.
      for (const uint8_t *h = p, *h_end = p + value; h < h_end;) {
        h = read_field(h, h_end, &tag, &value);
        if (tag == 3 << 3) call->revision = (int64_t)value;
      }
      return;
    }
    if ((tag & 7) == 2) p += value;
    if (mode == WATCH && tag >> 3 == 3 && value && ++created == connection_count * streams * watchers) { puts("ready"); fflush(stdout); }
    if (mode == WATCH && tag >> 3 == 11) {
      last_event = now();
      if (!total_events++) first_event = last_event;
      if (++call->events == requests * watchers) done_watching++;
    }
  }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t size, void *context) {
  (void)flags, (void)context;
  bytes += (int64_t)size;
  if (!is_stream() && mode != TXN) return 0;
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
    take_message(call, head + 5, length);
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
  if (is_stream()) { fprintf(stderr, "load: a stream ended (%u, grpc %d)\n", code, call->status); exit(1); }
  took(now() - call->started);
  if (code || call->status != 0) failed++;
  if (may_begin()) start_call(call);
  return 0;
}

// MARK: Sockets

#ifdef TLS
static ssize_t tls_result(struct connection *c, int n) {
  if (n > 0) return n;
  int error = SSL_get_error(c->tls, n);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
    errno = EAGAIN;
  } else {
    fprintf(stderr, "load: TLS error %d: ", error);
    ERR_print_errors_fp(stderr);
    errno = EPROTO;
  }
  ERR_clear_error();
  return -1;
}
#endif

static ssize_t socket_send(struct connection *c, const uint8_t *data, size_t size) {
#ifdef TLS
  return tls_result(c, SSL_write(c->tls, data, (int)size));
#else
  return send(c->socket, data, size, MSG_NOSIGNAL);
#endif
}

static ssize_t socket_receive(struct connection *c, uint8_t *data, size_t size) {
#ifdef TLS
  return tls_result(c, SSL_read(c->tls, data, (int)size));
#else
  return recv(c->socket, data, size, 0);
#endif
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
      ssize_t sent = socket_send(c, out + at, size - at);
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
#ifdef TLS
  static SSL_CTX *tls;
  if (!tls) {
    tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_alpn_protos(tls, (const uint8_t *)"\x02h2", 3);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }
  c->tls = SSL_new(tls);
  SSL_set_fd(c->tls, c->socket);
  if (SSL_connect(c->tls) != 1) die("TLS handshake");
#endif
  fcntl(c->socket, F_SETFL, O_NONBLOCK);
  nghttp2_session_client_new(&c->session, callbacks, c);
  nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 24}, {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
  nghttp2_submit_settings(c->session, 0, settings, 2);
  nghttp2_session_set_local_window_size(c->session, 0, 0, 1 << 26);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll, EPOLL_CTL_ADD, c->socket, &event);
}

static void receive(struct connection *c) {
  static uint8_t in[1 << 18];
  for (;;) {
    ssize_t size = socket_receive(c, in, sizeof in);
    if (size < 0 && errno == EAGAIN) break;
    if (size <= 0) die("connection closed");
    if (nghttp2_session_mem_recv(c->session, in, (size_t)size) < 0) die("protocol");
#ifndef TLS
    break;
#endif
  }
  flush_connection(c);
}

// MARK: The run

static void read_arguments(int count, char **arguments) {
  struct { const char *name; int64_t *value; } options[] = {
      {"connections", &connection_count}, {"streams", &streams}, {"requests", &requests}, {"events", &requests}, {"keys", &keys},
      {"value", &value_bytes}, {"key", &key_bytes}, {"serializable", &serializable}, {"limit", &limit}, {"seconds", &seconds_limit},
      {"watchers", &watchers}, {"noput", &noput}, {"leases", &leases}, {"ttl", &ttl}, {"lease", &with_lease}};
  int known = count > 2;
  if (known) for (mode = 0; mode < MODES && strcmp(arguments[2], mode_names[mode]); mode++) {}
  for (int i = 3; known && i < count; i++) {
    size_t length = strcspn(arguments[i], "=");
    known = 0;
    for (size_t o = 0; o < sizeof options / sizeof *options; o++)
      if (arguments[i][length] && strlen(options[o].name) == length && !strncmp(arguments[i], options[o].name, length))
        known = 1, *options[o].value = atoll(arguments[i] + length + 1);
  }
  if (!known || mode == MODES) { fprintf(stderr, "usage: load PORT MODE [NAME=VALUE …], as the head of load.c has it\n"); exit(2); }
  if (value_bytes > (int64_t)sizeof filler) { fprintf(stderr, "load: values of at most %zu bytes\n", sizeof filler); exit(2); }
  port = atoi(arguments[1]);
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static double percentile(double p) { return latency_count ? (double)latencies[(int64_t)((double)(latency_count - 1) * p)] / 1e3 : 0; }

int main(int count, char **arguments) {
  read_arguments(count, arguments);
  int64_t all = connection_count * streams;
  for (size_t i = 0; i < sizeof filler; i++) filler[i] = (uint8_t)(next_random() >> 11) | 1;
  epoll = epoll_create1(0);
  nghttp2_session_callbacks *callbacks;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  struct connection *connections = calloc((size_t)connection_count, sizeof *connections);
  for (int64_t i = 0; i < connection_count; i++) open_connection(&connections[i], callbacks);

  int64_t start = now();
  if (seconds_limit) stop_at = start + seconds_limit * 1000000000, requests = mode == WATCH ? requests : INT64_MAX;
  size_t body_bytes = 512 + (mode == PUT ? (size_t)value_bytes : mode == TXN ? 2 * (size_t)value_bytes : mode == WATCH ? 96 * (size_t)watchers : 0);
  for (int64_t s = 0; s < streams; s++)
    for (int64_t i = 0; i < connection_count && (mode == WATCH || begun < requests); i++) {
      struct call *call = calloc(1, sizeof *call);
      call->connection = &connections[i];
      call->body = malloc(body_bytes);
      call->key = s * connection_count + i;
      start_call(call);
    }
  for (int64_t i = 0; i < connection_count; i++) flush_connection(&connections[i]);

  while (mode == WATCH ? done_watching < all : finished < begun || may_begin()) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, 60000);
    if (n == 0) { fprintf(stderr, "load: nothing for 60 s (%lld of %lld)\n", (long long)finished, (long long)requests); return 1; }
    for (int i = 0; i < n; i++) receive(events[i].data.ptr);
  }
  double seconds = (double)(now() - start) / 1e9;
  if (mode == WATCH) {
    seconds = (double)(last_event - first_event) / 1e9;
    finished = total_events;
  }
  qsort(latencies, (size_t)latency_count, sizeof *latencies, by_value);
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  printf("{\"done\":%lld,\"failed\":%lld,\"seconds\":%.6f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"bytes\":%lld,\"cpu_seconds\":%.4f}\n",
         (long long)finished, (long long)failed, seconds, percentile(0.5), percentile(0.99), percentile(0.999), (long long)bytes, cpu);
  return failed ? 1 : 0;
}

/* A service in C99 that publishes two queues, with nothing of seer but the layout of the bytes:
 *
 *   cc -std=c99 -Iinclude -pthread -o service examples/other_languages/service.c
 *   ./service /dev/shm/seer 10
 *
 * One thread makes jobs, another does them, too slowly. Between them lies a pipe. Whoever
 * reads the directory sees how many wait and how many run (include/seer/queue/README.md).
 *
 * To publish queues of your own, take everything above "The service itself", and change the names.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "seer/queue/segment_layout.h"

/* ---- The segment: two queues, and a shard for each of two threads. */

enum { QUEUED, RUNNING, QUEUES };
enum { SHARED_SHARD, PRODUCER, WORKER, SHARDS }; /* nobody uses the shared one here */

static struct segment {
  struct seer_segment_header header;
  struct seer_queues_header queues;
  struct seer_name_row names[1];
  struct seer_queue_row rows[QUEUES];
  struct {
    struct seer_slot slots[QUEUES];
    char padding[64 - QUEUES * sizeof(struct seer_slot)]; /* to a multiple of 64 */
  } shards[SHARDS];
} * segment;
static char segment_path[4096];
static int segment_fd = -1;

/* Only the shard's own thread: hence no atomic addition. */
static void count(uint64_t* counter) { __atomic_store_n(counter, *counter + 1, __ATOMIC_RELEASE); }
static void enter(int shard, int queue) { count(&segment->shards[shard].slots[queue].enqueued); }
static void leave(int shard, int queue) { count(&segment->shards[shard].slots[queue].dequeued); }

/* Who we are, so that readers notice when we die. All of it may stay 0. */
static void say_who_we_are(struct seer_segment_header* header) {
  char text[1024];
  size_t bytes = 0;
  struct stat info;
  FILE* file = fopen("/proc/self/stat", "r");
  header->pid = (uint64_t)getpid();
  if (file != NULL) {
    const char* field;
    int i;
    bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = 0;
    field = strrchr(text, ')'); /* the end of field 2 */
    for (i = 2; i < 22 && field != NULL; i++) field = strchr(field + 1, ' ');
    if (field != NULL) header->start_time = strtoull(field, NULL, 10);
  }
  if (stat("/proc/self/ns/pid", &info) == 0) header->pid_namespace = (uint64_t)info.st_ino;
  file = fopen("/proc/sys/kernel/random/boot_id", "r");
  if (file != NULL) {
    unsigned byte, i = 0;
    while (i < 16 && fscanf(file, " %2x", &byte) == 1) {
      header->boot_id[i++] = (uint8_t)byte;
      if (i == 4 || i == 6 || i == 8 || i == 10) fgetc(file); /* a dash */
    }
    fclose(file);
  }
}

/* A locked file of `bytes` zeros under a name of our own; -1 on failure. */
static int make_file(const char* directory, size_t bytes) {
  int attempt;
  if (mkdir(directory, 01777) == 0) chmod(directory, 01777); /* beyond the umask */
  for (attempt = 0; attempt < 16; attempt++) {
    uint64_t number = 0;
    struct stat info;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, &number, sizeof number) != sizeof number) number = (uint64_t)time(NULL);
    if (fd >= 0) close(fd);
    snprintf(segment_path, sizeof segment_path, "%s/queues.%ld.%016llx", directory, (long)getpid(),
             (unsigned long long)number);
    fd = open(segment_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return -1;
    /* Before we had the lock, a sweeper may have taken the file for a leftover. */
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &info) == 0 && info.st_nlink != 0) {
      errno = ftruncate(fd, (off_t)bytes) == 0 ? posix_fallocate(fd, 0, (off_t)bytes) : errno;
      if (errno == 0) return fd;
      unlink(segment_path);
      close(fd);
      return -1;
    }
    unlink(segment_path);
    close(fd);
  }
  return -1;
}

/* A forked child keeps neither the lock nor the counters: they are its parent's. */
static void forget_in_child(void) {
  if (segment_fd >= 0) close(segment_fd);
  segment_fd = -1;
  /* Counts go to a copy that nobody reads. */
  if (mmap(segment, sizeof *segment, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
    _exit(1);
  }
}

/* As much of the text as there is room for; its length. */
static uint8_t put_text(char* to, size_t room, const char* text) {
  const size_t bytes = strnlen(text, room);
  memcpy(to, text, bytes);
  return (uint8_t)bytes;
}

static void add_queue(int number, uint8_t channel, const char* name) {
  struct seer_queue_row* row = &segment->rows[number];
  row->slot = (uint32_t)number;
  row->service = 0; /* names[0] */
  row->callee = SEER_NO_NAME;
  row->channel = channel;
  row->bytes = put_text(row->name, sizeof row->name, name);
  row->state = SEER_QUEUE_LIVE;
  __atomic_store_n(&segment->queues.rows_count, (uint32_t)number + 1, __ATOMIC_RELEASE);
}

/* 0 if the directory cannot be used: the service counts on, and nobody sees it. */
static int publish(const char* directory, const char* service, const char* instance) {
  void* memory = MAP_FAILED;
  struct timespec now;
  segment_fd = make_file(directory, sizeof *segment);
  if (segment_fd >= 0) {
    memory = mmap(NULL, sizeof *segment, PROT_READ | PROT_WRITE, MAP_SHARED, segment_fd, 0);
    if (memory == MAP_FAILED) {
      unlink(segment_path);
      close(segment_fd);
      segment_fd = -1;
    }
  }
  if (memory == MAP_FAILED) {
    segment = calloc(1, sizeof *segment);
    if (segment == NULL) abort();
    return 0;
  }
  segment = memory;

  memcpy(segment->header.magic, SEER_SEGMENT_MAGIC, sizeof segment->header.magic);
  segment->header.major = SEER_SEGMENT_MAJOR;
  segment->header.minor = SEER_SEGMENT_MINOR;
  segment->header.kind = SEER_SEGMENT_QUEUES;
  segment->header.header_bytes = offsetof(struct segment, names);
  segment->header.segment_bytes = sizeof *segment;
  say_who_we_are(&segment->header);
  clock_gettime(CLOCK_REALTIME, &now);
  segment->header.created_unix_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  segment->header.stamp_source = SEER_STAMP_MONOTONIC;
  segment->header.instance_bytes =
      put_text(segment->header.instance, sizeof segment->header.instance, instance);

  segment->queues.names_offset = offsetof(struct segment, names);
  segment->queues.rows_offset = offsetof(struct segment, rows);
  segment->queues.shards_offset = offsetof(struct segment, shards);
  segment->queues.shard_stride = sizeof segment->shards[0];
  segment->queues.names_capacity = 1;
  segment->queues.rows_capacity = QUEUES;
  segment->queues.slots_capacity = QUEUES;
  segment->queues.shards_capacity = SHARDS;
  segment->queues.name_bytes = sizeof(struct seer_name_row);
  segment->queues.row_bytes = sizeof(struct seer_queue_row);

  segment->names[0].bytes =
      put_text(segment->names[0].name, sizeof segment->names[0].name, service);
  __atomic_store_n(&segment->queues.names_count, 1, __ATOMIC_RELEASE);
  add_queue(QUEUED, SEER_CHANNEL_QUEUED, "");
  add_queue(RUNNING, SEER_CHANNEL_RUNNING, "");
  __atomic_store_n(&segment->queues.shards_used, WORKER, __ATOMIC_RELEASE);

  pthread_atfork(NULL, NULL, forget_in_child);
  __atomic_store_n(&segment->header.state, SEER_SEGMENT_READY, __ATOMIC_RELEASE);
  return 1;
}

/* At an orderly end. After any other the kernel drops the lock, and readers see that. */
static void end_segment(void) {
  if (segment_fd < 0) return;
  __atomic_store_n(&segment->header.state, SEER_SEGMENT_CLOSED, __ATOMIC_RELEASE);
  unlink(segment_path);
}

/* ---- The service itself. */

static int jobs[2]; /* a pipe: one byte is one job */
static volatile sig_atomic_t stop = 0;

static void on_signal(int number) {
  (void)number;
  stop = 1;
}

static void pause_ms(long ms) {
  struct timespec t = {0, 0};
  t.tv_nsec = ms * 1000000;
  nanosleep(&t, NULL);
}

static void* work(void* unused) {
  char job;
  while (read(jobs[0], &job, 1) == 1) {
    leave(WORKER, QUEUED); /* after it was taken */
    enter(WORKER, RUNNING);
    pause_ms(20);
    leave(WORKER, RUNNING);
  }
  return unused;
}

static void produce(double seconds) {
  struct timespec now;
  double end;
  clock_gettime(CLOCK_MONOTONIC, &now);
  end = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec + seconds;
  while (!stop && (double)now.tv_sec + 1e-9 * (double)now.tv_nsec < end) {
    enter(PRODUCER, QUEUED); /* before others can see it */
    if (write(jobs[1], "j", 1) != 1) break;
    pause_ms(10);
    clock_gettime(CLOCK_MONOTONIC, &now);
  }
}

int main(int argc, char** argv) {
  pthread_t worker;
  if (argc != 3 || atof(argv[2]) <= 0) {
    fprintf(stderr, "usage: %s DIRECTORY SECONDS\n", argv[0]);
    return 2;
  }
  if (!publish(argv[1], "thumbnails", "thumbnails-0")) {
    fprintf(stderr, "%s: %s; counting for nobody\n", argv[1], strerror(errno));
  }
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  if (pipe(jobs) != 0 || pthread_create(&worker, NULL, work, NULL) != 0) {
    perror("service");
    end_segment();
    return 1;
  }
  produce(atof(argv[2]));
  close(jobs[1]); /* the worker does what waits, and ends */
  pthread_join(worker, NULL);
  printf("%llu jobs\n", (unsigned long long)segment->shards[PRODUCER].slots[QUEUED].enqueued);
  end_segment();
  return 0;
}

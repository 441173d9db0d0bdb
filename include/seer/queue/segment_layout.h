// Flow: counters of any language -> [segment] -> Reader
//
// The bytes of a segment: one file (or anonymous memory) per process, written by that process alone
// and read by anyone, without a lock. Plain C, so that a service in another language can publish
// its queues too; README.md beside this file tells the rules in words, examples/other_languages
// shows them in C and in Python.
//
//   offset  0    seer_segment_header, 384 bytes, the same for every kind of segment
//         384    seer_queues_header, 128 bytes (kind SEER_SEGMENT_QUEUES)
//   names_offset   names_capacity * 64 bytes, seer_name_row: services and callees
//   rows_offset    rows_capacity * 64 bytes, seer_queue_row: one per queue
//   shards_offset  shards_capacity * shard_stride bytes: counters, one shard per thread
//
//         384    seer_spans_header, 128 bytes (kind SEER_SEGMENT_SPANS)
//   names_offset   names_capacity * 64 bytes, seer_name_row: services
//   methods_offset methods_capacity * 128 bytes, seer_method_row
//   edges_offset   edges_capacity * 8 bytes, seer_edge_row
//   rings_offset   rings_capacity * ring_stride bytes: a seer_ring and its records, one per thread
//
// A shard is an array of seer_slot. Every queue owns one slot in every shard (a timed queue three),
// and its depth is the sum over all shards of `enqueued` less the sum of `dequeued`. A counter only
// ever grows, and is never reset; sums wrap at 2^64.
//
// Little-endian. Fields marked "atomic" are written with one aligned store: release, so that what
// was written before is seen by whoever reads the new value with acquire.
//
// Threads: a layout, no code. Cost: 64 bytes a name, 64 a queue, 16 a queue and thread.
#pragma once

#include <stdint.h>  // NOLINT(modernize-deprecated-headers): for C too

#ifdef __cplusplus
extern "C" {
#endif

#define SEER_SEGMENT_MAGIC "SEERSEG"  // eight bytes with its NUL
#define SEER_SEGMENT_MAJOR 1          // readers refuse another major version
#define SEER_SEGMENT_MINOR 0          // a higher one only adds at the end of structures

// kind
#define SEER_SEGMENT_QUEUES 1
#define SEER_SEGMENT_SPANS 2

// state
#define SEER_SEGMENT_BEING_MADE 0
#define SEER_SEGMENT_READY 1   // stored last, when all the rest stands and the lock is held
#define SEER_SEGMENT_CLOSED 2  // the process ended in good order

// stamp_source, for timed queues and spans
#define SEER_STAMP_TSC 1        // the processor's invariant time-stamp counter
#define SEER_STAMP_MONOTONIC 2  // nanoseconds of CLOCK_MONOTONIC

struct seer_segment_header {
  char magic[8];
  uint16_t major;
  uint16_t minor;
  uint32_t kind;
  uint32_t header_bytes;  // both headers together: at least 512
  uint32_t state;         // atomic
  uint64_t segment_bytes;
  uint64_t pid;            // as the process itself sees it
  uint64_t start_time;     // field 22 of /proc/self/stat; 0: not known
  uint64_t pid_namespace;  // inode of /proc/self/ns/pid; 0: not known
  uint8_t boot_id[16];     // /proc/sys/kernel/random/boot_id; zeros: not known
  int64_t created_unix_ns;
  uint32_t stamp_source;
  uint32_t reserved0;
  uint64_t reserved1[5];
  uint8_t instance_bytes;
  char instance[255];  // of which replica of its services the process is; 1 to 255 bytes, no NUL
};

struct seer_queues_header {
  uint64_t names_offset;  // each a multiple of 64
  uint64_t rows_offset;
  uint64_t shards_offset;
  uint64_t shard_stride;  // at least 16 * slots_capacity, a multiple of 64
  uint32_t names_capacity;
  uint32_t rows_capacity;
  uint32_t slots_capacity;
  uint32_t shards_capacity;
  uint32_t name_bytes;  // size of a seer_name_row: 64
  uint32_t row_bytes;   // size of a seer_queue_row: 64
  uint64_t reserved0;
  // A cache line of its own from here on.
  uint32_t names_count;    // atomic: rows below it are complete and never change again
  uint32_t rows_count;     // atomic: the same, but for `state`
  uint32_t retired_count;  // atomic: rises by one after a row's state became RETIRED
  uint32_t shards_used;    // atomic: shards [1, this & 0x7fffffff] may hold counts, and shard 0 too
                           // if bit 31 is set
  uint64_t reserved1[6];
};

// Rises to 2^31 | n: the shared shard 0 is in use as well.
#define SEER_SHARED_SHARD_USED 0x80000000u

struct seer_name_row {
  uint8_t bytes;  // 1 to 63
  char name[63];  // no NUL, not terminated
};

// seer_queue_row.state
#define SEER_QUEUE_UNUSED 0
#define SEER_QUEUE_LIVE 1
#define SEER_QUEUE_RETIRED 2  // not counted any more; the row is never used again

// seer_queue_row.channel: 0 nic, 1 accept, 2 socket, 3 queued, 4 running, 5 blocked, 6 send
#define SEER_CHANNEL_QUEUED 3
#define SEER_CHANNEL_RUNNING 4
#define SEER_CHANNEL_BLOCKED 5
#define SEER_CHANNEL_OUTBOUND 7  // calls to `callee` that are not answered

#define SEER_NO_NAME 0xffffu

// seer_queue_row.flags
#define SEER_QUEUE_TIMED 1u

struct seer_queue_row {
  uint32_t state;  // atomic
  uint32_t slot;   // of every shard
  uint16_t service;
  uint16_t callee;  // SEER_NO_NAME except for SEER_CHANNEL_OUTBOUND
  uint8_t channel;
  uint8_t flags;
  uint8_t bytes;  // of the queue's own name: 0 to 48
  uint8_t reserved;
  char name[48];
};

// One queue in one shard. Only the shard's thread writes it, with plain aligned 8-byte stores
// (release); in shard 0, which any thread may use, with atomic additions.
struct seer_slot {
  uint64_t enqueued;  // atomic
  uint64_t dequeued;  // atomic
};

// The second and third slot of a timed queue: sums of stamps, modulo 2^64. `sequence` is odd while
// any of the six words is being changed. Not kept in shard 0.
struct seer_timed_slots {
  uint64_t entered_sum;       // atomic: stamps of all enters
  uint64_t left_sum;          // atomic: stamps of all leaves
  uint64_t left_entered_sum;  // atomic: of those that left, the stamps at which they had entered
  uint64_t sequence;          // atomic
};

// ---- Spans.

// mode: what a thread does when its ring is full
#define SEER_SPANS_DROP_NEWEST 1
#define SEER_SPANS_KEEP_LATEST 2  // overwrites the oldest

struct seer_spans_header {
  uint64_t names_offset;  // each a multiple of 64
  uint64_t methods_offset;
  uint64_t edges_offset;
  uint64_t rings_offset;
  uint64_t ring_stride;   // at least 128 + 64 * ring_records, a multiple of 64
  uint32_t ring_records;  // a power of two
  uint32_t rings_capacity;
  uint32_t names_capacity;
  uint32_t methods_capacity;
  uint32_t edges_capacity;
  uint32_t mode;
  // A cache line of its own from here on.
  uint32_t names_count;  // atomic: rows below it are complete and never change again
  uint32_t methods_count;
  uint32_t edges_count;
  uint32_t rings_used;  // atomic: rings [1, this & 0x7fffffff] may hold records
  uint64_t reserved0[6];
};

// seer_method_row.flags
#define SEER_METHOD_SERVED 1u  // `service` runs in this process; else it is only called

struct seer_method_row {
  uint16_t service;  // number of its name
  uint8_t flags;
  uint8_t bytes;  // 1 to 124
  char name[124];
};

struct seer_edge_row {
  uint16_t caller;  // numbers of their names
  uint16_t callee;
  uint32_t reserved;
};

// One RPC. As core/span.h, but with stamps of the segment's stamp_source.
struct seer_span_record {
  uint64_t trace_high;
  uint64_t trace_low;
  uint64_t span_id;
  uint64_t parent_id;
  uint64_t first_stamp;  // the first one that is known
  // From there to the second, third, ... stamp, in units of 2^shift; no meaning where not known.
  uint32_t later[4];
  uint64_t bits;
};

// Where things stand in seer_span_record.bits.
#define SEER_SPAN_METHOD_BIT 0  // 24 bits: number of its row; all ones: none
#define SEER_SPAN_EDGE_BIT 24   // 24 bits: the same
#define SEER_SPAN_SIDE_BIT 48   // 0 server, 1 client
#define SEER_SPAN_OUTCOME_BIT 49
#define SEER_SPAN_SHIFT_BIT 52  // 4 bits
#define SEER_SPAN_KNOWN_BIT 56  // 5 bits: which stamps are known; the last 3 have no meaning

// Record number n, counted from 0 and modulo 2^64, lies in place n % ring_records. Ring 0 has no
// records: threads that found no ring count their losses there, with atomic additions.
struct seer_ring {
  uint64_t written;     // atomic: records below it are complete
  uint64_t started;     // atomic, KEEP_LATEST only: one more than the record that was begun last
  uint64_t dropped;     // atomic: spans that found the ring full
  uint64_t room_until;  // its thread's own
  uint64_t reserved0[4];
  // Written by the drainer, on a cache line of its own.
  uint64_t drained;   // atomic: records below it have been taken; compare-and-set
  uint64_t reported;  // atomic: how much of `dropped` has been told to anybody; compare-and-set
  // atomic, ring 0 only: who may drain: unix time in ms at which that ends << 22 | pid; 0: nobody
  uint64_t lease;
  uint64_t reserved1[5];
};

#ifdef __cplusplus
}  // extern "C"

static_assert(sizeof(seer_segment_header) == 384, "the layout is fixed");
static_assert(sizeof(seer_queues_header) == 128, "the layout is fixed");
static_assert(sizeof(seer_name_row) == 64 && sizeof(seer_queue_row) == 64, "the layout is fixed");
static_assert(sizeof(seer_spans_header) == 128 && sizeof(seer_ring) == 128, "the layout is fixed");
static_assert(sizeof(seer_method_row) == 128 && sizeof(seer_edge_row) == 8, "the layout is fixed");
static_assert(sizeof(seer_span_record) == 64, "the layout is fixed");
static_assert(sizeof(seer_slot) == 16 && sizeof(seer_timed_slots) == 32, "the layout is fixed");
#endif

/* The layout as a program in C99 sees it, also a 32-bit one: every field where README.md of
 * include/seer/queue says it is. Compiled, not run. */
#include <stddef.h>

#include "seer/queue/segment_layout.h"

/* C99 has no static assertion: an array of -1 elements where one fails. */
#define CHECK_(condition, line) typedef char check_##line[(condition) ? 1 : -1]
#define CHECK(condition, line) CHECK_(condition, line)
#define AT(type, field, offset) CHECK(offsetof(struct type, field) == (offset), __LINE__)
#define IS(type, bytes) CHECK(sizeof(struct type) == (bytes), __LINE__)

AT(seer_segment_header, magic, 0);
AT(seer_segment_header, major, 8);
AT(seer_segment_header, minor, 10);
AT(seer_segment_header, kind, 12);
AT(seer_segment_header, header_bytes, 16);
AT(seer_segment_header, state, 20);
AT(seer_segment_header, segment_bytes, 24);
AT(seer_segment_header, pid, 32);
AT(seer_segment_header, start_time, 40);
AT(seer_segment_header, pid_namespace, 48);
AT(seer_segment_header, boot_id, 56);
AT(seer_segment_header, created_unix_ns, 72);
AT(seer_segment_header, stamp_source, 80);
AT(seer_segment_header, instance_bytes, 128);
AT(seer_segment_header, instance, 129);
IS(seer_segment_header, 384);

AT(seer_queues_header, names_offset, 0);
AT(seer_queues_header, rows_offset, 8);
AT(seer_queues_header, shards_offset, 16);
AT(seer_queues_header, shard_stride, 24);
AT(seer_queues_header, names_capacity, 32);
AT(seer_queues_header, rows_capacity, 36);
AT(seer_queues_header, slots_capacity, 40);
AT(seer_queues_header, shards_capacity, 44);
AT(seer_queues_header, name_bytes, 48);
AT(seer_queues_header, row_bytes, 52);
AT(seer_queues_header, names_count, 64);
AT(seer_queues_header, rows_count, 68);
AT(seer_queues_header, retired_count, 72);
AT(seer_queues_header, shards_used, 76);
IS(seer_queues_header, 128);

AT(seer_name_row, bytes, 0);
AT(seer_name_row, name, 1);
IS(seer_name_row, 64);

AT(seer_queue_row, state, 0);
AT(seer_queue_row, slot, 4);
AT(seer_queue_row, service, 8);
AT(seer_queue_row, callee, 10);
AT(seer_queue_row, channel, 12);
AT(seer_queue_row, flags, 13);
AT(seer_queue_row, bytes, 14);
AT(seer_queue_row, name, 16);
IS(seer_queue_row, 64);

AT(seer_slot, enqueued, 0);
AT(seer_slot, dequeued, 8);
IS(seer_slot, 16);

AT(seer_timed_slots, entered_sum, 0);
AT(seer_timed_slots, left_sum, 8);
AT(seer_timed_slots, left_entered_sum, 16);
AT(seer_timed_slots, sequence, 24);
IS(seer_timed_slots, 32);

AT(seer_spans_header, names_offset, 0);
AT(seer_spans_header, methods_offset, 8);
AT(seer_spans_header, edges_offset, 16);
AT(seer_spans_header, rings_offset, 24);
AT(seer_spans_header, ring_stride, 32);
AT(seer_spans_header, ring_records, 40);
AT(seer_spans_header, rings_capacity, 44);
AT(seer_spans_header, names_capacity, 48);
AT(seer_spans_header, methods_capacity, 52);
AT(seer_spans_header, edges_capacity, 56);
AT(seer_spans_header, mode, 60);
AT(seer_spans_header, names_count, 64);
AT(seer_spans_header, methods_count, 68);
AT(seer_spans_header, edges_count, 72);
AT(seer_spans_header, rings_used, 76);
IS(seer_spans_header, 128);

AT(seer_method_row, service, 0);
AT(seer_method_row, flags, 2);
AT(seer_method_row, bytes, 3);
AT(seer_method_row, name, 4);
IS(seer_method_row, 128);

AT(seer_edge_row, caller, 0);
AT(seer_edge_row, callee, 2);
IS(seer_edge_row, 8);

AT(seer_span_record, trace_high, 0);
AT(seer_span_record, trace_low, 8);
AT(seer_span_record, span_id, 16);
AT(seer_span_record, parent_id, 24);
AT(seer_span_record, first_stamp, 32);
AT(seer_span_record, later, 40);
AT(seer_span_record, bits, 56);
IS(seer_span_record, 64);

AT(seer_ring, written, 0);
AT(seer_ring, started, 8);
AT(seer_ring, dropped, 16);
AT(seer_ring, room_until, 24);
AT(seer_ring, drained, 64);
AT(seer_ring, reported, 72);
AT(seer_ring, lease, 80);
IS(seer_ring, 128);

CHECK(sizeof(SEER_SEGMENT_MAGIC) == sizeof(((struct seer_segment_header*)0)->magic), __LINE__);

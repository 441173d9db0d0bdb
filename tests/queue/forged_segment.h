// A segment made by hand, byte by byte: what a writer in another language publishes, and what a
// hostile one might.
//
//   ForgedSegment forged;
//   forged.AddQueue("cart", "app");
//   forged.slot(1, 0).enqueued = 7;
//   forged.WriteTo(directory / "queues.1.forged");
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include "queue/process_identity.h"
#include "queue/queues_view.h"
#include "seer/queue/segment_layout.h"

namespace seer::testing {

class ForgedSegment {
 public:
  struct Shape {
    std::uint32_t names = 4;
    std::uint32_t rows = 8;
    std::uint32_t slots = 8;
    std::uint32_t shards = 5;  // with the shared one
    std::uint32_t header_bytes = sizeof(seer_segment_header) + sizeof(seer_queues_header);
  };

  // Of this process, which lives; nothing in it yet.
  explicit ForgedSegment(const Shape& shape) {
    const std::size_t names = (shape.header_bytes + 63) / 64 * 64;
    const std::size_t rows = names + shape.names * sizeof(seer_name_row);
    const std::size_t shards = rows + shape.rows * sizeof(seer_queue_row);
    const std::size_t stride = (shape.slots * sizeof(seer_slot) + 63) / 64 * 64;
    size_ = shards + shape.shards * stride;
    void* const memory =
        ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    data_ = static_cast<char*>(memory);
    seer_segment_header& h = header();
    std::memcpy(h.magic, SEER_SEGMENT_MAGIC, sizeof h.magic);
    h.major = SEER_SEGMENT_MAJOR;
    h.minor = SEER_SEGMENT_MINOR;
    h.kind = SEER_SEGMENT_QUEUES;
    h.header_bytes = shape.header_bytes;
    h.state = SEER_SEGMENT_READY;
    h.segment_bytes = size_;
    const internal::ProcessIdentity self = internal::ProcessIdentity::Self();
    h.pid = self.pid;
    h.start_time = self.start_time;
    h.pid_namespace = self.pid_namespace;
    std::copy(self.boot_id.begin(), self.boot_id.end(), h.boot_id);
    h.stamp_source = SEER_STAMP_MONOTONIC;
    h.instance_bytes = 6;
    std::memcpy(h.instance, "forged", 6);
    seer_queues_header& q = queues();
    q.names_offset = names;
    q.rows_offset = rows;
    q.shards_offset = shards;
    q.shard_stride = stride;
    q.names_capacity = shape.names;
    q.rows_capacity = shape.rows;
    q.slots_capacity = shape.slots;
    q.shards_capacity = shape.shards;
    q.name_bytes = sizeof(seer_name_row);
    q.row_bytes = sizeof(seer_queue_row);
  }
  ForgedSegment() : ForgedSegment(Shape()) {}
  ~ForgedSegment() { ::munmap(data_, size_); }
  ForgedSegment(const ForgedSegment&) = delete;
  ForgedSegment& operator=(const ForgedSegment&) = delete;

  char* data() const { return data_; }
  std::size_t size() const { return size_; }
  seer_segment_header& header() const { return *reinterpret_cast<seer_segment_header*>(data_); }
  seer_queues_header& queues() const {
    return *reinterpret_cast<seer_queues_header*>(data_ + sizeof(seer_segment_header));
  }
  seer_name_row& name(std::uint32_t i) const {
    return reinterpret_cast<seer_name_row*>(data_ + queues().names_offset)[i];
  }
  seer_queue_row& row(std::uint32_t i) const {
    return reinterpret_cast<seer_queue_row*>(data_ + queues().rows_offset)[i];
  }
  seer_slot& slot(std::uint32_t shard, std::uint32_t i) const {
    return reinterpret_cast<seer_slot*>(data_ + queues().shards_offset +
                                        shard * queues().shard_stride)[i];
  }
  seer_timed_slots& timed(std::uint32_t shard, std::uint32_t i) const {
    return *reinterpret_cast<seer_timed_slots*>(&slot(shard, i) + 1);
  }

  // A row, a slot (timed: three), and a name where it is a new one. Returns the slot.
  std::uint32_t AddQueue(std::string_view service, std::string_view name, bool timed = false) {
    seer_queues_header& q = queues();
    std::uint32_t number = 0;
    while (number < q.names_count &&
           std::string_view(this->name(number).name, this->name(number).bytes) != service) {
      ++number;
    }
    if (number == q.names_count) {
      this->name(number).bytes = static_cast<std::uint8_t>(service.size());
      std::memcpy(this->name(number).name, service.data(), service.size());
      ++q.names_count;
    }
    seer_queue_row& fresh = row(q.rows_count++);
    fresh.state = SEER_QUEUE_LIVE;
    fresh.slot = slots_;
    fresh.service = static_cast<std::uint16_t>(number);
    fresh.callee = SEER_NO_NAME;
    fresh.channel = SEER_CHANNEL_QUEUED;
    fresh.flags = timed ? SEER_QUEUE_TIMED : 0;
    fresh.bytes = static_cast<std::uint8_t>(name.size());
    std::memcpy(fresh.name, name.data(), name.size());
    slots_ += timed ? 3 : 1;
    return fresh.slot;
  }

  // Asserts nothing: where it cannot be read the layout is all zeros.
  internal::QueuesView View() const {
    auto view = internal::QueuesView::Of(data_, size_, header());
    return view.ok() ? *view : internal::QueuesView();
  }
  void WriteTo(const std::string& path) const {
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(data_, static_cast<std::streamsize>(size_));
  }
  // Into the file that is there, as it may be mapped.
  void WriteOver(const std::string& path) const {
    std::fstream(path, std::ios::binary | std::ios::in | std::ios::out)
        .write(data_, static_cast<std::streamsize>(size_));
  }

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::uint32_t slots_ = 0;
};

}  // namespace seer::testing

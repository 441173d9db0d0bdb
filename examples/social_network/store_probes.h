// What stores, the queue and nginx tell of themselves, brought into the node's snapshot: popular
// servers need no patch.
//
//   memcached            running  responses in work            stats
//   redis                queued   clients whose commands wait  CLIENT LIST
//   home-timeline-queue  queued   posts that wait              LLEN
//   postgres             running  statements in work, queued: of these, those that wait for a lock
//                        or the disk                           pg_stat_activity
//   nginx                running  requests in work             stub_status
//
// All are asked at the same time, and for at most 5 ms: what does not answer is missing.
#pragma once

#include <memory>

#include "deployment.h"
#include "seer/queue/depth_probe.h"

namespace social {

std::unique_ptr<seer::DepthProbe> MakeStoreProbe(const Deployment& deployment);

}  // namespace social

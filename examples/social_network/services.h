// What the services do. Each is made in its own process; all their methods run on many threads.
#pragma once

#include <memory>
#include <string>

#include <thrift/TProcessor.h>

#include "deployment.h"

namespace social {

// The handlers of the service of this name. Throws std::invalid_argument where there is none.
std::shared_ptr<apache::thrift::TProcessor> MakeService(const std::string& name,
                                                        const Deployment& deployment);

// Ids, media, urls, mentions, texts (text_services.cc). Null: not one of these.
std::shared_ptr<apache::thrift::TProcessor> MakeTextService(const std::string& name,
                                                            const Deployment& deployment);
// Users, and who follows whom (people_services.cc).
std::shared_ptr<apache::thrift::TProcessor> MakePeopleService(const std::string& name,
                                                              const Deployment& deployment);
// Posts: composed, stored, found (post_services.cc).
std::shared_ptr<apache::thrift::TProcessor> MakePostService(const std::string& name,
                                                            const Deployment& deployment);
// Timelines (timeline_services.cc).
std::shared_ptr<apache::thrift::TProcessor> MakeTimelineService(const std::string& name,
                                                                const Deployment& deployment);

// Takes new posts out of the queue and writes them to the home timelines of all who follow their
// creator or are mentioned: the service write-home-timeline-service. Does not return.
[[noreturn]] void WriteHomeTimelines(const Role& role, const Deployment& deployment);

// The tables that the services need, in a database that has none.
void MakeTables(const Deployment& deployment);

}  // namespace social

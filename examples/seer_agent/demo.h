// A queue that this program publishes itself, for people who have no service at hand.
#pragma once

#include <memory>
#include <string>

#include "seer/queue/collector.h"

// Three requests wait in it for ever. It is gone with what is returned; none: it cannot be.
std::shared_ptr<seer::QueueRegistry> PublishDemo(const std::string& directory);

#pragma once
#include <thrift/Thrift.h>

#include "seer/queue/queue.h"
inline std::string ThriftName() {
  return apache::thrift::TException(QueueName() + " thrift").what();
}

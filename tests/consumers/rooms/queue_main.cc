#include "seer/queue/queue.h"
int main() { return QueueName() == "core queue" ? 0 : 1; }

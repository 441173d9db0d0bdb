// Two services of a social network: who calls home-timeline gets posts out of post-storage.
service PostStorage { list<string> ReadPosts(1: i64 user) }
service HomeTimeline { list<string> ReadTimeline(1: i64 user) }

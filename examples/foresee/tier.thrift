// The same interface for all four services: what they do is to wait for each other.
namespace cpp foresee

service Tier {
  // Serves the request of a user; the answer is the number of services that it took.
  i32 Serve(1: i64 user)
}

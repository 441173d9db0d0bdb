// All tiers of the live check speak this: what they do is to wait, and to call each other.
namespace cpp seer_live

service LiveTier {
  i32 Serve(1: i64 request)
}

namespace cpp bench_made

struct Item {
  1: i32 id
  2: string name
  3: double weight
}

service Bench {
  string echo(1: string text)
  i32 count(1: list<Item> items)
  i32 work(1: i32 microseconds)
}

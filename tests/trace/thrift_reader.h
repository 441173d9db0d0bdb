// A small reader of Thrift structs, for tests: any struct of either protocol into a tree, strictly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace seer::testing {

struct ThriftValue {
  enum class Type { kNone, kBool, kI32, kI64, kString, kList, kStruct };
  Type type = Type::kNone;
  std::int64_t number = 0;  // of a bool 0 or 1
  std::string text;
  std::vector<ThriftValue> items;
  std::map<int, ThriftValue> fields;

  const ThriftValue& operator[](int id) const {
    static const ThriftValue none;
    const auto found = fields.find(id);
    return found != fields.end() ? found->second : none;
  }
  friend bool operator==(const ThriftValue& a, const ThriftValue& b) {
    return a.type == b.type && a.number == b.number && a.text == b.text && a.items == b.items &&
           a.fields == b.fields;
  }
};

// Reads one struct; ok() tells whether all bytes were used and made sense.
class ThriftReader {
 public:
  ThriftReader(std::string_view bytes, bool compact) : rest_(bytes), compact_(compact) {}

  ThriftValue ReadAll() {
    ThriftValue value = Struct(0);
    ok_ = ok_ && rest_.empty();
    return value;
  }
  bool ok() const { return ok_; }

 private:
  using Type = ThriftValue::Type;

  std::uint8_t Byte() {
    if (rest_.empty()) {
      ok_ = false;
      return 0;
    }
    const auto byte = static_cast<std::uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return byte;
  }
  std::uint64_t BigEndian(int bytes) {
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) value = value << 8 | Byte();
    return value;
  }
  std::uint64_t Varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::uint8_t byte = Byte();
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    ok_ = false;
    return 0;
  }
  std::int64_t Zigzag() {
    const std::uint64_t value = Varint();
    return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
  }
  std::string Bytes(std::uint64_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      return "";
    }
    std::string bytes(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return bytes;
  }

  Type TypeOf(std::uint8_t code) {
    const std::map<int, Type> compact = {{1, Type::kBool},   {2, Type::kBool},   {5, Type::kI32},
                                         {6, Type::kI64},    {8, Type::kString}, {9, Type::kList},
                                         {12, Type::kStruct}};
    const std::map<int, Type> binary = {{2, Type::kBool},    {8, Type::kI32},
                                        {10, Type::kI64},    {11, Type::kString},
                                        {12, Type::kStruct}, {15, Type::kList}};
    const auto& types = compact_ ? compact : binary;
    const auto found = types.find(code);
    if (found == types.end()) {
      ok_ = false;
      return Type::kNone;
    }
    return found->second;
  }

  ThriftValue Value(Type type, std::uint8_t code, int depth) {
    ThriftValue value;
    value.type = type;
    switch (type) {
      case Type::kNone:
        break;
      case Type::kBool:
        value.number = compact_ ? code == 1 : Byte();
        break;
      case Type::kI32:
        value.number = compact_ ? Zigzag() : static_cast<std::int32_t>(BigEndian(4));
        break;
      case Type::kI64:
        value.number = compact_ ? Zigzag() : static_cast<std::int64_t>(BigEndian(8));
        break;
      case Type::kString:
        value.text = Bytes(compact_ ? Varint() : BigEndian(4));
        break;
      case Type::kList: {
        const std::uint8_t head = Byte();
        std::uint64_t size = compact_ ? head >> 4 : BigEndian(4);
        if (compact_ && size == 15) size = Varint();
        const Type of = TypeOf(compact_ ? head & 0xf : head);
        for (std::uint64_t i = 0; i < size && ok_; ++i) {
          value.items.push_back(Value(of, 0, depth + 1));
        }
        break;
      }
      case Type::kStruct:
        return Struct(depth + 1);
    }
    return value;
  }

  ThriftValue Struct(int depth) {
    ThriftValue value;
    value.type = Type::kStruct;
    ok_ = ok_ && depth < 16;
    int id = 0;
    while (ok_) {
      const std::uint8_t head = Byte();
      if (head == 0) break;
      const auto code = static_cast<std::uint8_t>(compact_ ? head & 0xf : head);
      if (!compact_) {
        id = static_cast<std::int16_t>(BigEndian(2));
      } else if (head >> 4 != 0) {
        id += head >> 4;
      } else {
        id = static_cast<int>(Zigzag());
      }
      ok_ = value.fields.emplace(id, Value(TypeOf(code), code, depth)).second && ok_;
    }
    return value;
  }

  std::string_view rest_;
  const bool compact_;
  bool ok_ = true;
};

}  // namespace seer::testing

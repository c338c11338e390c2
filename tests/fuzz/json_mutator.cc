// SPDX-License-Identifier: Apache-2.0
// For fuzzers whose input is JSON: mostly changes a document at one place of its tree, so that it stays one, and now
// and then its bytes.
#include <array>
#include <boost/json.hpp>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* bytes, std::size_t size, std::size_t most);

namespace {

namespace json = boost::json;

// Every value of the tree, the root first.
void collect(json::value& value, std::vector<json::value*>& out) {
  out.push_back(&value);
  if (auto* list = value.if_array()) {
    for (json::value& each : *list) collect(each, out);
  } else if (auto* object = value.if_object()) {
    for (auto& entry : *object) collect(entry.value(), out);
  }
}

json::value odd_value(unsigned which) {
  static const auto kOdd = std::to_array<json::value>({nullptr,
                                                       true,
                                                       false,
                                                       0,
                                                       1,
                                                       -1,
                                                       65535,
                                                       65536,
                                                       2147483647,
                                                       -2147483648LL,
                                                       4294967294U,
                                                       4294967295U,
                                                       4294967296,
                                                       INT64_MAX,
                                                       INT64_MIN,
                                                       UINT64_MAX,
                                                       0.5,
                                                       1e300,
                                                       -0.0,
                                                       "",
                                                       "/",
                                                       "..",
                                                       "a",
                                                       json::string("a\0b", 3),
                                                       "\n",
                                                       "\xc3\xa9",
                                                       json::string(300, 'x'),
                                                       json::array(),
                                                       json::object(),
                                                       json::array{nullptr},
                                                       json::object{{"", nullptr}}});
  return kOdd[which % kOdd.size()];
}

void change_text(json::string& text) {
  std::vector<std::uint8_t> bytes(text.begin(), text.end());
  std::size_t size = bytes.size();
  bytes.resize(size + 16);
  size = LLVMFuzzerMutate(bytes.data(), size, bytes.size());
  // JSON is UTF-8: others are tried by the mutations of bytes.
  for (std::size_t i = 0; i < size; ++i) bytes[i] &= 0x7f;
  text.assign(reinterpret_cast<const char*>(bytes.data()), size);
}

void change(json::value& value, const json::value& other, std::mt19937& random) {
  switch (random() % 5) {
    case 0:
      value = odd_value(static_cast<unsigned>(random()));
      return;
    case 1:
      value = other;
      return;
    default:
      break;
  }
  if (auto* text = value.if_string()) return change_text(*text);
  if (auto* number = value.if_int64()) {
    *number = static_cast<std::int64_t>(static_cast<std::uint64_t>(*number) + random() % 5 - 2);
    return;
  }
  if (auto* list = value.if_array()) {
    if (list->empty() || random() % 3 == 0) {
      list->push_back(other);
    } else {
      auto at = list->begin() + static_cast<std::ptrdiff_t>(random() % list->size());
      if (random() % 2 == 0) {
        list->erase(at);
      } else {
        json::value copy = *at;
        list->insert(at, copy);
      }
    }
    return;
  }
  auto* object = value.if_object();
  if (object == nullptr) {
    value = odd_value(static_cast<unsigned>(random()));
  } else if (object->empty()) {
    (*object)["a"] = other;
  } else {
    std::string key((object->begin() + static_cast<std::ptrdiff_t>(random() % object->size()))->key());
    if (random() % 2 == 0) {
      object->erase(key);
    } else {
      (*object)[key] = other;
    }
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* bytes, std::size_t size, std::size_t most,
                                               unsigned int seed) {
  std::mt19937 random(seed);
  json::error_code error;
  json::value document;
  if (random() % 4 != 0) document = json::parse(json::string_view(reinterpret_cast<const char*>(bytes), size), error);
  if (error || !(document.is_object() || document.is_array())) return LLVMFuzzerMutate(bytes, size, most);
  for (unsigned i = random() % 3 + 1; i > 0; --i) {
    std::vector<json::value*> values;
    collect(document, values);
    json::value other = *values[random() % values.size()];
    change(*values[random() % values.size()], other, random);
  }
  std::string text = json::serialize(document);
  if (text.size() > most) return LLVMFuzzerMutate(bytes, size, most);
  std::memcpy(bytes, text.data(), text.size());
  return text.size();
}

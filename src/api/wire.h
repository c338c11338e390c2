// SPDX-License-Identifier: Apache-2.0
// Objects, lists and watch events in protobuf, made of the bytes that are stored: an object's are put where they belong
// with its resourceVersion, which is all that they lack, and no message is made in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::api {

// What the envelope of a stored object holds: the message's bytes. Empty: it is none.
std::optional<std::string_view> unwrap(std::string_view stored);

// A message's bytes with that resourceVersion instead of the one that they have, or none. Empty: they are no object's,
// or not as encode_protobuf and upstream write one.
std::optional<std::string> with_version(std::string_view object, std::int64_t version);

// "k8s\0" and the envelope around such bytes, of an object or a list.
std::string wrap(std::string_view api_version, std::string_view kind, std::string_view bytes);

struct WireListMetadata {
  std::int64_t version = 0;  // 0: of what has no versions
  std::string_view continue_token;
  std::optional<std::int64_t> remaining;
};

// A list in pieces: one call for each object.
class WireList {
 public:
  // `expected`: so many bytes of objects, about; a list that is much longer or shorter is copied once more.
  WireList(std::string_view api_version, std::string_view kind, const WireListMetadata& metadata, std::size_t expected);
  // As it is.
  void add(std::string_view object);
  // As with_version() makes it. False, and nothing is added: it makes nothing of this.
  bool add(std::string_view object, std::int64_t version);
  // All of it with its envelope; nothing is left here.
  std::string take();

 private:
  std::string api_version_, kind_;
  std::size_t head_size_ = 0;
  std::string bytes_;
};

// What stands in a watch's stream before an object (with its envelope) of so many bytes, which is the frame's end.
std::string watch_frame(std::string_view type, std::size_t object_size);

}  // namespace gantry::api

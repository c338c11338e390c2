// SPDX-License-Identifier: Apache-2.0
#include "api/wire.h"

#include <utility>

namespace gantry::api {

namespace {

constexpr std::string_view kMagic{"k8s\0", 4};
constexpr std::uint32_t kLengthDelimited = 2;

// runtime.Unknown, runtime.TypeMeta, meta/v1's ListMeta, ObjectMeta, WatchEvent and RawExtension.
constexpr std::uint32_t kEnvelopeType = 1, kEnvelopeRaw = 2, kEnvelopeEncoding = 3, kEnvelopeContentType = 4;
constexpr std::uint32_t kTypeVersion = 1, kTypeKind = 2;
constexpr std::uint32_t kListMetadata = 1, kListItems = 2;
constexpr std::uint32_t kListSelfLink = 1, kListVersion = 2, kListContinue = 3, kListRemaining = 4;
constexpr std::uint32_t kObjectMetadata = 1, kObjectVersion = 6;
constexpr std::uint32_t kEventType = 1, kEventObject = 2, kExtensionRaw = 1;

void add_varint(std::string* out, std::uint64_t value) {
  while (value >= 0x80) {
    *out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *out += static_cast<char>(value);
}

std::size_t varint_size(std::uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

// All fields here have numbers below 16, so that their tags are one byte.
void add_head(std::string* out, std::uint32_t field, std::size_t size) {
  *out += static_cast<char>(field << 3 | kLengthDelimited);
  add_varint(out, size);
}

void add_bytes(std::string* out, std::uint32_t field, std::string_view bytes) {
  add_head(out, field, bytes.size());
  *out += bytes;
}

std::optional<std::uint64_t> read_varint(std::string_view* bytes) {
  if (!bytes->empty() && static_cast<unsigned char>(bytes->front()) < 0x80) {  // as most are
    const std::uint64_t value = static_cast<unsigned char>(bytes->front());
    bytes->remove_prefix(1);
    return value;
  }
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes->empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes->front());
    bytes->remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

struct WireField {
  std::uint64_t number = 0;
  std::string_view whole;    // with its tag
  std::string_view content;  // of one that has a length
};

// Takes the first field of a message's bytes. Empty: that is none.
std::optional<WireField> read_field(std::string_view* bytes) {
  const std::string_view all = *bytes;
  const std::optional<std::uint64_t> tag = read_varint(bytes);
  if (!tag) return std::nullopt;
  WireField field{.number = *tag >> 3};
  std::uint64_t size = 0;
  switch (*tag & 7) {
    case 0:
      if (!read_varint(bytes)) return std::nullopt;
      break;
    case 1:
      size = 8;
      break;
    case 5:
      size = 4;
      break;
    case kLengthDelimited: {
      const std::optional<std::uint64_t> length = read_varint(bytes);
      if (!length) return std::nullopt;
      size = *length;
      break;
    }
    default:
      return std::nullopt;
  }
  if (size > bytes->size()) return std::nullopt;
  field.content = bytes->substr(0, size);
  bytes->remove_prefix(size);
  field.whole = all.substr(0, all.size() - bytes->size());
  return field;
}

bool is_of(const WireField& field, std::uint32_t number) {
  return field.number == number && (field.whole.front() & 7) == kLengthDelimited;
}

// The content of the only field of that number.
std::optional<std::string_view> find_field(std::string_view bytes, std::uint32_t number) {
  std::optional<std::string_view> found;
  while (!bytes.empty()) {
    const std::optional<WireField> field = read_field(&bytes);
    if (!field || (is_of(*field, number) && found)) return std::nullopt;
    if (is_of(*field, number)) found = field->content;
  }
  return found;
}

// An object's bytes with another resourceVersion, in pieces of those that are there.
struct Versioned {
  std::string_view before, after;  // of the metadata
  std::string version;
  std::string_view rest;

  std::size_t metadata_size() const {
    return before.size() + 1 + varint_size(version.size()) + version.size() + after.size();
  }
  std::size_t size() const {
    const std::size_t metadata = metadata_size();
    return 1 + varint_size(metadata) + metadata + rest.size();
  }
  void append_to(std::string* out) const {
    add_head(out, kObjectMetadata, metadata_size());
    *out += before;
    add_bytes(out, kObjectVersion, version);
    *out += after;
    *out += rest;
  }
};

std::optional<Versioned> versioned(std::string_view object, std::int64_t version) {
  Versioned parts{.version = std::to_string(version), .rest = object};
  const std::optional<WireField> first = read_field(&parts.rest);
  if (!first || !is_of(*first, kObjectMetadata)) return std::nullopt;
  for (std::string_view left = parts.rest; !left.empty();) {
    const std::optional<WireField> field = read_field(&left);
    // Metadata in two parts may be a message, but nobody writes it so.
    if (!field || field->number == kObjectMetadata) return std::nullopt;
  }
  const std::string_view metadata = first->content;
  parts.before = metadata;
  bool placed = false;
  for (std::string_view left = metadata; !left.empty();) {
    const std::size_t at = metadata.size() - left.size();
    const std::optional<WireField> field = read_field(&left);
    if (!field) return std::nullopt;
    if (!placed && field->number >= kObjectVersion) {
      parts.before = metadata.substr(0, at);
      parts.after = field->number == kObjectVersion ? left : metadata.substr(at);
      placed = true;
    } else if (field->number == kObjectVersion) {
      return std::nullopt;  // nor one that has it twice
    }
  }
  return parts;
}

// What stands before and behind the bytes of an object in its envelope.
std::string envelope_head(std::string_view api_version, std::string_view kind, std::size_t size) {
  std::string type;
  add_bytes(&type, kTypeVersion, api_version);
  add_bytes(&type, kTypeKind, kind);
  std::string head(kMagic);
  add_bytes(&head, kEnvelopeType, type);
  add_head(&head, kEnvelopeRaw, size);
  return head;
}
constexpr char kTail[] = {kEnvelopeEncoding << 3 | kLengthDelimited, 0, kEnvelopeContentType << 3 | kLengthDelimited,
                          0};
constexpr std::string_view kEnvelopeTail(kTail, sizeof kTail);

}  // namespace

std::optional<std::string_view> unwrap(std::string_view stored) {
  if (!stored.starts_with(kMagic)) return std::nullopt;
  return find_field(stored.substr(kMagic.size()), kEnvelopeRaw);
}

std::optional<std::string> with_version(std::string_view object, std::int64_t version) {
  const std::optional<Versioned> parts = versioned(object, version);
  if (!parts) return std::nullopt;
  std::string out;
  out.reserve(parts->size());
  parts->append_to(&out);
  return out;
}

std::string wrap(std::string_view api_version, std::string_view kind, std::string_view bytes) {
  std::string out = envelope_head(api_version, kind, bytes.size());
  out.reserve(out.size() + bytes.size() + kEnvelopeTail.size());
  out += bytes;
  out += kEnvelopeTail;
  return out;
}

WireList::WireList(std::string_view api_version, std::string_view kind, const WireListMetadata& metadata,
                   std::size_t expected)
    : api_version_(api_version), kind_(kind) {
  std::string fields;
  add_bytes(&fields, kListSelfLink, "");
  add_bytes(&fields, kListVersion, metadata.version == 0 ? "" : std::to_string(metadata.version));
  add_bytes(&fields, kListContinue, metadata.continue_token);
  if (metadata.remaining) {
    fields += static_cast<char>(kListRemaining << 3);
    add_varint(&fields, static_cast<std::uint64_t>(*metadata.remaining));
  }
  bytes_.reserve(expected + fields.size() + 256);
  bytes_ += envelope_head(api_version_, kind_, expected);
  head_size_ = bytes_.size();
  add_bytes(&bytes_, kListMetadata, fields);
}

bool WireList::add(std::string_view object, std::int64_t version) {
  const std::optional<Versioned> parts = versioned(object, version);
  if (!parts) return false;
  add_head(&bytes_, kListItems, parts->size());
  parts->append_to(&bytes_);
  return true;
}

std::string WireList::take() {
  std::string out = std::exchange(bytes_, {});
  // It is as long as the one that holds its place, if the list is about as long as it was expected to be.
  out.replace(0, head_size_, envelope_head(api_version_, kind_, out.size() - head_size_));
  out += kEnvelopeTail;
  return out;
}

void WireList::add(std::string_view object) { add_bytes(&bytes_, kListItems, object); }

std::string watch_frame(std::string_view type, std::size_t object_size) {
  const std::size_t extension = 1 + varint_size(object_size) + object_size;
  std::string event;
  add_bytes(&event, kEventType, type);
  add_head(&event, kEventObject, extension);
  add_head(&event, kExtensionRaw, object_size);
  // The length of all that follows, most significant byte first.
  const std::size_t size = event.size() + object_size;
  std::string frame;
  for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(size >> shift & 0xff);
  return frame + event;
}

}  // namespace gantry::api

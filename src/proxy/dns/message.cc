// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/message.h"

#include <algorithm>

namespace gantry::dns {
namespace {

// Names that a message's pointers lead through; a whole name has 128 labels at most, and each pointer leads backwards.
constexpr int kMaxPointers = 64;
// Starts of names that are remembered to point to.
constexpr std::size_t kMaxKnown = 24;
constexpr std::size_t kEdnsSize = 11;
constexpr std::uint16_t kDnssecOk = 0x8000;

std::uint8_t byte_at(std::string_view bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); }
std::uint16_t get16(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}
std::uint32_t get32(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint32_t>(get16(bytes, at)) << 16 | get16(bytes, at + 2);
}
void set16(std::string& bytes, std::size_t at, std::uint16_t value) {
  bytes[at] = static_cast<char>(value >> 8);
  bytes[at + 1] = static_cast<char>(value & 0xff);
}
void set32(std::string& bytes, std::size_t at, std::uint32_t value) {
  set16(bytes, at, static_cast<std::uint16_t>(value >> 16));
  set16(bytes, at + 2, static_cast<std::uint16_t>(value & 0xffff));
}
void append16(std::string& bytes, std::uint16_t value) {
  bytes.push_back(static_cast<char>(value >> 8));
  bytes.push_back(static_cast<char>(value & 0xff));
}

char low(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// The end of the name at `at`, without reading where it points to; nothing when it is cut off or none.
std::optional<std::size_t> skip_name(std::string_view message, std::size_t at) {
  std::size_t length = 0;
  while (at < message.size()) {
    const std::uint8_t size = byte_at(message, at);
    if (size == 0) return at + 1;
    if ((size & 0xc0) == 0xc0) return at + 2 <= message.size() ? std::optional(at + 2) : std::nullopt;
    length += size + 1U;
    if (size > kMaxLabel || length >= kMaxName) return std::nullopt;
    at += size + 1U;
  }
  return std::nullopt;
}

// The fixed part of a record, and where it ends.
struct RecordView {
  std::size_t name_end = 0;
  Type type{};
  std::uint16_t klass = 0;
  std::uint32_t ttl = 0;
  std::size_t data = 0;
  std::size_t end = 0;
};
std::optional<RecordView> read_record(std::string_view message, std::size_t at) {
  auto name_end = skip_name(message, at);
  if (!name_end || *name_end + 10 > message.size()) return std::nullopt;
  RecordView view;
  view.name_end = *name_end;
  view.type = static_cast<Type>(get16(message, *name_end));
  view.klass = get16(message, *name_end + 2);
  view.ttl = get32(message, *name_end + 4);
  view.data = *name_end + 10;
  view.end = view.data + get16(message, *name_end + 8);
  if (view.end > message.size()) return std::nullopt;
  return view;
}

void append_edns(std::string& bytes, std::uint8_t extended_rcode, bool dnssec) {
  bytes.push_back(0);
  append16(bytes, static_cast<std::uint16_t>(Type::kOpt));
  append16(bytes, kMaxUdp);
  bytes.push_back(static_cast<char>(extended_rcode));
  bytes.push_back(0);
  append16(bytes, dnssec ? kDnssecOk : 0);
  append16(bytes, 0);
}

// Whether what begins at `at` of our own message is this name.
bool is_written_at(std::string_view message, std::size_t at, std::string_view name) {
  while (at < message.size()) {
    const std::uint8_t size = byte_at(message, at);
    if ((size & 0xc0) == 0xc0) {
      at = get16(message, at) & 0x3fff;
      continue;
    }
    const std::size_t label = size + 1U;
    if (name.size() < label || !is_same_name(message.substr(at, label), name.substr(0, label))) return false;
    if (size == 0) return name.size() == 1;
    at += size + 1U;
    name.remove_prefix(size + 1U);
  }
  return false;
}

// What a record says, with names in it as a whole, those that may be compressed (RFC 3597, section 4).
bool read_data(std::string_view message, const RecordView& record, std::string* data) {
  std::size_t names = 0, fixed = 0;
  switch (record.type) {
    case Type::kNs:
    case Type::kCname:
    case Type::kPtr: names = 1; break;
    case Type::kSoa: names = 2; break;
    case Type::kMx: names = 1, fixed = 2; break;
    case Type::kSrv: names = 1, fixed = 6; break;
    default: break;
  }
  std::size_t at = record.data + fixed;
  if (at > record.end) return false;
  data->assign(message.substr(record.data, fixed));
  for (std::size_t i = 0; i < names; ++i) {
    auto name = read_name(message.substr(0, record.end), at, &at);
    if (!name) return false;
    *data += *name;
  }
  data->append(message.substr(at, record.end - at));
  return true;
}

// Answers may be kept for a day, whatever they say.
constexpr std::uint32_t kMaxTtl = 86400;

}  // namespace

std::optional<std::string> name_of(std::string_view text) {
  std::string name;
  if (text == ".") return std::string(1, '\0');
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty()) return std::nullopt;
  for (;;) {
    const std::size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (label.empty() || label.size() > kMaxLabel) return std::nullopt;
    name.push_back(static_cast<char>(label.size()));
    name += label;
    if (dot == text.npos) break;
    text.remove_prefix(dot + 1);
  }
  name.push_back('\0');
  if (name.size() > kMaxName) return std::nullopt;
  return name;
}

std::string text_of(std::string_view name) {
  std::string text;
  for (std::string_view label : labels_of(name)) {
    for (char c : label) {
      const auto value = static_cast<unsigned char>(c);
      if (value > 0x20 && value < 0x7f && c != '.' && c != '\\') {
        text.push_back(c);
      } else {
        text += {'\\', static_cast<char>('0' + value / 100), static_cast<char>('0' + value / 10 % 10),
                 static_cast<char>('0' + value % 10)};
      }
    }
    text.push_back('.');
  }
  return text.empty() ? "." : text;
}

std::string lowered_name(std::string_view name) {
  std::string lowered(name);
  std::ranges::transform(lowered, lowered.begin(), low);
  return lowered;
}

std::vector<std::string_view> labels_of(std::string_view name) {
  std::vector<std::string_view> labels;
  while (!name.empty() && name[0] != 0) {
    const std::size_t size = byte_at(name, 0);
    if (size + 1 > name.size()) break;
    labels.push_back(name.substr(1, size));
    name.remove_prefix(size + 1);
  }
  return labels;
}

bool is_same_name(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, [](char l, char r) { return low(l) == low(r); });
}

std::optional<std::string> read_name(std::string_view message, std::size_t offset, std::size_t* end) {
  std::string name;
  std::size_t at = offset, limit = message.size();
  bool jumped = false;
  for (int pointers = 0; at < limit;) {
    const std::uint8_t size = byte_at(message, at);
    if ((size & 0xc0) == 0xc0) {
      if (at + 2 > message.size() || ++pointers > kMaxPointers) return std::nullopt;
      const std::size_t target = get16(message, at) & 0x3fff;
      if (!jumped) *end = at + 2;
      jumped = true;
      // Only backwards, so that it comes to an end.
      if (target >= at) return std::nullopt;
      at = target;
      continue;
    }
    if (size > kMaxLabel || at + 1 + size > message.size() || name.size() + size + 1 > kMaxName) return std::nullopt;
    name += message.substr(at, size + 1U);
    at += size + 1U;
    if (size == 0) {
      if (!jumped) *end = at;
      return name;
    }
  }
  return std::nullopt;
}

Received read_query(std::string_view message) {
  Received received;
  Query& query = received.query;
  auto problem = [&](Rcode rcode) {
    received.problem = rcode;
    return received;
  };
  if (message.size() < kHeaderSize || (byte_at(message, 2) & 0x80) != 0) {
    received.silent = true;
    return received;
  }
  query.id = get16(message, 0);
  query.flags = get16(message, 2);
  if ((query.flags & 0x7800) != 0) return problem(Rcode::kNotImplemented);
  const std::size_t extra = get16(message, 10);
  if (get16(message, 4) != 1 || get16(message, 6) != 0) return problem(Rcode::kFormatError);
  std::size_t at = 0;
  // A question's name is the first of the message: it points nowhere.
  auto end = skip_name(message, kHeaderSize);
  auto name = end ? read_name(message, kHeaderSize, &at) : std::nullopt;
  if (!name || at != *end || at - kHeaderSize != name->size() || at + 4 > message.size()) {
    return problem(Rcode::kFormatError);
  }
  query.question = {std::move(*name), static_cast<Type>(get16(message, at)), get16(message, at + 2)};
  at += 4;
  const std::size_t records = get16(message, 8) + extra;
  for (std::size_t i = 0; i < records; ++i) {
    auto record = read_record(message, at);
    if (!record) return problem(Rcode::kFormatError);
    if (record->type == Type::kOpt) {
      if (query.has_edns || record->name_end != at + 1) return problem(Rcode::kFormatError);
      query.has_edns = true;
      query.udp_size = std::max<std::uint16_t>(record->klass, kMinUdp);
      query.wants_dnssec = (record->ttl & kDnssecOk) != 0;
      received.bad_version = (record->ttl >> 16 & 0xff) != 0;
    }
    at = record->end;
  }
  return received;
}

std::string service_data(std::uint16_t priority, std::uint16_t weight, std::uint16_t port, std::string_view target) {
  std::string data;
  append16(data, priority);
  append16(data, weight);
  append16(data, port);
  return data.append(target);
}

std::string text_data(std::string_view text) {
  text = text.substr(0, 255);
  return std::string(1, static_cast<char>(text.size())).append(text);
}

AnswerWriter::AnswerWriter(const Query& query, std::size_t limit)
    : limit_(std::min(limit, kMaxMessage)),
      flags_(kResponse | kRecursionAvailable | (query.flags & (kRecursionDesired | kCheckingDisabled | 0x7800))),
      has_edns_(query.has_edns),
      wants_dnssec_(query.wants_dnssec) {
  bytes_.reserve(kMinUdp);
  bytes_.assign(kHeaderSize, '\0');
  set16(bytes_, 0, query.id);
  if (has_edns_) limit_ -= kEdnsSize;
  if (query.question.name.empty()) return;
  set16(bytes_, 4, 1);
  put_name(query.question.name, true);
  put16(static_cast<std::uint16_t>(query.question.type));
  put16(query.question.klass);
}

void AnswerWriter::put16(std::uint16_t value) { append16(bytes_, value); }
void AnswerWriter::put32(std::uint32_t value) {
  put16(static_cast<std::uint16_t>(value >> 16));
  put16(static_cast<std::uint16_t>(value & 0xffff));
}

// Of a name that is known the rest is a pointer; starts of what is written are known from here on.
void AnswerWriter::put_name(std::string_view name, bool compress) {
  while (!name.empty() && name[0] != 0) {
    if (compress) {
      auto same = std::ranges::find_if(known_, [&](std::uint16_t at) { return is_written_at(bytes_, at, name); });
      if (same != known_.end()) return put16(static_cast<std::uint16_t>(0xc000 | *same));
    }
    if (bytes_.size() < 0x4000 && known_.size() < kMaxKnown) {
      known_.push_back(static_cast<std::uint16_t>(bytes_.size()));
    }
    const std::size_t size = byte_at(name, 0) + 1U;
    bytes_ += name.substr(0, size);
    name.remove_prefix(std::min(size, name.size()));
  }
  bytes_.push_back('\0');
}

// Names are compressed in what every reader knows (RFC 3597).
void AnswerWriter::put_data(const Record& record) {
  switch (record.type) {
    case Type::kCname:
    case Type::kNs:
    case Type::kPtr: return put_name(record.data, true);
    case Type::kSrv:
      if (record.data.size() <= 6) break;
      bytes_.append(record.data, 0, 6);
      return put_name(std::string_view(record.data).substr(6), false);
    default: break;
  }
  bytes_ += record.data;
}

void AnswerWriter::add(const Record& record, std::size_t section) {
  if (section < 2 && is_truncated()) return;
  const std::size_t size = bytes_.size(), names = known_.size();
  put_name(record.name, true);
  put16(static_cast<std::uint16_t>(record.type));
  put16(kClassIn);
  put32(record.ttl);
  const std::size_t length = bytes_.size();
  put16(0);
  put_data(record);
  set16(bytes_, length, static_cast<std::uint16_t>(bytes_.size() - length - 2));
  if (bytes_.size() <= limit_ && counts_[section] < 0xffff) {
    ++counts_[section];
    return;
  }
  bytes_.resize(size);
  known_.resize(names);
  if (section < 2) flags_ |= kTruncated;
}

std::string AnswerWriter::finish() && {
  set16(bytes_, 2, static_cast<std::uint16_t>(flags_ | static_cast<std::uint16_t>(rcode_)));
  set16(bytes_, 6, counts_[0]);
  set16(bytes_, 8, counts_[1]);
  if (has_edns_) {
    append_edns(bytes_, extended_rcode_, wants_dnssec_);
    ++counts_[2];
  }
  set16(bytes_, 10, counts_[2]);
  return std::move(bytes_);
}

Reply read_reply(std::string_view message, std::uint16_t id, const Question& question) {
  Reply reply;
  if (message.size() < kHeaderSize || message.size() > kMaxMessage || get16(message, 0) != id ||
      (byte_at(message, 2) & 0xf8) != 0x80) {
    return reply;
  }
  const std::uint16_t flags = get16(message, 2);
  reply.rcode = static_cast<Rcode>(flags & 0xf);
  // Some leave the question out of a refusal; with nothing else in it, it does no harm but to be an answer too soon.
  const bool is_refusal = reply.rcode != Rcode::kNoError && reply.rcode != Rcode::kNameError;
  if (get16(message, 4) == 0 && is_refusal && message.size() == kHeaderSize) {
    reply.kind = Reply::Kind::kBroken;
    return reply;
  }
  std::size_t at = 0;
  auto name = get16(message, 4) == 1 ? read_name(message, kHeaderSize, &at) : std::nullopt;
  if (!name || at + 4 > message.size() || at - kHeaderSize != question.name.size() ||
      !is_same_name(*name, question.name) || get16(message, at) != static_cast<std::uint16_t>(question.type) ||
      get16(message, at + 2) != question.klass) {
    return reply;
  }
  if ((flags & kTruncated) != 0) {
    reply.kind = Reply::Kind::kTruncated;
    return reply;
  }
  reply.kind = Reply::Kind::kBroken;
  at += 4;
  Kept& kept = reply.kept;
  std::uint32_t ttl = kMaxTtl, negative = 0;
  std::size_t end = at;
  std::uint16_t counts[3] = {get16(message, 6), get16(message, 8), get16(message, 10)};
  const bool is_empty = counts[0] == 0;
  for (std::size_t section = 0; section < 3; ++section) {
    std::uint16_t wanted = 0;
    for (std::uint16_t i = 0; i < counts[section]; ++i) {
      auto record = read_record(message, at);
      if (!record) return reply;
      if (record->type == Type::kOpt) {
        // What is behind it would move; it is the last one nearly always.
        if (section != 2) return reply;
        break;
      }
      kept.ttl_offsets.push_back(static_cast<std::uint16_t>(record->name_end + 4));
      // RFC 2181: what is negative is none.
      const std::uint32_t own = record->ttl > 0x7fffffff ? 0 : record->ttl;
      ttl = std::min(ttl, own);
      if (section == 1 && record->type == Type::kSoa && record->end - record->data >= 4) {
        negative = std::min(own, get32(message, record->end - 4));
      }
      ++wanted;
      at = end = record->end;
    }
    counts[section] = wanted;
  }
  kept.bytes.assign(message.substr(0, end));
  set16(kept.bytes, 6, counts[0]);
  set16(kept.bytes, 8, counts[1]);
  set16(kept.bytes, 10, counts[2]);
  kept.rcode = reply.rcode;
  if (reply.rcode == Rcode::kNameError || (reply.rcode == Rcode::kNoError && is_empty)) {
    kept.ttl = std::min(ttl, negative);
  } else {
    kept.ttl = reply.rcode == Rcode::kNoError ? ttl : 0;
  }
  reply.kind = Reply::Kind::kWhole;
  return reply;
}

std::string write_query(std::uint16_t id, const Question& question, bool wants_dnssec, bool checking_disabled,
                        bool edns) {
  std::string bytes(kHeaderSize, '\0');
  set16(bytes, 0, id);
  set16(bytes, 2, static_cast<std::uint16_t>(kRecursionDesired | (checking_disabled ? kCheckingDisabled : 0)));
  set16(bytes, 4, 1);
  bytes += question.name;
  append16(bytes, static_cast<std::uint16_t>(question.type));
  append16(bytes, question.klass);
  if (edns) {
    set16(bytes, 10, 1);
    append_edns(bytes, 0, wants_dnssec);
  }
  return bytes;
}

std::string answer_from(const Kept& kept, std::uint32_t age, const Query& query, std::size_t limit) {
  if (kept.bytes.size() + (query.has_edns ? kEdnsSize : 0) > limit) {
    AnswerWriter writer(query, limit);
    writer.set_rcode(kept.rcode);
    writer.set_truncated();
    return std::move(writer).finish();
  }
  std::string bytes;
  bytes.reserve(kept.bytes.size() + kEdnsSize);
  bytes = kept.bytes;
  set16(bytes, 0, query.id);
  std::uint16_t flags = get16(bytes, 2);
  const bool tells_authentic = query.wants_dnssec || query.wants(kAuthenticData);
  flags &= tells_authentic ? kAuthenticData | 0xf : 0xf;
  flags |= kResponse | kRecursionAvailable | (query.flags & (kRecursionDesired | kCheckingDisabled));
  set16(bytes, 2, flags);
  bytes.replace(kHeaderSize, query.question.name.size(), query.question.name);
  for (std::uint16_t at : kept.ttl_offsets) {
    const std::uint32_t ttl = get32(bytes, at);
    set32(bytes, at, ttl > age ? std::min(ttl, kMaxTtl) - std::min(age, kMaxTtl) : 0);
  }
  if (query.has_edns) {
    append_edns(bytes, 0, query.wants_dnssec);
    set16(bytes, 10, static_cast<std::uint16_t>(get16(bytes, 10) + 1));
  }
  return bytes;
}

std::string answer_behind(const std::vector<Record>& prefix, const Kept& kept, std::uint32_t age, const Query& query,
                          std::size_t limit) {
  AnswerWriter writer(query, limit);
  writer.set_rcode(kept.rcode);
  for (const Record& record : prefix) writer.answer(record);
  std::size_t at = 0;
  if (!read_name(kept.bytes, kHeaderSize, &at)) return std::move(writer).finish();
  at += 4;
  const std::string_view bytes = kept.bytes;
  for (std::uint16_t i = get16(bytes, 6); i > 0; --i) {
    auto view = read_record(bytes, at);
    std::size_t name_end = 0;
    auto name = view ? read_name(bytes, at, &name_end) : std::nullopt;
    if (!name || view->klass != kClassIn) break;
    Record record{std::move(*name), view->type, view->ttl > age ? view->ttl - age : 0, {}};
    if (!read_data(bytes, *view, &record.data)) break;
    writer.answer(record);
    at = view->end;
  }
  return std::move(writer).finish();
}

}  // namespace gantry::dns

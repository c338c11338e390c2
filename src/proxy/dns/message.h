// SPDX-License-Identifier: Apache-2.0
// DNS messages (RFC 1035, EDNS(0) of RFC 6891): what a stranger sent is read with bounds on all of it, and what is
// answered is written with compressed names and cut where the asker takes no more. Pure; any thread; no allocation that
// grows with what a stranger says beyond his own message.
//
// A name is in wire form throughout: labels with their lengths before them, the root's empty one at the end, at most
// 255 bytes, never compressed. Names are the same without regard to case; an asker gets his own spelling back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gantry::dns {

enum class Type : std::uint16_t {
  kA = 1,
  kNs = 2,
  kCname = 5,
  kSoa = 6,
  kPtr = 12,
  kHinfo = 13,
  kMx = 15,
  kTxt = 16,
  kAaaa = 28,
  kSrv = 33,
  kOpt = 41,
  kIxfr = 251,
  kAxfr = 252,
  kAny = 255,
};

enum class Rcode : std::uint8_t {
  kNoError = 0,
  kFormatError = 1,
  kServerFailure = 2,
  kNameError = 3,  // NXDOMAIN
  kNotImplemented = 4,
  kRefused = 5,
};

inline constexpr std::uint16_t kClassIn = 1;
inline constexpr std::size_t kHeaderSize = 12;
inline constexpr std::size_t kMaxName = 255;
inline constexpr std::size_t kMaxLabel = 63;
inline constexpr std::size_t kMaxMessage = 65535;
// What every asker takes by UDP, and the most that is sent by it: no packet of this size is ever fragmented.
inline constexpr std::size_t kMinUdp = 512;
inline constexpr std::size_t kMaxUdp = 1232;

// Bits of the header's second 16.
inline constexpr std::uint16_t kResponse = 0x8000;
inline constexpr std::uint16_t kAuthoritative = 0x0400;
inline constexpr std::uint16_t kTruncated = 0x0200;
inline constexpr std::uint16_t kRecursionDesired = 0x0100;
inline constexpr std::uint16_t kRecursionAvailable = 0x0080;
inline constexpr std::uint16_t kAuthenticData = 0x0020;
inline constexpr std::uint16_t kCheckingDisabled = 0x0010;

// --- Names.
// "web.default.svc" to wire form, with or without a dot at the end; nothing when it is no name.
std::optional<std::string> name_of(std::string_view text);
// For people: "web.default.svc.", with what is no plain character as \DDD.
std::string text_of(std::string_view name);
// Letters in lower case; lengths are below 'A' and stay.
std::string lowered_name(std::string_view name);
// The labels, from the left, without the root's.
std::vector<std::string_view> labels_of(std::string_view name);
bool is_same_name(std::string_view left, std::string_view right);
// The name that is at `offset` of a message, with its pointers followed; nothing when it is none or leads in circles.
// `end` is where the message goes on.
std::optional<std::string> read_name(std::string_view message, std::size_t offset, std::size_t* end);

// --- What is asked.
struct Question {
  std::string name;  // as it was spelled
  Type type{};
  std::uint16_t klass = 0;
};

struct Query {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  Question question;
  bool has_edns = false;
  bool wants_dnssec = false;
  std::uint16_t udp_size = kMinUdp;  // what the asker takes by UDP

  bool wants(std::uint16_t flag) const { return (flags & flag) != 0; }
};

// A message that came to a server: a query, or what is to be said of one that is none. `problem` without a header to
// answer (`silent`): it is not answered at all, so that two servers never talk to each other for ever.
struct Received {
  Query query;  // its id and flags are there whenever it is not silent
  bool silent = false;
  bool bad_version = false;  // of EDNS
  Rcode problem = Rcode::kNoError;
};
Received read_query(std::string_view message);

// --- What is answered.
struct Record {
  std::string name;
  Type type{};
  std::uint32_t ttl = 0;
  std::string data;  // names in it uncompressed
};
std::string service_data(std::uint16_t priority, std::uint16_t weight, std::uint16_t port, std::string_view target);
std::string text_data(std::string_view text);

class AnswerWriter {
 public:
  // Repeats the question, if there was one. `limit` is the most that the asker takes.
  AnswerWriter(const Query& query, std::size_t limit);

  void set_rcode(Rcode rcode) { rcode_ = rcode; }
  void set_authoritative() { flags_ |= kAuthoritative; }
  void set_truncated() { flags_ |= kTruncated; }
  void set_bad_version() { extended_rcode_ = 1; }
  // In the order of the sections. What does not fit any more is left out; in the first two sections that sets TC.
  void answer(const Record& record) { add(record, 0); }
  void authority(const Record& record) { add(record, 1); }
  void additional(const Record& record) { add(record, 2); }
  bool is_truncated() const { return (flags_ & kTruncated) != 0; }

  std::string finish() &&;

 private:
  void add(const Record& record, std::size_t section);
  void put16(std::uint16_t value);
  void put32(std::uint32_t value);
  void put_data(const Record& record);
  void put_name(std::string_view name, bool compress);

  std::string bytes_;
  std::vector<std::uint16_t> known_;  // where names begin that a pointer can lead to; a few are enough
  std::size_t limit_;
  std::uint16_t flags_ = 0;
  Rcode rcode_ = Rcode::kNoError;
  std::uint8_t extended_rcode_ = 0;
  bool has_edns_ = false;
  bool wants_dnssec_ = false;
  std::array<std::uint16_t, 3> counts_{};
};

// --- What another server answered.
// A whole answer that is kept to be said again: where its times to live are, and how long it is good.
struct Kept {
  std::string bytes;  // without the OPT record
  std::vector<std::uint16_t> ttl_offsets;
  std::uint32_t ttl = 0;  // 0: it is not to be kept
  Rcode rcode = Rcode::kNoError;
};
struct Reply {
  enum class Kind : std::uint8_t {
    kStranger,   // not an answer to this query: to be ignored
    kTruncated,  // to be asked again by TCP
    kBroken,     // an answer to it that can't be used
    kWhole,
  };
  Kind kind = Kind::kStranger;
  Rcode rcode = Rcode::kNoError;
  Kept kept;  // of a whole one
};
Reply read_reply(std::string_view message, std::uint16_t id, const Question& question);

// A query to another server. With EDNS, which says what is taken by UDP.
std::string write_query(std::uint16_t id, const Question& question, bool wants_dnssec, bool checking_disabled,
                        bool edns);

// What was kept `age` seconds ago, as the answer to `query`, with `prefix` (records that led to it) before its own
// answers. When it is longer than `limit` it is the question alone, truncated.
std::string answer_from(const Kept& kept, std::uint32_t age, const Query& query, std::size_t limit);
// The same where the query led to the kept one's question by `prefix`: its answers are read and written anew.
std::string answer_behind(const std::vector<Record>& prefix, const Kept& kept, std::uint32_t age, const Query& query,
                          std::size_t limit);

}  // namespace gantry::dns

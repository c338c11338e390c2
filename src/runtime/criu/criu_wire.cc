// SPDX-License-Identifier: Apache-2.0
#include "runtime/criu/criu_wire.h"

namespace gantry::runtime {
namespace {

constexpr unsigned kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;  // wire types

class Writer {
 public:
  void number(unsigned field, std::uint64_t value) {
    varint(field << 3 | kVarint);
    varint(value);
  }
  // What is false or empty stays out: it is the default.
  void flag(unsigned field, bool value) {
    if (value) number(field, 1);
  }
  void text(unsigned field, std::string_view value) {
    if (!value.empty()) bytes(field, value);
  }
  void bytes(unsigned field, std::string_view value) {
    varint(field << 3 | kBytes);
    varint(value.size());
    out_ += value;
  }
  // A message of two.
  void pair(unsigned field, std::string_view first, std::string_view second) {
    Writer inner;
    inner.bytes(1, first);
    inner.bytes(2, second);
    bytes(field, inner.out_);
  }
  void pair(unsigned field, std::string_view first, int second) {
    Writer inner;
    inner.bytes(1, first);
    inner.number(2, static_cast<std::uint64_t>(second));
    bytes(field, inner.out_);
  }
  std::string take() { return std::move(out_); }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
    out_ += static_cast<char>(value);
  }
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  // The next field: its number, and one of the two that follow. False at the end, and when it is broken.
  bool next() {
    if (rest_.empty() || is_broken_) return false;
    std::uint64_t key = varint();
    field = key >> 3;
    number = 0;
    bytes = {};
    switch (key & 7) {
      case kVarint:
        number = varint();
        break;
      case kFixed64:
        take(8);
        break;
      case kBytes:
        bytes = take(varint());
        break;
      case kFixed32:
        take(4);
        break;
      default:
        is_broken_ = true;
    }
    return !is_broken_;
  }
  bool is_broken() const { return is_broken_; }

  std::uint64_t field = 0, number = 0;
  std::string_view bytes;

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    is_broken_ = true;
    return 0;
  }
  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) is_broken_ = true;
    if (is_broken_) return {};
    auto taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::string_view rest_;
  bool is_broken_ = false;
};

// criu_opts.
std::string encode_options(const CriuRequest& request) {
  constexpr std::uint64_t kLogLevel = 4;
  bool restores = request.call == CriuCall::kRestore;
  Writer out;
  out.number(1, static_cast<std::uint64_t>(request.images_fd));
  if (request.pid != 0) out.number(2, static_cast<std::uint64_t>(request.pid));
  out.flag(3, request.leave_running);
  out.flag(4, request.external_sockets);
  out.flag(5, request.tcp_established);
  out.flag(6, restores);  // evasive_devices
  out.flag(7, request.shell_job);
  out.flag(8, request.file_locks);
  out.number(9, kLogLevel);
  out.text(10, request.log_file);
  out.flag(12, true);  // notify_scripts
  out.text(13, request.root);
  out.text(14, request.parent_images);
  out.flag(15, request.tracks_memory);
  out.flag(16, request.auto_dedup);
  if (request.work_fd) out.number(17, static_cast<std::uint64_t>(*request.work_fd));
  for (const auto& [first, second] : request.mounts) out.pair(23, first, second);
  out.flag(24, true);  // manage_cgroups, from before field 34
  if (!request.cgroup_root.empty()) out.pair(25, "", request.cgroup_root);
  out.flag(26, restores);  // rst_sibling: what is restored is this process's child
  for (const auto& [name, fd] : request.inherited) out.pair(27, name, fd);
  out.number(34, static_cast<std::uint64_t>(request.cgroups));
  for (const std::string& external : request.externals) out.bytes(37, external);
  if (request.empty_namespaces != 0) out.number(38, request.empty_namespaces);
  for (const auto& [kind, path] : request.joined) out.pair(39, kind, path);
  out.text(44, request.freeze_cgroup);
  out.flag(50, true);  // orphan_pts_master
  return out.take();
}

void decode_notification(std::string_view bytes, CriuReply& reply, bool& is_broken) {
  Reader in(bytes);
  while (in.next()) {
    if (in.field == 1) reply.script = in.bytes;
    if (in.field == 2) reply.pid = static_cast<pid_t>(in.number);
  }
  is_broken |= in.is_broken();
}

}  // namespace

std::string encode(const CriuRequest& request) {
  Writer out;
  out.number(1, static_cast<std::uint64_t>(request.call));
  out.bytes(2, encode_options(request));
  return out.take();
}

std::string encode_consent(bool consents) {
  Writer out;
  out.number(1, static_cast<std::uint64_t>(CriuCall::kNotify));
  out.number(3, consents ? 1 : 0);
  return out.take();
}

Result<CriuReply> decode_reply(std::string_view bytes) {
  CriuReply reply;
  bool has_call = false, is_broken = false;
  Reader in(bytes);
  while (in.next()) {
    switch (in.field) {
      case 1:
        reply.call = static_cast<CriuCall>(in.number);
        has_call = true;
        break;
      case 2:
        reply.success = in.number != 0;
        break;
      case 4: {
        Reader restored(in.bytes);
        while (restored.next()) {
          if (restored.field == 1) reply.pid = static_cast<pid_t>(restored.number);
        }
        is_broken |= restored.is_broken();
        break;
      }
      case 5:
        decode_notification(in.bytes, reply, is_broken);
        break;
      case 7:
        reply.error = static_cast<int>(in.number);
        break;
      case 9:
        reply.message = in.bytes;
        break;
      default:
        break;
    }
  }
  if (is_broken || in.is_broken() || !has_call) return fail(Code::kDataLoss, "criu's answer is unreadable");
  return reply;
}

}  // namespace gantry::runtime

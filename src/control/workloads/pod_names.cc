// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/pod_names.h"

#include "base/text.h"

namespace gantry::control::workloads {

namespace {

constexpr int kLetters = 5;

}  // namespace

std::uint64_t stable_hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  // Its low digits are poor in short texts that differ at the end only.
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53;
  return hash ^ (hash >> 33);
}

std::string safe_text(std::uint64_t hash, int length) {
  std::string text;
  for (; length > 0; --length, hash /= kSafeLetters.size()) text += kSafeLetters[hash % kSafeLetters.size()];
  return text;
}

std::string name_prefix(std::string_view owner_name) {
  return cat(owner_name, "-").substr(0, kLongestPodPrefix);
}

std::string pod_name(std::string_view owner_name, std::string_view owner_uid, std::string_view slot) {
  return cat(name_prefix(owner_name), safe_text(stable_hash(cat(owner_uid, "/", slot)), kLetters));
}

std::string free_pod_name(std::string_view owner_name, std::string_view owner_uid, std::string_view slot,
                          const std::function<bool(const std::string& name)>& is_taken) {
  std::string name = pod_name(owner_name, owner_uid, slot);
  for (int next = 1; is_taken(name); ++next) name = pod_name(owner_name, owner_uid, cat(slot, "/", next));
  return name;
}

}  // namespace gantry::control::workloads

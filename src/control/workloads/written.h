// SPDX-License-Identifier: Apache-2.0
// What a controller has written, and sees again by a watch later. Pure; any thread.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>

#include "api/codec.h"
#include "api/metadata.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

// Versions of a resource are numbers that grow. 0: it is none.
inline std::uint64_t version_of(const api::ObjectMeta& metadata) {
  const std::string& text = metadata.resource_version();
  std::uint64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  return error == std::errc() && end == text.data() + text.size() ? version : 0;
}

// Both say the same, once written.
template <typename M>
bool is_same(M a, M b) {
  return api::normalize(&a) && api::normalize(&b) && a.SerializeAsString() == b.SerializeAsString();
}

}  // namespace gantry::control::workloads

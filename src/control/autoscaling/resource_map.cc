// SPDX-License-Identifier: Apache-2.0
#include "control/autoscaling/resource_map.h"

#include <algorithm>

#include "base/text.h"

namespace gantry::control::autoscaling {

namespace {

constexpr std::int64_t kAgain = 10;  // seconds

}  // namespace

const api::Target* ResourceMap::known(const std::string& group, const std::string& kind) const {
  const auto found = std::ranges::find_if(
      targets_, [&](const api::Target& target) { return target.group == group && target.kind == kind; });
  return found == targets_.end() ? nullptr : &*found;
}

Task<Result<api::Target>> ResourceMap::find(std::string api_version, std::string kind) {
  const std::size_t slash = api_version.find('/');
  if (slash != std::string::npos && api_version.find('/', slash + 1) != std::string::npos) {
    co_return fail(Code::kInvalidArgument, cat("unexpected GroupVersion string: ", api_version));
  }
  const std::string group = slash == std::string::npos ? std::string() : api_version.substr(0, slash);
  if (const api::Target* target = known(group, kind)) co_return *target;
  if (const std::int64_t now = now_().seconds; targets_.empty() || now < asked_at_ || now - asked_at_ >= kAgain) {
    api::Answer<api::Discovered> found = co_await api::discover(client_);
    if (!found) co_return std::unexpected(found.error().as_error());
    targets_ = std::move(found->targets);
    asked_at_ = now;
  }
  if (const api::Target* target = known(group, kind)) co_return *target;
  co_return fail(Code::kNotFound, cat("no matches for kind \"", kind, "\" in group \"", group, "\""));
}

}  // namespace gantry::control::autoscaling

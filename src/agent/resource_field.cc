// SPDX-License-Identifier: Apache-2.0
#include "agent/resource_field.h"

#include <cstdint>
#include <string_view>
#include <utility>

#include "api/text.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

// Zero: it is not there.
template <typename Amounts>
Result<api::Quantity> amount_of(const Amounts& amounts, const std::string& name) {
  auto found = amounts.find(name);
  return found == amounts.end() ? api::Quantity() : api::Quantity::parse(found->second.string());
}

std::int64_t divided(std::int64_t amount, std::int64_t divisor) {
  return amount / divisor + (amount % divisor > 0 ? 1 : 0);
}

}  // namespace

Result<std::string> resource_field(const core::Container& container, const core::ResourceFieldSelector& selector,
                                   const std::map<std::string, api::Quantity>& allocatable) {
  const std::string& resource = selector.resource();
  const auto dot = resource.find('.');
  const std::string name = resource.substr(dot + 1);  // npos + 1 is 0
  const bool is_limit = resource.starts_with("limits.");
  if (!is_limit && !resource.starts_with("requests.")) {
    return invalid_argument(cat("unsupported container resource: ", api::quoted(resource)));
  }
  auto amount =
      is_limit ? amount_of(container.resources().limits(), name) : amount_of(container.resources().requests(), name);
  if (!amount) return std::unexpected(std::move(amount.error()));
  if (is_limit && amount->is_zero()) {
    if (auto found = allocatable.find(name); found != allocatable.end()) *amount = found->second;
  }
  api::Quantity divisor(1);
  if (!selector.divisor().string().empty()) {
    auto parsed = api::Quantity::parse(selector.divisor().string());
    if (!parsed) return std::unexpected(std::move(parsed.error()));
    if (!parsed->is_zero()) divisor = std::move(*parsed);
  }
  if (divisor.is_negative()) return invalid_argument("divisor: must not be negative");
  if (name == "cpu") return std::to_string(divided(amount->milli_value(), divisor.milli_value()));
  return std::to_string(divided(amount->value(), divisor.value()));
}

}  // namespace gantry::agent

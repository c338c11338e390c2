// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/resource_field.h"

#include <string_view>

#include "api/kinds/core/amounts.h"
#include "api/quantity.h"
#include "api/text.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

const core::Container* find_container(const core::Pod& pod, const std::string& name) {
  for (const auto* list : {&pod.spec().init_containers(), &pod.spec().containers()}) {
    for (const auto& container : *list) {
      if (container.name() == name) return &container;
    }
  }
  return nullptr;
}

Quantity parsed(const std::string& text) { return Quantity::parse(text).value_or(Quantity()); }

Quantity amount_of(const Amounts& amounts, const std::string& name) {
  const auto found = amounts.find(name);
  return found == amounts.end() ? Quantity() : parsed(found->second.string());
}

bool is_limited_by_node(std::string_view name) {
  return name == "cpu" || name == "memory" || name == "ephemeral-storage";
}

}  // namespace

Result<std::string> resource_field(const core::Pod& pod, const core::Container* container,
                                   const core::ResourceFieldSelector& reference, const Allocatable& allocatable) {
  const std::string& named = reference.container_name();
  if (!named.empty()) container = find_container(pod, named);
  if (container == nullptr) return invalid_argument(cat("container ", quoted(named), " not found"));
  const std::string& resource = reference.resource();
  const std::size_t dot = resource.find('.');
  const std::string name = resource.substr(dot == resource.npos ? resource.size() : dot + 1);
  const bool is_limit = resource.starts_with("limits.");
  if ((!is_limit && !resource.starts_with("requests.")) || !(is_limited_by_node(name) || is_huge_page(name))) {
    return invalid_argument(cat("unsupported container resource : ", resource));
  }
  Quantity amount = amount_of(is_limit ? container->resources().limits() : container->resources().requests(), name);
  if (is_limit && amount.is_zero() && is_limited_by_node(name)) {
    if (const auto found = allocatable.find(name); found != allocatable.end()) amount = parsed(found->second);
  }
  Quantity divisor = parsed(reference.divisor().string());
  if (divisor.is_zero()) divisor = Quantity(1);
  // Cores are counted by the thousandth, all else by the unit.
  const std::int64_t whole = name == "cpu" ? amount.milli_value() : amount.value();
  const std::int64_t part = name == "cpu" ? divisor.milli_value() : divisor.value();
  return std::to_string(whole / part + (whole % part > 0 ? 1 : 0));
}

}  // namespace gantry::api

// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/amounts.h"
#include "api/kinds/core/kinds.h"
#include "base/text.h"
#include "kubernetes/core/v1/quota.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::ResourceQuota& object, int64_t now) {
  std::vector<std::string> requests;
  std::vector<std::string> limits;
  const std::map<std::string, std::string> hard = [&] {
    std::map<std::string, std::string> sorted;
    for (const auto& [name, amount] : object.status().hard()) sorted.emplace(name, amount.string());
    return sorted;
  }();
  for (const auto& [name, amount] : hard) {
    const auto used = object.status().used().find(name);
    const std::string& text = used == object.status().used().end() ? "0" : used->second.string();
    (name.starts_with("limits.") ? limits : requests).push_back(cat(name, ": ", text, "/", amount));
  }
  return {object.metadata().name(), joined(requests, ", "), joined(limits, ", "), age(object.metadata(), now)};
}

void set_defaults(core::ResourceQuota* object) {
  apply_constant_defaults(object);
  round_amounts(object->mutable_spec()->mutable_hard());
  round_amounts(object->mutable_status()->mutable_hard());
  round_amounts(object->mutable_status()->mutable_used());
}

}  // namespace

Kind resource_quota_kind() {
  Kind kind = make_kind<core::ResourceQuota>("resourcequotas", "resourcequota", {"quota"});
  kind.storage = "resourcequotas";
  kind.set_defaults = over(&set_defaults);
  add_status(&kind);
  kind.table = {{name_column(), column("Request", "string", "What is used of what may be requested."),
                 column("Limit", "string", "What is used of what limits may add up to."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api

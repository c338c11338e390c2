// SPDX-License-Identifier: Apache-2.0
#include "control/server/request_facts.h"

#include "control/server/connect/connector.h"

namespace gantry::control {

void recognize(const api::Kinds& kinds, RequestFacts* facts) {
  const RequestInfo& info = *facts->info;
  if (!info.is_resource) return;
  facts->kind = kinds.find_resource(info.group, info.version, info.resource);
  if (facts->kind != nullptr && !info.subresource.empty()) facts->sub = facts->kind->find_subresource(info.subresource);
  facts->is_long_running = info.verb == "watch";
  if (facts->sub == nullptr || !Connector::knows(info.subresource)) return;
  const Result<bool> follows = info.query.flag("follow");
  facts->is_long_running = info.subresource != "log" || (follows && *follows);
}

bool only_reads(const RequestInfo& info) { return info.verb == "get" || info.verb == "list" || info.verb == "watch"; }

}  // namespace gantry::control

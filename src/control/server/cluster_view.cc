// SPDX-License-Identifier: Apache-2.0
#include "control/server/cluster_view.h"

#include <algorithm>
#include <cstdlib>

#include "base/log.h"

namespace gantry::control {

const api::Kind& ClusterView::kind_of(const google::protobuf::Descriptor& descriptor) const {
  const auto& all = kinds_.all();
  const auto found = std::ranges::find_if(
      all, [&](const api::Kind& kind) { return kind.descriptor == &descriptor && !kind.conversion; });
  if (found == all.end()) {
    log::error("admission asks for a kind that is not served");
    std::abort();
  }
  return *found;
}

Task<Outcome<std::shared_ptr<const api::Message>>> ClusterView::find(Loop& here, const api::Kind& kind, std::string ns,
                                                                     std::string name) const {
  const Snapshot snapshot = caches_.of(kind).snapshot();
  if (const ItemPtr item = as_item(snapshot.find(storage_key(kind, ns, name)))) co_return item->message(kind);
  co_return co_await find_now(here, kind, std::move(ns), std::move(name));
}

Task<Outcome<std::shared_ptr<const api::Message>>> ClusterView::find_now(Loop& here, const api::Kind& kind,
                                                                         std::string ns, std::string name) const {
  Objects objects(kinds_, store_);
  Result<std::optional<Object>> found = co_await objects.find(here, kind, std::move(ns), std::move(name));
  if (!found) co_return fail(from_error(found.error()));
  co_return *found ? (*found)->message : nullptr;
}

void ClusterView::visit(const api::Kind& kind, std::string_view ns,
                        const std::function<void(std::shared_ptr<const api::Message>)>& visit) const {
  const Snapshot snapshot = caches_.of(kind).snapshot();
  snapshot.visit(storage_key(kind, ns, ""), "", [&](const ObjectPtr& object) {
    if (const ItemPtr item = as_item(object)) visit(item->message(kind));
    return true;
  });
}

}  // namespace gantry::control

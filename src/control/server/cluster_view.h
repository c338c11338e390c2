// SPDX-License-Identifier: Apache-2.0
// ClusterView: what admission asks about other objects than the one that is written. Answers come from the watch
// caches, so they may be some milliseconds old; find() looks into the store itself before it says that something is not
// there. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/server/caches.h"

namespace gantry::control {

class ClusterView {
 public:
  // All must outlive it.
  ClusterView(const api::Kinds& kinds, const Caches& caches, Store& store)
      : kinds_(kinds), caches_(caches), store_(store) {}

  // Null when there is none. M is a kind's own type.
  template <typename M>
  Task<Outcome<std::shared_ptr<const M>>> find(Loop& here, std::string ns, std::string name) const {
    Outcome<std::shared_ptr<const api::Message>> found = co_await find(here, kind_of<M>(), ns, name);
    if (!found) co_return fail(std::move(found.error()));
    co_return std::static_pointer_cast<const M>(*found);
  }
  // As the store has it now, whatever it costs.
  template <typename M>
  Task<Outcome<std::shared_ptr<const M>>> find_now(Loop& here, std::string ns, std::string name) const {
    Outcome<std::shared_ptr<const api::Message>> found = co_await find_now(here, kind_of<M>(), ns, name);
    if (!found) co_return fail(std::move(found.error()));
    co_return std::static_pointer_cast<const M>(*found);
  }
  // With an empty `ns` those of all namespaces.
  template <typename M>
  std::vector<std::shared_ptr<const M>> list(std::string_view ns) const {
    std::vector<std::shared_ptr<const M>> objects;
    visit(kind_of<M>(), ns, [&](std::shared_ptr<const api::Message> object) {
      objects.push_back(std::static_pointer_cast<const M>(std::move(object)));
    });
    return objects;
  }
  template <typename M>
  const api::Kind& kind_of() const {
    return kind_of(*M::descriptor());
  }

  const api::Kinds& kinds() const { return kinds_; }
  Store& store() const { return store_; }

 private:
  const api::Kind& kind_of(const google::protobuf::Descriptor& descriptor) const;
  Task<Outcome<std::shared_ptr<const api::Message>>> find(Loop& here, const api::Kind& kind, std::string ns,
                                                          std::string name) const;
  Task<Outcome<std::shared_ptr<const api::Message>>> find_now(Loop& here, const api::Kind& kind, std::string ns,
                                                              std::string name) const;
  void visit(const api::Kind& kind, std::string_view ns,
             const std::function<void(std::shared_ptr<const api::Message>)>& visit) const;

  const api::Kinds& kinds_;
  const Caches& caches_;
  Store& store_;
};

}  // namespace gantry::control

// SPDX-License-Identifier: Apache-2.0
// The config maps and secrets that this node's pods refer to, as the API server has them: each by a watch of its one
// name, which is what a node may watch, begun with the first pod that needs it and ended with the last. One that is
// immutable is read once. While the API server is away they are as they were last. In memory alone; values are never
// logged.
//
// Loop thread, the client's. The client outlives the loop's last turn.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/object_references.h"
#include "api/client/client.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"

namespace k8s::io::api::core::v1 {
class ConfigMap;
class Secret;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

class ObjectCache {
 public:
  // Null: there is none of that name. kUnavailable: nobody knows yet, the server has not answered in time.
  template <typename T>
  using Found = Result<std::shared_ptr<const T>>;

  explicit ObjectCache(api::Client& client);
  // Ends the watches.
  ~ObjectCache();
  ObjectCache(const ObjectCache&) = delete;
  ObjectCache& operator=(const ObjectCache&) = delete;

  // Those that one pod needs, for as long as this lives.
  class Holder {
   public:
    Holder() = default;
    Holder(Holder&&) noexcept;
    Holder& operator=(Holder&&) noexcept;
    ~Holder();
    // These and no others from now on.
    void need(ObjectNames names);

   private:
    friend class ObjectCache;
    struct Held;
    std::shared_ptr<Held> held_;
  };
  // `changed` is called by a post after each change of one of them, and when they become known.
  Holder hold(std::function<void()> changed);

  // One that somebody needs: waits for the first word of it, at most as long as the server is asked for anything
  // urgent. kFailedPrecondition: nobody needs it.
  Task<Found<k8s::io::api::core::v1::ConfigMap>> config_map(std::string namespace_, std::string name);
  Task<Found<k8s::io::api::core::v1::Secret>> secret(std::string namespace_, std::string name);

  // How many are watched.
  std::size_t watched() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent

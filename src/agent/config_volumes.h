// SPDX-License-Identifier: Apache-2.0
// The volumes of one pod that are made from objects, facts and tokens (volumes/config_volume.h), kept as they should be
// while it runs: written when something of theirs changes, and when a token has to be renewed. It has a coroutine of
// its own, as the worker may wait long for a container to stop while another reads its configuration.
//
// What can't be made is tried again, with back-off and at once when an object changes. A volume that was written once
// stays as it is meanwhile, also over a restart of gantryd.
//
// Owner: the pod's worker. Loop thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

#include "agent/backoff.h"
#include "agent/environment.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "volumes/prepare.h"

namespace k8s::io::api::core::v1 {
class Pod;
class Volume;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

class ConfigVolumes : public std::enable_shared_from_this<ConfigVolumes> {
 public:
  using PodPtr = std::shared_ptr<const k8s::io::api::core::v1::Pod>;

  static bool has_any(const k8s::io::api::core::v1::Pod& pod);

  // `tell` is called when they have been tried for the first time, and once more when all are there if that was later.
  // The environment has objects and tokens.
  ConfigVolumes(std::shared_ptr<Environment> environment, PodPtr pod, std::function<void()> tell);
  ConfigVolumes(const ConfigVolumes&) = delete;
  ConfigVolumes& operator=(const ConfigVolumes&) = delete;

  // Once.
  void start();
  // The pod as it is now: its labels and annotations.
  void update(PodPtr pod);
  // One of its objects has changed.
  void hear();
  bool was_tried() const { return was_tried_; }
  // Where they are, once they were tried. The error is kubelet's for the first of them that is not there.
  Result<volumes::PreparedVolumes> prepared() const;
  void stop();
  // Returns when nothing is done in the pod's folder any more, after stop(). What is being asked of the API server is
  // not waited for.
  Task<> wait_ended() { return ended_.wait(); }

 private:
  struct Work;
  static Task<> run(std::shared_ptr<ConfigVolumes> self);
  Task<> make();
  Task<> adopt_tokens();
  Task<> gather(const k8s::io::api::core::v1::Volume& volume, PodPtr pod, Work& work);
  // `call` has to do with the pod's folder; stopped_ may be so afterwards.
  template <typename Call>
  Task<std::invoke_result_t<Call>> in_folder(Call call);
  void conclude(const PodPtr& pod, const std::map<std::string, Error>& errors);
  Duration until_next() const;

  std::shared_ptr<Environment> env_;
  PodPtr pod_;
  std::function<void()> tell_;
  Event wake_, ended_;
  Backoff retries_;
  bool heard_ = true;
  bool stopped_ = false;
  bool is_in_folder_ = false;
  bool was_tried_ = false;
  bool was_ready_ = false;
  std::map<std::string, Error> missing_;  // by volume: why it is not there at all
  std::optional<TimePoint> retry_at_;
  std::int64_t refresh_at_ = 0;  // of the token that is the next to be renewed; seconds since 1970
};

}  // namespace gantry::agent

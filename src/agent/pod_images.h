// SPDX-License-Identifier: Apache-2.0
// The images of one pod's containers, by their pull policies. A pull runs beside the pod's other work: the container
// waits, the others and the pod's end don't. What fails is tried again after 10 s, 20 s, ... 300 s for each image; an
// image that comes by another way meanwhile is found. The words are kubelet's: ErrImagePull, ImagePullBackOff,
// ErrImageNeverPull, InvalidImageName, ImageInspectError, RegistryUnavailable, and the events.
//
// Credentials are the pod's (pull_secrets.h), one after the other, and at last those that the runtime has of its own.
// An image that was pulled with another pod's is as if it were not there (pull_records.h).
//
// Owner: the pod's worker. Loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "agent/environment.h"
#include "agent/pod_status.h"
#include "agent/pull_secrets.h"
#include "base/loop.h"
#include "base/task.h"
#include "images/reference.h"

namespace gantry::agent {

class PodImages : public std::enable_shared_from_this<PodImages> {
 public:
  using PodPtr = std::shared_ptr<const k8s::io::api::core::v1::Pod>;

  // `heard` is called when a pull has ended.
  PodImages(std::shared_ptr<Environment> environment, std::function<void()> heard);
  ~PodImages();
  PodImages(const PodImages&) = delete;
  PodImages& operator=(const PodImages&) = delete;

  // An image of the container that is about to be made.
  struct Want {
    PodPtr pod;
    std::string container, image, policy;
    std::uint32_t attempt = 0;  // with the policy Always each is preceded by a pull
    std::string volume = {};    // the image is not the container's own, but this volume of it
  };
  struct Answer {
    std::shared_ptr<const runtime::v1::Image> image;  // it may be used now
    std::optional<Waiting> why;                       // it can't: until then there is no use in asking
    TimePoint until;
    // Neither: it is being pulled.
  };
  Task<Answer> ask(Want want);
  // Any image of the container.
  bool is_pulling(const std::string& container) const;
  // The container's own image has changed: its pull is ended.
  void forget(const std::string& container);
  // Ends all pulls.
  void stop();

 private:
  struct Entry {
    std::string image;
    std::shared_ptr<Event> over;          // of the pull that is under way; null: none is
    std::optional<std::uint32_t> pulled;  // for this attempt
    std::optional<Waiting> failed;        // it is to be said
  };
  struct Failure {
    TimePoint retry_at = TimePoint::min();
    std::string message;  // "ErrImagePull: ..."
  };
  struct Pulled {
    std::string id;
    PullCredentials by;
    std::uint64_t size = 0;
    Duration time{}, with_waiting{};
  };

  Task<Answer> find(Want want);
  Answer begin(Want want);
  static Task<> pull(std::shared_ptr<PodImages> self, Want want, std::shared_ptr<Event> over);
  // `goes_on`: nobody waits for it any more, and it may end later in the runtime.
  Task<Result<Pulled>> pull_once(Want want, images::Reference reference, std::shared_ptr<Event> over, bool* goes_on);
  Task<Result<std::vector<PullCredentials>>> credentials(Want want, images::Reference reference);
  // It is on the node, as `id`; the pod may use it there without a pull.
  Task<bool> may_use(Want want, std::string id);
  Task<> record(const Want& want, Pulled& pulled);
  void take_pulled(const Want& want, const Pulled& pulled);
  void take_failure(const Want& want, const Error& error);
  Answer wait_for(Waiting why, TimePoint until) const { return {nullptr, std::move(why), until}; }
  void tell(const Want& want, EventType type, std::string_view reason, const std::string& message) const;

  const std::shared_ptr<Environment> env_;
  const std::function<void()> heard_;
  Backoff pulls_, looks_;
  std::map<std::string, Entry> entries_;     // by container, or CONTAINER/VOLUME
  std::map<std::string, Failure> failures_;  // by image
  // Images, by name and id, that the pod has shown credentials for: it is asked once.
  std::set<std::pair<std::string, std::string>> shown_;
  bool stopped_ = false;
};

}  // namespace gantry::agent

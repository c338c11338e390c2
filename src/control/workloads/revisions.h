// SPDX-License-Identifier: Apache-2.0
// ControllerRevisions: the templates that a DaemonSet or StatefulSet has had, as objects, so that `kubectl rollout
// undo` can go back to them. As upstream: the data is the patch that brings a template back, the name follows from the
// data, and a template that comes again is the same revision with the newest number.
//
// Revisions is bound to one loop's thread, and must live as long as the loop runs; the functions are pure.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/controllers/controller.h"
#include "control/workloads/owner.h"
#include "kubernetes/apps/v1/stateful_set.pb.h"
#include "kubernetes/core/v1/pod_template.pb.h"

namespace gantry::control::workloads {

using RevisionPtr = std::shared_ptr<const k8s::io::api::apps::v1::ControllerRevision>;
using PodTemplateSpec = k8s::io::api::core::v1::PodTemplateSpec;

// {"spec":{"template":{..., "$patch":"replace"}}} byte by byte as upstream's, for it is compared so.
std::string revision_data(const PodTemplateSpec& pod_template);
// Nothing when the revision holds no template.
std::optional<PodTemplateSpec> template_of(const k8s::io::api::apps::v1::ControllerRevision& revision);
// That of this revision_data(), whoever wrote it, and with whatever order and empty fields.
bool has_template(const k8s::io::api::apps::v1::ControllerRevision& revision, const std::string& data);
// Upstream's, from which names are made; `collisions` leads to another one.
std::string revision_hash(std::string_view data, std::int32_t collisions);
// The oldest first.
void sort_revisions(std::vector<RevisionPtr>* revisions);
// Those beyond `limit` that are not in use (names), the oldest first. Precondition: sorted.
std::vector<RevisionPtr> surplus_revisions(const std::vector<RevisionPtr>& revisions, const std::set<std::string>& used,
                                           std::int32_t limit);

class Revisions {
 public:
  struct Owners {
    std::string api_version, kind;
    // Of revisions, for the hash.
    std::string hash_label;
    // An owner ("namespace/name") is to look again: a revision of its has gone.
    std::function<void(const std::string& key)> wake;
  };
  Revisions(ControllerParts parts, Owners owners);

  // The owner's, after it adopted and released what it should, sorted; `check` as in claim().
  Task<Result<std::vector<RevisionPtr>>> claim(Owner owner, std::function<Task<Status>()> check);

  struct Current {
    RevisionPtr revision;
    std::int32_t collisions = 0;  // status.collisionCount
  };
  // The revision of the template: one of `known`, which are the owner's, with the newest number, or a new one, which is
  // added to them. It gets the owner's annotations.
  Task<Result<Current>> current(Owner owner, api::ObjectMeta metadata, PodTemplateSpec pod_template,
                                std::vector<RevisionPtr>* known, std::int32_t collisions);
  Task<Status> remove(std::vector<RevisionPtr> revisions);

 private:
  Task<Result<Current>> make(Owner owner, api::ObjectMeta metadata, PodTemplateSpec pod_template, std::int64_t number,
                             std::int32_t collisions);

  ControllerParts parts_;
  Owners owners_;
  api::InformerOf<k8s::io::api::apps::v1::ControllerRevision>& revisions_;
};

}  // namespace gantry::control::workloads

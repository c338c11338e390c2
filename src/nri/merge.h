// SPDX-License-Identifier: Apache-2.0
// What several plugins answer to one request, as one answer. A field that one plugin has set may not be set by another
// unless that one removes it first (a key with '-' before it): then the request fails, with a sentence that names both.
// Later plugins see the request as earlier ones have changed it. Rules and wording are those of NRI 0.12
// (pkg/adaptation/result.go). Pure.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace nri::pkg::api::v1alpha1 {
class ContainerAdjustment;
class CreateContainerRequest;
class CreateContainerResponse;
class LinuxResources;
class OwningPlugins;
class UpdateContainersRequest;
class UpdateContainerRequest;
class ContainerUpdate;
}  // namespace nri::pkg::api::v1alpha1

namespace gantry::nri {

namespace api = ::nri::pkg::api::v1alpha1;

// Who has set what, of each container.
class Owners {
 public:
  Owners();
  ~Owners();
  // `field` is an api::Field; `key` is "" for one that is set as a whole. kAborted: another plugin's.
  Status claim(const std::string& id, int field, const std::string& key, const std::string& plugin);
  void clear(const std::string& id, int field, const std::string& key, const std::string& plugin);
  // Fields that plugins share.
  void share(const std::string& id, int field, const std::string& plugin);
  const api::OwningPlugins& all() const { return *all_; }

 private:
  std::unique_ptr<api::OwningPlugins> all_;
};

// Of changes to containers that are there.
class Updates {
 public:
  explicit Updates(Owners& owners);
  ~Updates();
  // `of` is the container that the request is about, with the resources that it is about to have; null when there is
  // none. kInvalidArgument when `creating` is asked to be updated.
  Status apply(const api::ContainerUpdate& update, const std::string& plugin, api::UpdateContainerRequest* of,
               const std::string& creating);
  // Of all containers but that of the request.
  std::unique_ptr<api::UpdateContainersRequest> take();

 private:
  Owners& owners_;
  std::unique_ptr<api::UpdateContainersRequest> all_;
};

// Of a container to be created. `request` is changed by it.
class Adjustments {
 public:
  explicit Adjustments(api::CreateContainerRequest& request);
  ~Adjustments();
  Status apply(const api::CreateContainerResponse& response, const std::string& plugin);
  const api::ContainerAdjustment& all() const { return *all_; }
  Updates& updates() { return updates_; }
  const Owners& owners() const { return owners_; }

 private:
  class One;
  api::CreateContainerRequest& request_;
  Owners owners_;
  Updates updates_;
  std::unique_ptr<api::ContainerAdjustment> all_;
};

}  // namespace gantry::nri

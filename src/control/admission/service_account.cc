// SPDX-License-Identifier: Apache-2.0
#include "control/admission/service_account.h"

#include <algorithm>

#include "base/text.h"
#include "control/admission/pods.h"
#include "control/server/object_names.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/volume.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::string_view kVolumePrefix = "kube-api-access-";
constexpr char kMountPath[] = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr char kMirror[] = "kubernetes.io/config.mirror";
// Tokens live an hour; the seconds beyond it are how upstream's own tokens are told from others.
constexpr int64_t kTokenSeconds = 3607;

core::Volume token_volume(const std::string& name) {
  core::Volume volume;
  volume.set_name(name);
  core::ProjectedVolumeSource* projected = volume.mutable_volume_source()->mutable_projected();
  projected->set_default_mode(0644);
  auto* token = projected->add_sources()->mutable_service_account_token();
  token->set_path("token");
  token->set_expiration_seconds(kTokenSeconds);
  auto* ca = projected->add_sources()->mutable_config_map();
  ca->mutable_local_object_reference()->set_name("kube-root-ca.crt");
  auto* item = ca->add_items();
  item->set_key("ca.crt");
  item->set_path("ca.crt");
  auto* file = projected->add_sources()->mutable_downward_api()->add_items();
  file->set_path("namespace");
  file->mutable_field_ref()->set_api_version("v1");
  file->mutable_field_ref()->set_field_path("metadata.namespace");
  return volume;
}

bool has_mount(const core::Container& container) {
  return std::ranges::any_of(container.volume_mounts(),
                             [](const core::VolumeMount& mount) { return mount.mount_path() == kMountPath; });
}

Outcome<void> add_token(core::PodSpec* spec) {
  std::string name;
  bool is_there = false;
  for (const core::Volume& volume : spec->volumes()) {
    if (!volume.name().starts_with(kVolumePrefix)) continue;
    name = volume.name();
    is_there = true;
  }
  if (name.empty()) {
    Result<std::string> made = generate_name(kVolumePrefix);
    if (!made) return fail(from_error(made.error()));
    name = std::move(*made);
  }
  bool needed = false;
  const auto add = [&](core::Container* container) {
    if (has_mount(*container)) return;
    core::VolumeMount* mount = container->add_volume_mounts();
    mount->set_name(name);
    mount->set_read_only(true);
    mount->set_mount_path(kMountPath);
    needed = true;
  };
  for (core::Container& container : *spec->mutable_init_containers()) add(&container);
  for (core::Container& container : *spec->mutable_containers()) add(&container);
  if (needed && !is_there) *spec->add_volumes() = token_volume(name);
  return {};
}

// A mirror of a pod that a node runs from a file: nobody may give it rights through that.
Outcome<void> check_mirror(const AdmissionRequest& request, const core::Pod& pod) {
  const char* why = nullptr;
  if (!pod.spec().service_account_name().empty()) why = "a mirror pod may not reference service accounts";
  for (const core::Volume& volume : pod.spec().volumes()) {
    if (volume.volume_source().has_secret()) why = "a mirror pod may not reference secrets";
    for (const core::VolumeProjection& source : volume.volume_source().projected().sources()) {
      if (source.has_service_account_token()) why = "a mirror pod may not use ServiceAccountToken volume projections";
    }
  }
  if (why != nullptr) return fail(forbidden(request.call.kind, request.name, why));
  return {};
}

bool is_mirror(const core::Pod& pod) { return pod.metadata().annotations().contains(kMirror); }

}  // namespace

Task<Outcome<void>> ServiceAccountAdmission::mutate(AdmissionRequest& request) {
  core::Pod* pod = created_pod(request);
  if (pod == nullptr) co_return Outcome<void>();
  if (is_mirror(*pod)) co_return check_mirror(request, *pod);
  core::PodSpec* spec = pod->mutable_spec();
  if (spec->service_account_name().empty()) spec->set_service_account_name("default");
  spec->set_service_account(spec->service_account_name());

  using Account = core::ServiceAccount;
  Outcome<std::shared_ptr<const Account>> account =
      co_await view_.find<Account>(request.call.here, request.call.info.ns, spec->service_account_name());
  if (!account) co_return fail(std::move(account.error()));
  if (*account == nullptr) {
    co_return fail(
        forbidden(request.call.kind, request.name,
                  cat("error looking up service account ", request.call.info.ns, "/", spec->service_account_name(),
                      ": serviceaccount ", quoted(spec->service_account_name(), 256), " not found")));
  }
  bool wants_token = true;
  if ((*account)->has_automount_service_account_token()) wants_token = (*account)->automount_service_account_token();
  if (spec->has_automount_service_account_token()) wants_token = spec->automount_service_account_token();
  if (wants_token) {
    if (Outcome<void> added = add_token(spec); !added) co_return added;
  }
  if (spec->image_pull_secrets().empty()) *spec->mutable_image_pull_secrets() = (*account)->image_pull_secrets();
  co_return Outcome<void>();
}

Task<Outcome<void>> ServiceAccountAdmission::validate(const AdmissionRequest& request) {
  const core::Pod* pod = created_pod(request);
  if (pod == nullptr || !is_mirror(*pod)) co_return Outcome<void>();
  co_return check_mirror(request, *pod);
}

}  // namespace gantry::control

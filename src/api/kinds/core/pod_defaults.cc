// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>

#include "api/codec.h"
#include "api/defaults.h"
#include "api/kinds/core/container_requests.h"
#include "api/kinds/core/pod.h"
#include "api/kinds/core/pod_rules.h"
#include "api/quantity.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr int kMilli = -3;
constexpr int32_t kFileMode = 0644;

// A tag of latest, written or implied, may mean another image tomorrow.
std::string_view pull_policy(std::string_view image) {
  const size_t digest = image.find('@');
  std::string_view name = image.substr(0, digest);
  const size_t slash = name.rfind('/');
  if (slash != std::string_view::npos) name.remove_prefix(slash + 1);
  const size_t colon = name.find(':');
  if (colon == std::string_view::npos) return digest == std::string_view::npos ? "Always" : "IfNotPresent";
  return name.substr(colon + 1) == "latest" ? "Always" : "IfNotPresent";
}

void default_http_get(core::HTTPGetAction* action) {
  if (action->path().empty()) action->set_path("/");
  if (action->scheme().empty()) action->set_scheme("HTTP");
}

void default_probe(core::Probe* probe) {
  if (probe->timeout_seconds() == 0) probe->set_timeout_seconds(1);
  if (probe->period_seconds() == 0) probe->set_period_seconds(10);
  if (probe->success_threshold() == 0) probe->set_success_threshold(1);
  if (probe->failure_threshold() == 0) probe->set_failure_threshold(3);
  if (probe->handler().has_http_get()) default_http_get(probe->mutable_handler()->mutable_http_get());
}

template <typename Quantities>
void round_to_milli(Quantities* quantities) {
  for (auto& [name, amount] : *quantities) {
    Result<Quantity> quantity = Quantity::parse(amount.string());
    if (!quantity) continue;
    quantity->round_up(kMilli);
    amount.set_string(quantity->to_string());
  }
}

void default_resources(core::ResourceRequirements* resources) {
  round_to_milli(resources->mutable_limits());
  round_to_milli(resources->mutable_requests());
}

void default_field_ref(core::ObjectFieldSelector* selector) {
  if (selector->api_version().empty()) selector->set_api_version("v1");
}

// Container and EphemeralContainerCommon have the same fields and no type in common.
template <typename Container>
void default_container(Container* container) {
  if (container->image_pull_policy().empty()) {
    container->set_image_pull_policy(std::string(pull_policy(container->image())));
  }
  if (container->termination_message_path().empty()) container->set_termination_message_path("/dev/termination-log");
  if (container->termination_message_policy().empty()) container->set_termination_message_policy("File");
  for (core::EnvVar& variable : *container->mutable_env()) {
    if (variable.value_from().has_field_ref()) {
      default_field_ref(variable.mutable_value_from()->mutable_field_ref());
    }
  }
  default_resources(container->mutable_resources());
  if (container->has_liveness_probe()) default_probe(container->mutable_liveness_probe());
  if (container->has_readiness_probe()) default_probe(container->mutable_readiness_probe());
  if (container->has_startup_probe()) default_probe(container->mutable_startup_probe());
  if (container->has_lifecycle()) {
    core::Lifecycle* lifecycle = container->mutable_lifecycle();
    if (lifecycle->post_start().has_http_get()) default_http_get(lifecycle->mutable_post_start()->mutable_http_get());
    if (lifecycle->pre_stop().has_http_get()) default_http_get(lifecycle->mutable_pre_stop()->mutable_http_get());
  }
}

void default_requests_from_limits(core::Container* container) {
  core::ResourceRequirements* resources = container->mutable_resources();
  for (const auto& [name, limit] : resources->limits()) {
    if (!resources->requests().contains(name)) (*resources->mutable_requests())[name] = limit;
  }
}

// After those of its containers, and only beside limits of the pod's own.
void default_pod_resources(core::PodSpec* spec) {
  if (spec->resources().limits().empty()) return;
  round_to_milli(spec->mutable_resources()->mutable_limits());
  round_to_milli(spec->mutable_resources()->mutable_requests());
  auto& requests = *spec->mutable_resources()->mutable_requests();
  const auto of_containers = requests_of_containers(*spec);
  for (const char* name : {"cpu", "memory"}) {
    const auto found = of_containers.find(name);
    if (found == of_containers.end() || requests.contains(name)) continue;
    requests[name].set_string(found->second.to_string());
  }
  for (const auto& [name, limit] : spec->resources().limits()) {
    // What a pod as a whole may have; of another one it is told that it may not.
    const bool is_a_pods = name == "cpu" || name == "memory" || name.starts_with("hugepages-");
    if (is_a_pods && !requests.contains(name)) requests[name] = limit;
  }
}

void default_host_ports(core::Container* container) {
  for (core::ContainerPort& port : *container->mutable_ports()) {
    if (port.host_port() == 0) port.set_host_port(port.container_port());
  }
}

void default_downward_items(google::protobuf::RepeatedPtrField<core::DownwardAPIVolumeFile>* items) {
  for (core::DownwardAPIVolumeFile& item : *items) {
    if (item.has_field_ref()) default_field_ref(item.mutable_field_ref());
  }
}

void default_projected(core::ProjectedVolumeSource* projected) {
  if (!projected->has_default_mode()) projected->set_default_mode(kFileMode);
  for (core::VolumeProjection& source : *projected->mutable_sources()) {
    if (source.has_downward_api()) default_downward_items(source.mutable_downward_api()->mutable_items());
    if (source.has_service_account_token() && !source.service_account_token().has_expiration_seconds()) {
      source.mutable_service_account_token()->set_expiration_seconds(3600);
    }
  }
}

void default_volume(core::Volume* volume) {
  core::VolumeSource* source = volume->mutable_volume_source();
  std::vector<const google::protobuf::FieldDescriptor*> set;
  source->GetReflection()->ListFields(*source, &set);
  if (set.empty()) source->mutable_empty_dir();
  if (source->has_host_path() && !source->host_path().has_type()) source->mutable_host_path()->set_type("");
  if (source->has_secret() && !source->secret().has_default_mode()) {
    source->mutable_secret()->set_default_mode(kFileMode);
  }
  if (source->has_config_map() && !source->config_map().has_default_mode()) {
    source->mutable_config_map()->set_default_mode(kFileMode);
  }
  if (source->has_downward_api()) {
    core::DownwardAPIVolumeSource* downward = source->mutable_downward_api();
    if (!downward->has_default_mode()) downward->set_default_mode(kFileMode);
    default_downward_items(downward->mutable_items());
  }
  if (source->has_projected()) default_projected(source->mutable_projected());
  if (source->has_ephemeral() && source->ephemeral().has_volume_claim_template()) {
    core::PersistentVolumeClaimSpec* claim =
        source->mutable_ephemeral()->mutable_volume_claim_template()->mutable_spec();
    if (!claim->has_volume_mode()) claim->set_volume_mode("Filesystem");
  }
  if (source->has_image() && source->image().pull_policy().empty()) {
    source->mutable_image()->set_pull_policy(std::string(pull_policy(source->image().reference())));
  }
}

void default_addresses(core::PodStatus* status) {
  if (status->pod_ip().empty()) {
    if (!status->pod_ips().empty()) status->set_pod_ip(status->pod_ips(0).ip());
  } else if (status->pod_ips().empty() || status->pod_ips(0).ip() != status->pod_ip()) {
    status->clear_pod_ips();
    status->add_pod_ips()->set_ip(status->pod_ip());
  }
}

}  // namespace

void default_pod_spec(core::PodSpec* spec) {
  if (spec->restart_policy().empty()) spec->set_restart_policy("Always");
  if (spec->dns_policy().empty()) spec->set_dns_policy("ClusterFirst");
  if (spec->scheduler_name().empty()) spec->set_scheduler_name("default-scheduler");
  if (!spec->has_termination_grace_period_seconds()) spec->set_termination_grace_period_seconds(30);
  if (!spec->has_security_context()) spec->mutable_security_context();
  // The old name of the field is kept equal to the new one.
  if (spec->service_account_name().empty()) spec->set_service_account_name(spec->service_account());
  spec->set_service_account(spec->service_account_name());
  round_to_milli(spec->mutable_overhead());
  for (core::Volume& volume : *spec->mutable_volumes()) default_volume(&volume);
  for (auto* containers : {spec->mutable_init_containers(), spec->mutable_containers()}) {
    for (core::Container& container : *containers) default_container(&container);
  }
  for (core::EphemeralContainer& container : *spec->mutable_ephemeral_containers()) {
    default_container(container.mutable_ephemeral_container_common());
  }
}

void default_pod(core::Pod* pod) {
  apply_constant_defaults(pod);
  core::PodSpec* spec = pod->mutable_spec();
  default_pod_spec(spec);
  // What follows is a pod's own, and not a template's.
  if (spec->termination_grace_period_seconds() < 0) spec->set_termination_grace_period_seconds(1);
  if (!spec->has_enable_service_links()) spec->set_enable_service_links(true);
  for (auto* containers : {spec->mutable_init_containers(), spec->mutable_containers()}) {
    for (core::Container& container : *containers) {
      default_requests_from_limits(&container);
      if (spec->host_network()) default_host_ports(&container);
    }
  }
  default_pod_resources(spec);
  default_addresses(pod->mutable_status());
  // What was added is brought to the same form. It can not fail: what was there passed before, and defaults are good.
  (void)normalize(pod);
}

}  // namespace gantry::api

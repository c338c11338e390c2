// SPDX-License-Identifier: Apache-2.0
#include "cri/checkpoint_documents.h"

#include "api/time.h"
#include "cri/text.h"
#include "cri/verbose_parts.h"

namespace gantry::cri {
namespace {

namespace json = boost::json;

constexpr const char* kNever = "0001-01-01T00:00:00Z";  // Go's zero

std::string rfc3339(std::int64_t nanoseconds) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  return api::format_rfc3339_micro({nanoseconds / kSecond, static_cast<std::int32_t>(nanoseconds % kSecond)});
}

json::object config_of(const v1::ContainerStatus& status, std::int64_t time) {
  return {{"id", status.id()},
          {"name", status.metadata().name()},
          {"rootfsImage", status.image().image()},
          {"rootfsImageRef", status.image_ref()},
          {"rootfsImageName", status.image().image()},
          {"runtime", "gantry"},
          {"createdTime", rfc3339(status.created_at())},
          {"checkpointedTime", rfc3339(time)},
          {"restoredTime", kNever},
          {"restored", false}};
}

json::object spec_of(const Container& container, const Sandbox& sandbox) {
  const auto& pod = sandbox.status.metadata();
  json::object spec = runtime_spec_of(container, sandbox.shim ? sandbox.shim->pid() : 0);
  spec["ociVersion"] = "1.2.0";
  spec["hostname"] = sandbox.config.hostname();
  json::object annotations;
  for (const auto& [key, value] : container.status.annotations()) annotations[key] = value;
  // Containerd's, by which tools know a container of Kubernetes.
  annotations["io.kubernetes.cri.container-type"] = "container";
  annotations["io.kubernetes.cri.container-name"] = container.status.metadata().name();
  annotations["io.kubernetes.cri.image-name"] = container.status.image().image();
  annotations["io.kubernetes.cri.sandbox-id"] = sandbox.id();
  annotations["io.kubernetes.cri.sandbox-name"] = pod.name();
  annotations["io.kubernetes.cri.sandbox-namespace"] = pod.namespace_();
  annotations["io.kubernetes.cri.sandbox-uid"] = pod.uid();
  spec["annotations"] = std::move(annotations);
  return spec;
}

// As Go writes and reads it: times are numbers.
json::value cri_status_of(v1::ContainerStatus status) {
  status.clear_resources();
  json::value value = json_of(status);
  if (!value.is_object()) return value;
  value.as_object()["created_at"] = status.created_at();
  value.as_object()["started_at"] = status.started_at();
  return value;
}

// Containerd's own record.
json::object record_of(const Container& container) {
  return {{"Version", "v1"},
          {"Pid", container.pid},
          {"CreatedAt", container.status.created_at()},
          {"StartedAt", container.status.started_at()},
          {"FinishedAt", 0},
          {"ExitCode", 0},
          {"Reason", ""},
          {"Message", ""}};
}

}  // namespace

std::vector<std::pair<std::string, std::string>> checkpoint_documents(const Container& container,
                                                                      const Sandbox& sandbox, std::int64_t time) {
  return {{"config.dump", json::serialize(config_of(container.status, time))},
          {"spec.dump", json::serialize(spec_of(container, sandbox))},
          {"status.dump", json::serialize(cri_status_of(container.status))},
          {"status", json::serialize(record_of(container))}};
}

}  // namespace gantry::cri

// SPDX-License-Identifier: Apache-2.0
// What this boot must know of a pod beyond its rows: configurations, with their environment, as records
// (base/records.h) in the pod's folder on tmpfs. The folders are 0700 and the files 0600; a reboot ends them, as it
// ends the pod. The shim writes its exit records into the same folder. Blocking calls on tmpfs: microseconds.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"
#include "cri/runtime/v1/api.pb.h"
#include "images/image_config.h"

namespace gantry::cri {

namespace v1 = ::runtime::v1;

struct ContainerRecord {
  v1::ContainerConfig config;
  images::ImageConfig image;
  std::string edits;  // of its CDI devices and plugins: a text for cdi::parse_edits(), or ""
  // When plugins changed it: what they want beside `config` and `edits`, for parse_extras(), and the configuration that
  // the client asked with, serialized.
  std::string extras, asked;
};

// `folder` is /run/gantry/sandboxes/ID.
Status write_sandbox_record(FdRef folder, const v1::PodSandboxConfig& config);
Result<std::optional<v1::PodSandboxConfig>> read_sandbox_record(FdRef folder);

Status write_container_record(FdRef folder, std::string_view id, const ContainerRecord& record);
Result<std::optional<ContainerRecord>> read_container_record(FdRef folder, std::string_view id);
Status remove_container_record(FdRef folder, std::string_view id);

// The sandbox waits in the pool and no pod has had it yet. While the record is there, the folder's shim may be ended.
Status write_pool_record(FdRef folder);
Result<bool> has_pool_record(FdRef folder);
Status remove_pool_record(FdRef folder);

}  // namespace gantry::cri

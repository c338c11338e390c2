// SPDX-License-Identifier: Apache-2.0
// User namespaces of pods: from the CRI's words to ids, mounts whose ids are mapped, and a container's /dev, whose
// devices nobody in a user namespace can make.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"
#include "cri/runtime/v1/api.pb.h"
#include "runtime/oci/id_mappings.h"
#include "runtime/plan/build_plan.h"
#include "runtime/plan/container_spec.h"
#include "runtime/plan/plan.h"
#include "shim/client.h"

namespace gantry::cri {

namespace v1 = ::runtime::v1;

using IdMappingList = google::protobuf::RepeatedPtrField<v1::IDMapping>;

// Both lists, or an error that names field, value and what was expected: one of them empty, a length of 0, ids that
// overlap or that there are not. Both empty is fine.
Result<runtime::oci::IdMappings> id_mappings(const IdMappingList& uids, const IdMappingList& gids,
                                             const std::string& field, std::string_view uids_name,
                                             std::string_view gids_name);

// What a pod's options say, and what goes with it; for one in the host's user namespace it is empty.
Result<runtime::oci::IdMappings> pod_users(const v1::NamespaceOption& options);
// The same of options that have been validated.
std::optional<runtime::UsersSpec> users_spec(const v1::NamespaceOption& options);
// A container's must be its pod's.
bool are_same_users(const v1::NamespaceOption& one, const v1::NamespaceOption& other);

// The user namespace of a pod that has one, and namespaces that belong to it.
Result<OwnFd> open_pod_users(const shim::Client& shim);

// MOUNT_ATTR_IDMAP of a detached clone of the mount that `source` is on. The error names `path` and the file system.
Status map_mount_ids(FdRef mount, FdRef source, FdRef users, std::string_view path);
// The line of /proc/self/mountinfo of the mount that `place` is on.
Result<std::string> mount_line(FdRef place);

// Makes the container's /dev with its devices, in place of the tmpfs and the devices of the plan. They belong to the
// pod's ids, but those of a privileged container (`are_hosts`), which keep the host's: root in there is to be no more
// to them than another user.
Status make_dev(const runtime::UsersSpec& users, bool are_hosts, runtime::Plan& plan, runtime::FdList& fds);
// The same for another runtime, which makes /dev by itself: a detached folder with the nodes, by their paths beneath
// /dev. kNoFd when a volume is the container's /dev.
Result<runtime::FdIndex> make_device_nodes(const runtime::UsersSpec& users, bool are_hosts, const runtime::Plan& plan,
                                           runtime::FdList& fds);

}  // namespace gantry::cri

// SPDX-License-Identifier: Apache-2.0
// The parts that build_plan.cc puts together, some of which runtime/oci takes too.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "runtime/plan/build_plan.h"

namespace gantry::runtime {

// An absolute path folded as Go's filepath.Clean does: no "//", ".", trailing "/", and ".." only takes off what is
// before it. kInvalidArgument names `what` when it is not absolute, holds NUL, or is longer than the kernel takes.
Result<std::string> clean_path(std::string_view path, std::string_view what);

// `path` is `folder` or lies in it. Both are clean.
bool is_within(std::string_view path, std::string_view folder);
// Beneath /proc only the few files may be covered that container-aware substitutes (lxcfs) cover, and /proc itself only
// by a procfs: anything else would let a mount stand in for what the kernel, or we, read there.
Status check_proc_target(std::string_view target, bool is_procfs);

// What every container has in its /dev: devices that anybody may use, and links. More: ContainerSpec, config.json.
std::vector<DevicePlan> default_devices();
std::vector<LinkPlan> default_links();

// Mounts, devices and links, masked and read-only paths.
Status plan_root(const ContainerSpec& spec, const HostFacts& host, Plan& plan);
Status check_mounts(const ContainerSpec& spec);

Result<std::vector<RlimitPlan>> plan_rlimits(const ContainerSpec& spec, const HostFacts& host);
// RLIMIT_NOFILE -> "RLIMIT_NOFILE".
std::string rlimit_name(int resource);
Status check_user(const UserSpec& user);

// Puts "NAME=value" entries over an environment: a name that is there keeps its place. `what` is for messages.
Status merge_environment(std::vector<std::string>& environment, std::span<const std::string> entries,
                         std::string_view what);

// No NUL, and no longer than one string of an execve may be.
Status check_exec_string(std::string_view text, std::string_view what);

}  // namespace gantry::runtime

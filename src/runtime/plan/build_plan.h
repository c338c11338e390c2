// SPDX-License-Identifier: Apache-2.0
// Makes plans: spec, image config and host facts in, one plan out, or an error that names the field. Nothing here
// touches a file or the kernel: descriptors were opened by the caller, texts read by him. Microseconds, but for a
// seccomp profile that is seen for the first time.
//
// The semantics are those that users of Kubernetes with containerd and runc know: see plan_process.cc,
// plan_credentials.cc and plan_mounts.cc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/plan/container_spec.h"
#include "runtime/plan/host_facts.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/seccomp.h"
#include "runtime/plan/users.h"

namespace gantry::runtime {

// The descriptors that go along with one plan, in the order of their indices.
class FdList {
 public:
  // What fits into one packet to the shim beside the plan, the cgroup, the log and three streams.
  static constexpr std::size_t kMaxFds = 56;

  // kResourceExhausted when there are kMaxFds.
  Result<FdIndex> add(OwnFd fd);
  std::size_t size() const { return fds_.size(); }
  std::vector<OwnFd> take() && { return std::move(fds_); }

 private:
  std::vector<OwnFd> fds_;
};

// What can be said of a spec without image, host and descriptors: for CreateContainer, so that a bad request fails
// there. plan_container() checks it again.
Status check_spec(const ContainerSpec& spec);

// The whole plan of a container's first process. kInvalidArgument: spec or image are wrong; kFailedPrecondition: this
// host can't give what they ask for; kResourceExhausted: something is over its limit.
Result<Plan> plan_container(const ContainerSpec& spec, const ImageProcess& image, const HostFacts& host,
                            const UserDatabase& users, SeccompCache& seccomp, const FdList& fds);

// The process part alone: who and with what. Exec needs it; the caller keeps it, or makes it again after a restart.
Result<ProcessPlan> plan_process(const ContainerSpec& spec, const ImageProcess& image, const HostFacts& host,
                                 const UserDatabase& users, SeccompCache& seccomp);

// The container's seccomp profile as linux.seccomp of a config.json; "" for none.
Result<std::string> seccomp_as_oci(const ContainerSpec& spec, const CapabilityPlan& capabilities);

// A plan that joins the container whose process part is `container`: same user, capabilities, seccomp, environment,
// limits.
Result<Plan> plan_exec(const ExecSpec& spec, const ProcessPlan& container);

// Who the container runs as: what ContainerStatus reports. groups as in ProcessPlan: gid first, without doubles.
struct ContainerUser {
  std::uint32_t uid = 0, gid = 0;
  std::vector<std::uint32_t> groups;
  std::string home;
};
Result<ContainerUser> resolve_container_user(const UserSpec& spec, const ImageProcess& image,
                                             const UserDatabase& users);

// The capability sets of a process: what plan_process() uses.
Result<CapabilityPlan> resolve_capabilities(const ContainerSpec& spec, const HostFacts& host);

// Defaults, also for the agent, which sends them with each container as kubelet does.
std::vector<std::string> default_masked_paths(const HostFacts& host);
std::vector<std::string> default_read_only_paths();

}  // namespace gantry::runtime

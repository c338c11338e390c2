// SPDX-License-Identifier: Apache-2.0
// What the runtime says of itself, and the verbose forms for people (verbose.h). The values of `info` are JSON
// documents.
#include <boost/json.hpp>

#include "base/log.h"
#include "cni/network.h"
#include "cri/pod_users.h"
#include "cri/runtime_impl.h"
#include "cri/verbose.h"
#include "sys/mount.h"

namespace gantry::cri {
namespace {

boost::json::array json_list(const std::vector<std::string>& texts) {
  boost::json::array list;
  for (const auto& text : texts) list.emplace_back(text);
  return list;
}

}  // namespace

Runtime::Runtime(Node& node)
    : node_(node),
      openings_(node.loop),
      store_(node.database),
      maker_(node),
      pool_(node, maker_),
      apparmor_(node.loop, node.host.has_apparmor),
      run_flights_(node.loop),
      create_flights_(node.loop),
      flights_(node.loop),
      range_turn_(node.loop),
      range_(node.network.range()) {}

std::unique_ptr<NodeRuntime> make_runtime(Node& node) { return std::make_unique<Runtime>(node); }

Task<> Runtime::drain() {
  co_await node_.plugins.stop();
  co_await pool_.drain();
  co_await maker_.drain();
}

Task<Result<v1::VersionResponse>> Runtime::version(v1::VersionRequest) {
  v1::VersionResponse response;
  response.set_version("0.1.0");  // of the kubelet's runtime API, the same in every runtime
  response.set_runtime_name("gantry");
  response.set_runtime_version(node_.version);
  response.set_runtime_api_version("v1");
  co_return response;
}

Task<Result<v1::RuntimeConfigResponse>> Runtime::runtime_config(v1::RuntimeConfigRequest) {
  v1::RuntimeConfigResponse response;
  response.mutable_linux()->set_cgroup_driver(node_.cgroup_driver == cgroups::DriverKind::kSystemd ? v1::SYSTEMD
                                                                                                   : v1::CGROUPFS);
  co_return response;
}

// The kernel is asked, once.
Task<Features> Runtime::probe_features() {
  if (features_) co_return *features_;
  Features found;
  auto refuse = [&found, this](const Error& error) {
    log::warning("pods can't have user namespaces", {{"error", error}});
    // It may have been the template that was not there; that is made anew.
    if (error.code() != Code::kUnavailable) features_ = found;
    return found;
  };
  auto store = sys::clone_mount(node_.images.store_dir(), "", sys::Recursive::kNo);
  if (!store) co_return refuse(store.error());
  found.recursive_read_only = sys::set_attributes(*store, "", sys::MountAttr::kReadOnly, sys::MountAttr::kNone,
                                                  sys::Propagation::kUnchanged, sys::Recursive::kYes)
                                  .has_value();
  // As a kubelet gives them.
  constexpr std::uint32_t kIds = 65536;
  auto users = co_await node_.shims.user_namespace({{{0, kIds, kIds}}, {{0, kIds, kIds}}});
  if (!users) co_return refuse(users.error());
  auto mapped = map_mount_ids(*store, node_.images.store_dir(), *users, "the image store");
  if (!mapped) co_return refuse(mapped.error());
  found.user_namespaces = true;
  features_ = found;
  co_return found;
}

Task<Result<v1::StatusResponse>> Runtime::status(v1::StatusRequest request) {
  v1::StatusResponse response;
  auto* ready = response.mutable_status()->add_conditions();
  ready->set_type("RuntimeReady");
  ready->set_status(true);
  auto* network = response.mutable_status()->add_conditions();
  network->set_type("NetworkReady");
  Status connects = node_.uses_cni ? co_await node_.cni->ready() : Status();
  if (!node_.uses_cni && !range_) connects = no_range();
  if (node_.network_problem) connects = std::unexpected(*node_.network_problem);
  network->set_status(connects.has_value());
  if (!connects) {
    network->set_reason("NetworkPluginNotReady");
    network->set_message(connects.error().message());
  }
  Features features = co_await probe_features();
  for (const char* name : {"", "gantry"}) {
    auto* handler = response.add_runtime_handlers();
    handler->set_name(name);
    handler->mutable_features()->set_recursive_read_only_mounts(features.recursive_read_only);
    handler->mutable_features()->set_user_namespaces(features.user_namespaces);
  }
  for (const auto& each : node_.handlers) {
    auto* handler = response.add_runtime_handlers();
    handler->set_name(each.name);
    auto known = handler_features_.find(each.name);
    const Features theirs = known != handler_features_.end() ? known->second : Features();
    handler->mutable_features()->set_recursive_read_only_mounts(theirs.recursive_read_only);
    handler->mutable_features()->set_user_namespaces(theirs.user_namespaces);
  }
  response.mutable_features()->set_supplemental_groups_policy(true);
  if (!request.verbose()) co_return response;
  // Not "stateDir": by that containerd names the folder that its containers' roots are mounted beneath, and who wants
  // to know whether their ids can be mapped asks of its file system. Here that is the one of rootDir.
  boost::json::object config{{"runDir", node_.folders.layout().run()}, {"rootDir", node_.folders.layout().lib()},
                             {"cgroupRoot", node_.cgroup_root},        {"network", node_.uses_cni ? "cni" : "builtin"},
                             {"podCIDRs", json_list(pod_cidrs_)},      {"instance", node_.instance.id}};
  if (!node_.uses_cni) config["podRange"] = range_ ? range_->to_string() : "";
  (*response.mutable_info())["config"] = boost::json::serialize(config);
  auto problems = json_list(problems_);
  for (const auto& [id, sandbox] : sandboxes_) {
    if (auto reachable = need_reachable(*sandbox); !reachable) problems.emplace_back(reachable.error().message());
  }
  boost::json::object state{{"sandboxes", sandboxes_.size()},
                            {"containers", containers_.size()},
                            {"pool", pool_.ready()},
                            {"cgroups", node_.cgroups.hierarchy().describe()},
                            {"problems", std::move(problems)}};
  (*response.mutable_info())["state"] = boost::json::serialize(state);
  co_return response;
}

// What CNI's plugins say to CHECK.
Task<std::string> Runtime::verbose_network(SandboxPtr sandbox) {
  auto turn = co_await sandbox->turn.acquire();
  boost::json::object told{{"check", "it is not ready"}};
  if (sandbox->state == SandboxState::kReady) {
    auto checked = co_await node_.cni->check(sandbox->id());
    told["check"] = checked ? "ok" : checked.error().message();
  }
  co_return boost::json::serialize(told);
}

Task<Result<v1::PodSandboxStatusResponse>> Runtime::pod_sandbox_status(v1::PodSandboxStatusRequest request) {
  auto found = need_sandbox(request.pod_sandbox_id());
  if (!found) co_return std::unexpected(std::move(found.error()));
  const Sandbox& sandbox = **found;
  v1::PodSandboxStatusResponse response;
  *response.mutable_status() = sandbox.status;
  // For kubelet with EventedPLEG: the same moment's, and when that was. In events its clock is the same.
  for (const auto& container : containers_of(sandbox.id())) *response.add_containers_statuses() = container->status;
  response.set_timestamp(now());
  if (!request.verbose()) co_return response;
  (*response.mutable_info())["info"] = verbose_info(sandbox);
  if (node_.uses_cni && sandbox.kind().own_net) (*response.mutable_info())["cni"] = co_await verbose_network(*found);
  co_return response;
}

Task<Result<v1::ContainerStatusResponse>> Runtime::container_status(v1::ContainerStatusRequest request) {
  auto found = need_container(request.container_id());
  if (!found) co_return std::unexpected(std::move(found.error()));
  const Container& container = **found;
  v1::ContainerStatusResponse response;
  *response.mutable_status() = container.status;
  if (!request.verbose()) co_return response;
  auto sandbox = sandboxes_.find(container.sandbox_id);
  const bool lives = sandbox != sandboxes_.end() && sandbox->second->shim && sandbox->second->shim->is_alive();
  (*response.mutable_info())["info"] = verbose_info(container, lives ? sandbox->second->shim->pid() : 0);
  co_return response;
}

}  // namespace gantry::cri

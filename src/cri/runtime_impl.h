// SPDX-License-Identifier: Apache-2.0
// The one implementation of RuntimeService for this node. Its parts, each in a file: sandbox.cc, container.cc,
// start.cc, stop.cc, exec.cc, checkpoint.cc, restore.cc, stats.cc, pod_stats.cc, status.cc, pod_range.cc, plugins.cc,
// events.cc, recovery.cc, recover_strays.cc.
//
// Order of locks: a sandbox's turn before a container's. Who waits for a container's end holds neither container's
// turn.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/hanging_calls.h"
#include "cgroups/device_filter.h"
#include "cri/event_feed.h"
#include "cri/handlers.h"
#include "cri/ids.h"
#include "cri/metrics.h"
#include "cri/object_table.h"
#include "cri/objects.h"
#include "cri/runtime.h"
#include "cri/sandbox_maker.h"
#include "cri/sandbox_pool.h"
#include "cri/security_modules.h"
#include "cri/state_store.h"
#include "cri/sync.h"
#include "nri/plugins.h"
#include "runtime/oci/config.h"

namespace gantry::cri {

namespace api = ::nri::pkg::api::v1alpha1;

using SandboxPtr = std::shared_ptr<Sandbox>;
using ContainerPtr = std::shared_ptr<Container>;

struct Adjusted;
struct LaunchRequest;
struct Launch;

// What this kernel, on the image store's file system, can do.
struct Features {
  bool recursive_read_only = false, user_namespaces = false;
};

class Runtime final : public NodeRuntime {
 public:
  explicit Runtime(Node& node);

  Task<Status> recover() override;
  Task<> drain() override;
  void set_handlers(std::vector<RuntimeHandler> handlers) override;

  Task<Result<v1::VersionResponse>> version(v1::VersionRequest) override;
  Task<Result<v1::StatusResponse>> status(v1::StatusRequest) override;
  Task<Result<v1::RuntimeConfigResponse>> runtime_config(v1::RuntimeConfigRequest) override;
  Task<Result<v1::UpdateRuntimeConfigResponse>> update_runtime_config(v1::UpdateRuntimeConfigRequest) override;

  Task<Result<v1::RunPodSandboxResponse>> run_pod_sandbox(v1::RunPodSandboxRequest) override;
  Task<Result<v1::StopPodSandboxResponse>> stop_pod_sandbox(v1::StopPodSandboxRequest) override;
  Task<Result<v1::RemovePodSandboxResponse>> remove_pod_sandbox(v1::RemovePodSandboxRequest) override;
  Task<Result<v1::PodSandboxStatusResponse>> pod_sandbox_status(v1::PodSandboxStatusRequest) override;
  Task<Result<v1::ListPodSandboxResponse>> list_pod_sandbox(v1::ListPodSandboxRequest) override;

  Task<Result<v1::CreateContainerResponse>> create_container(v1::CreateContainerRequest) override;
  Task<Result<v1::StartContainerResponse>> start_container(v1::StartContainerRequest) override;
  Task<Result<v1::StopContainerResponse>> stop_container(v1::StopContainerRequest) override;
  Task<Result<v1::RemoveContainerResponse>> remove_container(v1::RemoveContainerRequest) override;
  Task<Result<v1::ListContainersResponse>> list_containers(v1::ListContainersRequest) override;
  Task<Result<v1::ContainerStatusResponse>> container_status(v1::ContainerStatusRequest) override;
  Task<Result<v1::ContainerStatsResponse>> container_stats(v1::ContainerStatsRequest) override;
  Task<Result<v1::ListContainerStatsResponse>> list_container_stats(v1::ListContainerStatsRequest) override;
  Task<Result<v1::PodSandboxStatsResponse>> pod_sandbox_stats(v1::PodSandboxStatsRequest) override;
  Task<Result<v1::ListPodSandboxStatsResponse>> list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest) override;
  Task<Result<v1::ListMetricDescriptorsResponse>> list_metric_descriptors(v1::ListMetricDescriptorsRequest) override;
  Task<Result<v1::ListPodSandboxMetricsResponse>> list_pod_sandbox_metrics(v1::ListPodSandboxMetricsRequest) override;
  Task<Result<v1::ReopenContainerLogResponse>> reopen_container_log(v1::ReopenContainerLogRequest) override;

  Task<Result<v1::ExecSyncResponse>> exec_sync(v1::ExecSyncRequest, std::shared_ptr<Event> over) override;
  Task<Result<v1::ExecResponse>> exec(v1::ExecRequest) override;
  Task<Result<v1::AttachResponse>> attach(v1::AttachRequest) override;
  Task<Result<v1::UpdateContainerResourcesResponse>> update_container_resources(
      v1::UpdateContainerResourcesRequest) override;
  Task<Result<v1::UpdatePodSandboxResourcesResponse>> update_pod_sandbox_resources(
      v1::UpdatePodSandboxResourcesRequest) override;
  Task<Result<v1::CheckpointContainerResponse>> checkpoint_container(v1::CheckpointContainerRequest,
                                                                     std::shared_ptr<Event> over) override;
  Task<Result<v1::PortForwardResponse>> port_forward(v1::PortForwardRequest) override;

  void observe(Observer observer) override { observers_.push_back(std::move(observer)); }
  Task<Status> get_container_events(v1::GetEventsRequest, EventTaker take, std::shared_ptr<Event> over) override;

  // ---- for the sessions of exec.cc, attach.cc and port_forward.cc
  struct ExecEnds {
    OwnFd in, out, err;  // the process's
    Duration launch_limit = shim::kLaunchLimit;
  };
  Task<Result<std::unique_ptr<shim::Client::Exec>>> start_exec(std::string container_id,
                                                               std::vector<std::string> command, bool terminal,
                                                               ExecEnds ends);
  // Sandboxes whose shim lives and can be asked: that of a running container, and a ready one.
  Result<SandboxPtr> sandbox_of_running(const ContainerPtr& container) const;
  Result<SandboxPtr> ready_sandbox(std::string_view id) const;
  Result<ContainerPtr> running_container(std::string_view id) const;
  // Of an error of a shim: a shim that closed its connection may have ended with its container.
  Error told_of(const std::string& container_id, Error error) const;
  Loop& loop() { return node_.loop; }

 private:
  // ---- sandbox.cc
  Task<Result<v1::RunPodSandboxResponse>> do_run(v1::RunPodSandboxRequest request);
  Task<Status> make_sandbox(SandboxPtr sandbox);
  Task<Result<std::vector<std::string>>> attach_cni(SandboxPtr sandbox);
  Task<Status> prepare_sandbox(SandboxPtr sandbox);
  Task<Status> map_host_ports(SandboxPtr sandbox);
  Task<Status> need_scope(SandboxPtr sandbox);
  Task<Status> write_files(SandboxPtr sandbox);
  Task<> undo_sandbox(SandboxPtr sandbox);
  Task<> insist(std::string what, std::string id, std::function<Task<Status>()> step);
  Task<Status> do_stop_sandbox(SandboxPtr sandbox);
  Task<Status> do_remove_sandbox(SandboxPtr sandbox);
  Task<Status> release_sandbox(SandboxPtr sandbox);
  Task<Status> forget_sandbox(SandboxPtr sandbox);
  SandboxPtr sandbox_of(const v1::PodSandboxMetadata& metadata) const;
  void watch_shim(const SandboxPtr& sandbox);
  Task<> shim_ended(SandboxPtr sandbox);
  Task<> shim_lost(SandboxPtr sandbox);
  std::vector<ContainerPtr> containers_of(const std::string& sandbox_id) const;

  // ---- container.cc
  Task<Result<v1::CreateContainerResponse>> do_create(v1::CreateContainerRequest request, SandboxPtr sandbox);
  Task<Status> fill_container(ContainerPtr container, SandboxPtr sandbox, std::string apparmor_profile);
  Task<Status> find_volumes(ContainerPtr container);
  // What its CDI devices give it, and then `more`, put into it; also as the text for its record.
  Task<Result<std::string>> find_cdi_devices(ContainerPtr container, std::string more);
  Task<Status> prepare_container(ContainerPtr container, SandboxPtr sandbox);
  Task<Status> prepare_with(ContainerPtr container, SandboxPtr sandbox, images::ImageConfig image_config,
                            std::string apparmor_profile);
  Task<> undo_container(ContainerPtr container);
  Task<Status> do_remove_container(ContainerPtr container, bool pod_goes);
  Task<Status> forget_container(ContainerPtr container);
  ContainerPtr container_of(const std::string& sandbox_id, const v1::ContainerMetadata& metadata) const;

  // ---- start.cc
  Task<Status> do_start(ContainerPtr container);
  Task<Result<shim::ContainerState>> launch_or_find(ContainerPtr container, SandboxPtr sandbox);
  Task<> container_launched(ContainerPtr container, shim::LaunchedEvent event);
  // With the container's turn held.
  void set_running(ContainerPtr container, std::int32_t pid, std::int64_t started_at);
  Task<Result<shim::StartedAnswer>> launch(ContainerPtr container, SandboxPtr sandbox);
  static Status need_wanted(const Container& container);
  Task<Status> open_users(const Sandbox& sandbox, LaunchRequest& request);
  Task<Result<std::vector<MountSource>>> open_mount_sources(ContainerPtr container);
  Task<Result<OwnFd>> make_container_cgroup(ContainerPtr container, std::vector<cgroups::DeviceRule> device_rules);

  // ---- handler_launch.cc
  Status check_handler(const v1::RunPodSandboxRequest& request) const;
  // Of a pod that has one.
  Result<RuntimeHandler> handler_of(const Sandbox& sandbox) const;
  Result<std::vector<std::pair<runtime::oci::NamespaceKind, std::string>>> container_namespaces(
      const Container& container, const Sandbox& sandbox, const runtime::Plan& plan, runtime::PidMode pid) const;
  Result<shim::Client::ByRuntime> runtime_call(const RuntimeHandler& handler, const Sandbox& sandbox,
                                               const std::string& bundle, const std::string& cgroup) const;
  void end_call(const Sandbox& sandbox, const std::string& cgroup);
  Task<Result<shim::StartedAnswer>> launch_by_handler(ContainerPtr container, SandboxPtr sandbox, Launch opened,
                                                      runtime::Plan plan, OwnFd cgroup);
  Task<Result<shim::StartedAnswer>> try_launch_by_handler(RuntimeHandler handler, ContainerPtr container,
                                                          SandboxPtr sandbox, Launch opened, runtime::Plan plan,
                                                          OwnFd cgroup);
  Task<Result<std::unique_ptr<shim::Client::Exec>>> exec_by_handler(ContainerPtr container, SandboxPtr sandbox,
                                                                    runtime::Plan plan, ExecEnds ends);
  Task<> end_by_handler(ContainerPtr container, SandboxPtr sandbox);
  // Before its cgroup is removed; of a pod without a handler nothing.
  Task<> end_by_handler(ContainerPtr container);
  Task<> learn_handlers();

  // ---- stop.cc
  Task<Status> stop(ContainerPtr container, Duration grace);
  Task<> end_launch(ContainerPtr container);
  bool has_processes(const Container& container) const;
  Task<> container_exited(ContainerPtr container, shim::ExitedEvent event);
  // With the container's turn held.
  Task<> finish(ContainerPtr container, shim::ExitedEvent event);
  Task<> finish_unknown(ContainerPtr container, std::string message);

  // Kills what is in it. No path: nothing to remove.
  Task<Status> remove_cgroup(std::string path);

  // ---- exec.cc
  Task<Status> need_process(ContainerPtr container);

  // ---- update.cc
  Status put_in_force(const ContainerPtr& container, const cgroups::Cgroup& cgroup,
                      const cgroups::Resources& resources);
  Status update(const ContainerPtr& container, const v1::LinuxContainerResources& wanted, cgroups::Resources resources);

  // ---- checkpoint.cc
  Task<Status> checkpoint(ContainerPtr container, std::string criu, std::string folder, std::string name,
                          std::int64_t timeout, std::shared_ptr<Event> over);
  // Of a container, or of all of a pod, when `container_id` is empty.
  Task<> clear_checkpoints(std::string sandbox_id, std::string container_id);

  // ---- restore.cc
  // Of a container's root. When its image is a checkpoint, that is unpacked into the pod's folder, and it is the one
  // which the container was made from.
  Task<Result<images::Image>> find_image(ContainerPtr container, SandboxPtr sandbox);
  // `image_id`: of an image that is one; "" for an archive.
  Task<Result<images::Image>> take_checkpoint(ContainerPtr container, SandboxPtr sandbox, std::string image_id);
  // These do nothing for any other container: what had been changed in the root, into its root; and the end of it.
  Task<Status> restore_root(ContainerPtr container);
  Task<> drop_checkpoint(ContainerPtr container);

  // ---- stats.cc
  Task<Status> read_cgroup(std::string path, Samples& kept);
  Task<Status> read_layer(ContainerPtr container);
  Task<Status> read_numbers(ContainerPtr container);
  Task<Result<v1::ContainerStats>> stats_of(ContainerPtr container);
  std::vector<ContainerPtr> running_containers(const std::string& sandbox_id) const;

  // ---- pod_stats.cc
  std::vector<SandboxPtr> ready_sandboxes() const;
  Task<Result<std::optional<std::vector<netns::LinkCounters>>>> read_links(SandboxPtr sandbox);
  Task<Result<v1::PodSandboxStats>> stats_of(SandboxPtr sandbox);
  Task<Status> add_metrics(ContainerPtr container, MetricSubject subject, v1::ContainerMetrics& to);
  Task<Result<v1::PodSandboxMetrics>> metrics_of(SandboxPtr sandbox);

  // ---- recovery.cc
  void load_rows(StateRows rows);
  Task<Status> recover_roots();
  Task<Status> settle_network(const StateRows& rows, bool same_boot);
  void recover_foreign();
  void take_back_intents();
  Task<> take_back(SandboxPtr sandbox, std::vector<ContainerPtr> containers);
  Task<> take_back(std::vector<ContainerPtr> containers);
  std::vector<ContainerPtr> take_out_intents(const std::string& sandbox_id);
  struct Arrivals;
  Task<> recover_sandbox(SandboxPtr sandbox, bool same_boot, std::shared_ptr<Arrivals> arrivals);
  Task<bool> try_recover(SandboxPtr sandbox, bool same_boot);
  void read_records(FdRef folder, Sandbox& sandbox);
  Task<Status> take_over(SandboxPtr sandbox);
  Task<Status> reconnect(SandboxPtr sandbox);
  Task<bool> connected_again(SandboxPtr sandbox);
  bool is_dead(const Error& error, const Sandbox& sandbox) const;
  Task<> recover_live(shim::StateAnswer state);
  bool was_started(const Container& container) const;
  Task<> recover_dead(SandboxPtr sandbox, std::string message);
  Task<> release_dead(SandboxPtr sandbox, Lock::Held turn);
  Task<> recover_container(ContainerPtr container, bool same_boot);

  // ---- recover_strays.cc
  Task<> recover_strays();
  Task<> recover_folder(std::string id);
  Task<Status> refuse_beside_stranger(v1::PodSandboxMetadata metadata);
  Task<> end_stray(std::string id);
  Task<> recover_links();
  Task<> recover_cni();
  Task<> collect_cni();
  bool is_foreign() const { return !node_.instance.stranger.empty(); }
  void recover_cgroups();
  void recover_scopes(const cgroups::Cgroup& slice, int levels);
  bool is_known(const std::string& sandbox_id) const;
  void report(std::string problem);

  // ---- pod_range.cc
  Task<Status> take_ranges(std::vector<netns::Cidr> ranges);
  Task<Status> use_range(netns::Cidr range);
  Status need_nobody_outside(const netns::Cidr& range) const;
  // Why pods have no network.
  Status no_range() const;

  // ---- status.cc
  Task<Features> probe_features();
  Task<std::string> verbose_network(SandboxPtr sandbox);

  // ---- plugins.cc
  bool has_plugins() const;
  Task<> start_plugins();
  // What a plugin answers to these as an error is the caller's to deal with.
  Task<Status> tell_plugins(nri::Happening happening, SandboxPtr sandbox);
  Task<Status> tell_plugins(nri::Happening happening, ContainerPtr container);
  // The same, where nothing depends on it: nobody waits, and an error is logged.
  template <typename Pointer>
  void tell_plugins_soon(nri::Happening happening, const Pointer& of) {
    if (has_plugins()) node_.loop.spawn(log_plugins(tell_plugins(happening, of), of->id()));
  }
  Task<> log_plugins(Task<Status> telling, std::string id);
  // What they want of a container that is being made, in its configuration.
  Task<Status> ask_plugins(ContainerPtr container, SandboxPtr sandbox, Adjusted& adjusted);
  Task<Result<v1::LinuxContainerResources>> ask_plugins(ContainerPtr container, v1::LinuxContainerResources wanted);
  Task<Status> ask_plugins(SandboxPtr sandbox, v1::UpdatePodSandboxResourcesRequest request);
  void tell_plugins_of_end(const ContainerPtr& container);
  Task<> end_for_plugins(Task<Result<std::unique_ptr<api::UpdateContainersRequest>>> asking, std::string id);
  std::shared_ptr<const api::Container> message_of(const Container& container) const;
  Task<std::unique_ptr<api::UpdateContainersResponse>> update_for_plugins(
      std::unique_ptr<api::UpdateContainersRequest> request);
  Task<Status> update_for_plugin(std::string id, v1::LinuxContainerResources wanted);

  // ---- events.cc
  void notify(v1::ContainerEventType type, const Sandbox& sandbox);
  void notify(v1::ContainerEventType type, const Container& container);
  void publish(v1::ContainerEventResponse event, const std::string& sandbox_id);

  // kFailedPrecondition when the store is another node's: nothing is changed then.
  Status need_own_store() const;
  // kUnavailable while its shim can't be asked anything.
  Status need_reachable(const Sandbox& sandbox) const;
  Status need_reachable(const Container& container) const;

  // Null when no object has the id.
  Result<SandboxPtr> find_sandbox(std::string_view id) const {
    return find_by_id(sandboxes_.all(), id, "pod sandbox id");
  }
  Result<ContainerPtr> find_container(std::string_view id) const {
    return find_by_id(containers_.all(), id, "container id");
  }
  // kNotFound when no object has it.
  Result<SandboxPtr> need_sandbox(std::string_view id) const;
  Result<ContainerPtr> need_container(std::string_view id) const;
  // Records the object; a failure is logged and returned.
  Task<Status> record(SandboxPtr sandbox);
  Task<Status> record(ContainerPtr container);
  // As it is now, before what is recorded later; nobody waits for it.
  template <typename Pointer>
  void record_soon(Pointer of) {
    node_.loop.spawn([](Task<Status> recording) -> Task<> { (void)co_await std::move(recording); }(record(of)));
  }

  Node& node_;
  HangingCalls openings_;  // of paths of the host
  StateStore store_;
  SandboxMaker maker_;
  SandboxPool pool_;
  runtime::SeccompCache seccomp_;
  AppArmor apparmor_;
  std::optional<Features> features_;
  std::map<std::string, Features> handler_features_;  // by name; not there: not known yet
  cgroups::DeviceFilters device_filters_;
  ObjectTable<Sandbox> sandboxes_;
  ObjectTable<Container> containers_;
  std::set<ContainerPtr> creating_;  // on their way into it: plugins that come meanwhile are told of them
  Flights<Result<v1::RunPodSandboxResponse>> run_flights_;
  Flights<Result<v1::CreateContainerResponse>> create_flights_;
  Flights<Status> flights_;  // stop, remove and start, by their name and the object's id; and take_ranges()
  std::vector<Observer> observers_;
  EventFeed events_;
  // Of pods that live, or did, and that the store does not know: namespace/name to sandbox id.
  std::map<std::string, std::string> strangers_;
  std::vector<std::string> pod_cidrs_;             // as the client last said
  Lock range_turn_;                                // for what is below
  std::optional<netns::Cidr> range_;               // the built-in network's
  std::optional<Error> range_refused_;             // why the last one that was named is not
  std::string foreign_;                            // why nothing may be changed; empty: it may
  std::vector<std::string> problems_;              // found by recovery, for Status
  std::map<std::string, SandboxPtr> taking_back_;  // what a crash left half made or half removed: not strays
};

}  // namespace gantry::cri

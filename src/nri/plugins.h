// SPDX-License-Identifier: Apache-2.0
// The plugins of the Node Resource Interface (github.com/containerd/nri, its protocol of version 0.12): programs of the
// administrator's that are told of pods and containers, and may change containers before they are made and limits
// later. They come by a socket, or are programs in a folder, which are started with gantryd.
//
// Requests go to one plugin after the other, in the order of their index, and one request at a time. A plugin that
// does not answer within the limit, sends what is no message or goes away is dropped, and the request goes on without
// it, unless the plugin itself asked for something else (FailurePolicy). What a plugin answers as an error is the
// request's error. Loop thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/lock.h"
#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"

namespace nri::pkg::api::v1alpha1 {
class Container;
class CreateContainerRequest;
class CreateContainerResponse;
class PodSandbox;
class SynchronizeRequest;
class UpdateContainerRequest;
class UpdateContainersRequest;
class UpdateContainersResponse;
class UpdatePodSandboxRequest;
}  // namespace nri::pkg::api::v1alpha1

namespace gantry::nri {

namespace api = ::nri::pkg::api::v1alpha1;

struct Plugin;
struct PluginProgram;

// What plugins are told that has no answer; the interface's numbers.
enum class Happening : int {
  kPodRun = 1,
  kPodStopped = 2,
  kPodRemoved = 3,
  kContainerCreated = 5,
  kContainerStarts = 6,
  kContainerStarted = 7,
  kContainerUpdated = 9,
  kContainerRemoved = 11,
  kPodUpdated = 13,
};

struct Options {
  std::string socket;  // "": plugins don't come by themselves
  std::string plugins_folder, config_folder;
  Duration registration_limit = std::chrono::seconds(5), request_limit = std::chrono::seconds(2);
  std::string version;  // of the runtime
};

// What plugins ask of the runtime.
struct Host {
  // All pods and containers that there are now.
  std::function<void(api::SynchronizeRequest&)> list;
  // Changes limits; those that could not be changed are answered.
  std::function<Task<std::unique_ptr<api::UpdateContainersResponse>>(std::unique_ptr<api::UpdateContainersRequest>)>
      update;
};

class Plugins {
 public:
  Plugins(Loop& loop, Options options);
  ~Plugins();

  // Starts the programs of the folder, returns when each of them is ready or was given up, and listens from then on. A
  // socket at which somebody else answers is left to him. Failures are logged: a runtime without plugins works.
  Task<> start(Host host);
  // Tells the plugins, ends those that were started, and takes no more.
  Task<> stop();

  // Then nothing else needs to be asked, and nothing awaited.
  bool is_empty() const { return active_.empty(); }

  // Happenings of pods have no container.
  Task<Status> tell(Happening happening, std::shared_ptr<const api::PodSandbox> pod,
                    std::shared_ptr<const api::Container> container = nullptr);
  Task<Status> update_pod(std::shared_ptr<const api::UpdatePodSandboxRequest> request);
  // What all of them want of a container; it may be refused by any.
  Task<Result<std::unique_ptr<api::CreateContainerResponse>>> create(
      std::unique_ptr<api::CreateContainerRequest> request);
  // New limits: the request's own are as plugins have left them, beside it those of other containers.
  struct Update {
    std::unique_ptr<api::UpdateContainerRequest> request;
    std::unique_ptr<api::UpdateContainersRequest> others;
  };
  Task<Result<Update>> update(std::unique_ptr<api::UpdateContainerRequest> request);
  // A container has ended: limits of others.
  Task<Result<std::unique_ptr<api::UpdateContainersRequest>>> stop_container(
      std::shared_ptr<const api::PodSandbox> pod, std::shared_ptr<const api::Container> container);

 private:
  using PluginPtr = std::shared_ptr<Plugin>;

  Status listen();
  Task<> accept();
  void adopt(const PluginPtr& plugin, SocketFd socket);
  void ended(Plugin& plugin);
  Task<> launch(PluginProgram program);
  Task<> admit(PluginPtr plugin);
  Task<Status> configure(PluginPtr plugin);
  Task<Status> synchronize(PluginPtr plugin);
  Task<Result<std::string>> serve(std::weak_ptr<Plugin> plugin, std::string service, std::string method,
                                  std::string payload);
  Result<std::string> register_plugin(Plugin& plugin, const std::string& payload);
  // Nothing: go on without the plugin. An error is the request's.
  Task<Result<std::optional<std::string>>> ask(PluginPtr plugin, int event, std::string payload);
  Task<Status> validate(std::vector<PluginPtr> plugins, std::string payload);

  Loop& loop_;
  const Options options_;
  Host host_;
  Lock turn_;
  SocketFd listener_;
  std::unique_ptr<Watch> listener_watch_;
  unsigned connected_ = 0;
  std::vector<PluginPtr> active_;  // in the order of their index
  bool stopped_ = false;
};

}  // namespace gantry::nri

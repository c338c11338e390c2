// SPDX-License-Identifier: Apache-2.0
// The pods' network as other people's programs make it: plugins of CNI, versions 0.1.0 to 1.1.0, run to the letter of
// that specification. One network, the first configuration in its folder, and one interface in a pod, eth0. (Loopback
// is not asked of a plugin: netns::raise_loopback().)
//
// A plugin runs in this process's mount and network namespaces, in a session and a cgroup of its own, with the
// environment of this process, no descriptor but its three streams, and a time limit. What it leaves running when it
// ends is killed. A plugin that outlives its gantryd is in its sandbox's cgroup: the next one waits for its end, or
// kills it when its time is up, and removes the cgroup before it runs another for that sandbox; one that was being
// started and not in its cgroup yet finds it gone, and executes nothing. So whatever was cut short can be taken back,
// and nothing of it comes later.
//
// Attachments are journalled (journal.h): whoever calls attach() keeps a row of its own for the sandbox until detach()
// succeeded, were that in the next process. Errors name the plugin, and its own code and words.
//
// Loop thread; what blocks goes to a Pool, whose number of threads is the number of plugins at a time. Calls for one
// sandbox come one after the other.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/value.h"
#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"
#include "cgroups/driver.h"
#include "cni/answer.h"
#include "cni/journal.h"
#include "cni/network_config.h"
#include "netns/address.h"

namespace gantry::cni {

struct Options {
  std::string config_folder = "/etc/cni/net.d";
  std::vector<std::string> plugin_folders = {"/opt/cni/bin", "/usr/lib/cni"};  // the first that has a plugin counts
  std::string netns_folder = "/run/netns";                                     // where pods' namespaces get a name
  std::chrono::seconds limit{60};                                              // for one plugin
};

// What plugins are told of a pod.
struct PodWords {
  std::string args;         // CNI_ARGS
  api::Value capabilities;  // an object: a value for each capability that is known
};

class Network {
 public:
  // `cgroup`: the folder of the plugins'. `starter` is gantry-shim's program, which begins a plugin inside its cgroup.
  Network(Loop& loop, Pool& pool, db::Database& database, const cgroups::CgroupfsDriver& cgroups, std::string cgroup,
          FdRef starter, Options options);

  // For who uses the network no more: kills plugins of an earlier gantryd.
  Task<Status> end_earlier();

  // Why no pod can be attached now: no configuration, a wrong one, a plugin that is missing, or what a plugin says to
  // STATUS. That all is well is remembered for a few seconds.
  Task<Status> ready();

  // Gives the namespace a name and runs ADD: the addresses of eth0, IPv4's first, of which there is at least one. After
  // a failure detach() is due.
  Task<Result<std::vector<netns::IpAddress>>> attach(std::string sandbox_id, OwnFd netns, PodWords words);
  // Runs DEL, in reverse, and takes the name away. A sandbox that is not attached, or in part only, is fine. On failure
  // all stays as it is and detach() is due again.
  Task<Status> detach(std::string sandbox_id);
  // Runs CHECK; nothing to check is fine.
  Task<Status> check(std::string sandbox_id);

  // Those that are attached, or may be in part.
  Task<Result<std::vector<std::string>>> attached() { return journal_.sandboxes(); }
  // Runs GC: what plugins keep for others than the attached sandboxes, and these more, goes. No attach() begins
  // meanwhile.
  Task<Status> collect(std::vector<std::string> more);

 private:
  struct Chosen {
    NetworkConfig config;
    Version version;
  };
  struct Call {
    std::string command, sandbox_id, netns, args;
  };
  using Output = Result<std::string>;

  Task<Result<Chosen>> choose(std::string scope);
  Task<Result<std::vector<Version>>> versions_of(std::string type, std::string scope);
  Task<Status> ask_ready();
  Task<Status> collect_but(const std::vector<std::string>& valid);
  // One plugin. `scope` is its cgroup's name.
  Task<Output> run(std::string type, std::string scope, Call call, std::string input);
  Task<Output> run_within(const cgroups::Cgroup& cgroup, std::string path, const Call& call, std::string input);
  // Each plugin's turn for an attachment that is journalled.
  Task<Status> run_for(Attachment attachment, std::string command);
  std::string network_scope();
  Task<Status> end_scope(std::string scope);
  Task<Status> end_network_scopes();
  std::string plugin_path() const;

  struct Known {
    std::int64_t device = 0, inode = 0, size = 0, changed_s = 0, changed_ns = 0;
    std::vector<Version> versions;
    bool same_file(const Known& other) const {
      return device == other.device && inode == other.inode && size == other.size && changed_s == other.changed_s &&
             changed_ns == other.changed_ns;
    }
  };
  Loop& loop_;
  Pool& pool_;
  Journal journal_;
  const cgroups::CgroupfsDriver& cgroups_;
  std::string cgroup_;
  FdRef starter_;
  Options options_;
  std::map<std::string, Known> known_;  // by path
  std::uint64_t scopes_ = 0;
  // The last answer to ready(), of which configuration and until when; and who is asking.
  std::string ready_text_;
  std::chrono::steady_clock::time_point ready_until_{};
  std::shared_ptr<Event> asking_;
  Status ready_;
  std::shared_ptr<Event> collecting_;
};

}  // namespace gantry::cni

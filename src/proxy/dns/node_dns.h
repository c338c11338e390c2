// SPDX-License-Identifier: Apache-2.0
// NodeDns: gantryd's side of the node's DNS. It finds the worker that answers (worker.h), or starts one, and tells it
// what the cluster has and which servers know the rest. The worker goes on when gantryd ends; the next gantryd, if it
// is the same program, tells it a whole new set, which takes the old one's place in one step; else it starts one of its
// own, hands it the sockets, and has the former end when it has answered what it was asked. A worker that dies is
// replaced at once: what was asked meanwhile waits in the sockets, which gantryd has, too.
//
// Answered at: the addresses of Service kube-system/kube-dns, as long as that has no endpoint: with one it is somebody
// else's, as any service, and the node takes them from its loopback interface. Owner: main, to the end of the process.
// Loop thread; blocking calls on the Pool.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/loop.h"
#include "base/metrics.h"
#include "base/owned_fd.h"
#include "base/task.h"
#include "proxy/cluster_objects.h"
#include "proxy/dns/feed.h"
#include "proxy/dns/sockets.h"
#include "proxy/dns/zone.h"

namespace gantry::dns {

class NodeDns {
 public:
  struct Options {
    FdRef run;  // the folder of this boot (base/layout.h), open as long as this
    std::string instance;
    std::string domain;       // of the cluster
    std::string resolv_conf;  // of the node: what pods of the policy Default have
    std::string log_name;     // of this program, for ps
    // Where the worker is to be, so that it outlives gantryd's service; and the end of all that is there. Blocking.
    std::function<Status(pid_t)> place;
    std::function<void()> clear_place;
    // The addresses of the Service, as soon as they are known: what pods have in their resolv.conf.
    std::function<void(const std::vector<IpAddress>&)> on_servers;
  };
  // All outlive it; `objects` has not started.
  NodeDns(Loop& loop, Pool& pool, proxy::ClusterObjects& objects, Options options);
  ~NodeDns();
  NodeDns(const NodeDns&) = delete;
  NodeDns& operator=(const NodeDns&) = delete;

  void start();
  // The worker goes on.
  void stop();

  // True of a service ("namespace/name") that this node answers for: its rules lead to the node itself.
  bool is_answered_here(const std::string& service) const;

  // What it has answered, in CoreDNS' words. Loop thread.
  void write_metrics(metrics::Page* page) const;

  // For a gantryd without this: ends a worker that another one left, and takes the addresses away. Blocking.
  static Status end(FdRef run, std::string_view instance);

 private:
  struct Link;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gantry::dns

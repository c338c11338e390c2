// SPDX-License-Identifier: Apache-2.0
// What the client's calls and watches share: the members, which of them is asked, and what is under way.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/store/etcd/etcd_client.h"

namespace grpc {
class Channel;
class ClientContext;
class Status;
}  // namespace grpc

namespace gantry::control {

// What a failed call means to us.
Error error_of(const grpc::Status& status, const std::string& endpoint);
// Metadata that every call bears.
void require_leader(grpc::ClientContext& context);

struct EtcdEndpoint {
  std::string url;
  std::shared_ptr<grpc::Channel> channel;
};

struct EtcdClient::Inside {
  Inside(EtcdOptions o, std::vector<EtcdEndpoint> e) : options(std::move(o)), endpoints(std::move(e)) {}

  const EtcdOptions options;
  const std::vector<EtcdEndpoint> endpoints;

  // The member to ask: the one that served last, or the next that is not known to be down.
  std::size_t choose();
  void has_failed(std::size_t endpoint);

  // Calls and watches under way; `cancel` ends one. False: the client is being destroyed.
  bool begin(const void* call, std::function<void()> cancel);
  void end(const void* call);
  void cancel_all();  // and waits for their ends

  struct SharedLease {
    std::int64_t id = 0;
    std::chrono::steady_clock::time_point granted;
    int uses = 0;
  };
  std::mutex lease_mutex;
  std::unordered_map<std::int64_t, SharedLease> leases;  // by time to live

 private:
  std::atomic<std::size_t> current_ = 0;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::unordered_map<const void*, std::function<void()>> running_;
  bool closing_ = false;
};

// A watch as a stream of its own (etcd_watch.cc).
std::unique_ptr<Watcher> watch_etcd(std::shared_ptr<EtcdClient::Inside> inside, Loop& here, std::string prefix,
                                    std::int64_t after);

}  // namespace gantry::control

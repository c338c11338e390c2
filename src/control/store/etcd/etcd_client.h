// SPDX-License-Identifier: Apache-2.0
// Calls to etcd's members: which one is asked, how long, and what its errors mean. gRPC's threads make the calls; tasks
// resume on their loop. Requests and answers are owned by the call, so a task may be dropped.
#pragma once

#include <memory>
#include <string>

#include "control/store/etcd/etcd_store.h"

namespace etcdserverpb {
class CompactionRequest;
class CompactionResponse;
class LeaseGrantRequest;
class LeaseGrantResponse;
class RangeRequest;
class RangeResponse;
class StatusRequest;
class StatusResponse;
class TxnRequest;
class TxnResponse;
}  // namespace etcdserverpb

namespace gantry::control {

template <typename T>
using Reply = Task<Result<std::shared_ptr<const T>>>;

class EtcdClient {
 public:
  static Result<std::shared_ptr<EtcdClient>> make(EtcdOptions options);
  ~EtcdClient();
  // Ends calls and watches with kCancelled, now and later, and waits for their ends.
  void close();

  Reply<etcdserverpb::RangeResponse> range(Loop& here, etcdserverpb::RangeRequest request);
  Reply<etcdserverpb::TxnResponse> txn(Loop& here, etcdserverpb::TxnRequest request);
  Reply<etcdserverpb::CompactionResponse> compact(Loop& here, etcdserverpb::CompactionRequest request);
  Reply<etcdserverpb::StatusResponse> status(Loop& here, etcdserverpb::StatusRequest request);
  // A lease for entries that live `ttl`; entries of about the same time share one.
  Task<Result<std::int64_t>> lease(Loop& here, std::chrono::seconds ttl);
  std::unique_ptr<Watcher> watch(Loop& here, std::string prefix, std::int64_t after);

  struct Inside;

 private:
  explicit EtcdClient(std::shared_ptr<Inside> inside);
  std::shared_ptr<Inside> inside_;
};

}  // namespace gantry::control

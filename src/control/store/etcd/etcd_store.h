// SPDX-License-Identifier: Apache-2.0
// The store in an etcd cluster, by its v3 interface over gRPC: what a control plane of several machines runs on. Keys,
// values and the txn of each write are as upstream's API server has them, so either can serve what the other stored.
//
// Calls go to one endpoint until it fails, then to the next. A read is asked of each in turn; a write is sent once, for
// it may have been done although its answer was lost (kUnavailable). All calls bear `hasleader`, so that a member that
// lost its majority answers with an error and a watch on it ends; a peer that is dead is noticed by keepalives within
// ten seconds.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/store/store.h"

namespace gantry::control {

struct EtcdOptions {
  std::vector<std::string> endpoints;  // "https://10.0.0.1:2379", or http://
  // PEM files, for https. No certificate: the server's is checked, and we show none. No CA: the system's.
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  Duration read_limit = std::chrono::seconds(3);  // for each endpoint that is asked
  Duration write_limit = std::chrono::seconds(10);
  Duration history = std::chrono::minutes(5);  // what is older is compacted, by one of all who use this etcd
};

class EtcdClient;

class EtcdStore final : public Store {
 public:
  // Connects, on the loop `home`, which must outlive the store. kUnimplemented for an etcd that is too old to be asked
  // up to where a watch has come (before 3.4.31 and 3.5.13 its answer may overtake events).
  static Task<Result<std::unique_ptr<EtcdStore>>> open(Loop& home, EtcdOptions options);
  ~EtcdStore() override;

  Task<Result<GetAnswer>> get(Loop& here, std::string key, std::int64_t revision = 0) override;
  Task<Result<ListAnswer>> list(Loop& here, ListRequest request) override;
  Task<Result<std::int64_t>> count(Loop& here, std::string prefix) override;
  Task<Result<std::int64_t>> current_revision(Loop& here) override;
  Task<Result<StoreCounts>> counts(Loop& here) override;
  Task<Result<WriteAnswer>> write(Loop& here, Write write) override;
  std::unique_ptr<Watcher> watch(Loop& here, std::string prefix, std::int64_t after) override;
  Task<Status> compact(Loop& here, std::int64_t revision) override;

 private:
  explicit EtcdStore(std::shared_ptr<EtcdClient> client);
  std::shared_ptr<EtcdClient> client_;
};

}  // namespace gantry::control

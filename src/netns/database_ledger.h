// SPDX-License-Identifier: Apache-2.0
// The AddressLedger in the node's SQLite file, table pod_addresses. It has a connection of its own, so that it can be
// used on PodNetwork's threads; transactions of the store's thread are waited for (base/database.h).
#pragma once

#include <string>

#include "base/database.h"
#include "netns/address_ledger.h"

namespace gantry::netns {

class DatabaseLedger final : public AddressLedger {
 public:
  // `path` is Layout::database(). Errors are db::Connection::open's.
  static Result<DatabaseLedger> open(const std::string& path);

  Result<std::vector<HeldAddress>> load() override;
  Result<std::optional<IpAddress>> last() override;
  Status record(const IpAddress& address, std::string_view sandbox_id) override;
  Status forget(const IpAddress& address) override;
  Result<std::vector<HeldPort>> load_ports() override;
  Status record_ports(std::string_view sandbox_id, const std::vector<HostPort>& ports) override;
  Status forget_ports(std::string_view sandbox_id) override;
  Result<std::optional<Cidr>> range() override;
  Status record_range(const Cidr& range) override;

 private:
  explicit DatabaseLedger(db::Connection connection) : connection_(std::move(connection)) {}
  db::Connection connection_;
};

}  // namespace gantry::netns

// SPDX-License-Identifier: Apache-2.0
#include "netns/database_ledger.h"

#include "absl/strings/str_cat.h"

namespace gantry::netns {
namespace {

// AUTOINCREMENT: a position is never used twice, so the greatest one is the newest record also after deletions.
const db::Schema kSchema{.user = "addresses",
                         .migrations = {R"(
CREATE TABLE pod_addresses (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  address TEXT NOT NULL UNIQUE,
  sandbox_id TEXT NOT NULL
);
)",
                                        R"(
CREATE TABLE pod_address_last (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  address TEXT NOT NULL
);
INSERT INTO pod_address_last SELECT 1, address FROM pod_addresses ORDER BY position DESC LIMIT 1;
)",
                                        R"(
CREATE TABLE pod_host_ports (
  protocol INTEGER NOT NULL,
  host_address TEXT NOT NULL,
  host_port INTEGER NOT NULL,
  sandbox_id TEXT NOT NULL,
  pod_port INTEGER NOT NULL,
  PRIMARY KEY (protocol, host_address, host_port)
) WITHOUT ROWID;
)",
                                        R"(
CREATE TABLE pod_range (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  range TEXT NOT NULL
);
)"}};

// What last() is after the address was recorded.
constexpr std::string_view kSetLast =
    "INSERT INTO pod_address_last (only, address) VALUES (1, ?) "
    "ON CONFLICT (only) DO UPDATE SET address = excluded.address";

std::string text_of(const std::optional<IpAddress>& address) { return address ? address->to_string() : ""; }

Result<HeldPort> held_port(db::Rows& row) {
  HeldPort held;
  held.sandbox_id = row.string(0);
  held.port.protocol = static_cast<Protocol>(row.integer(1));
  if (std::string_view address = row.text(2); !address.empty()) {
    auto parsed = IpAddress::parse(address);
    if (!parsed) return std::unexpected(std::move(parsed.error()).with_code(Code::kDataLoss));
    held.port.host_address = *parsed;
  }
  held.port.host_port = static_cast<std::uint16_t>(row.integer(3));
  held.port.pod_port = static_cast<std::uint16_t>(row.integer(4));
  return held;
}

}  // namespace

Result<DatabaseLedger> DatabaseLedger::open(const std::string& path) {
  auto connection = db::Connection::open(path, std::span(&kSchema, 1));
  if (!connection) return fail_with(std::move(connection.error()), "pod addresses");
  return DatabaseLedger(std::move(*connection));
}

Result<std::vector<HeldAddress>> DatabaseLedger::load() {
  return connection_.read([](db::Connection& connection) -> Result<std::vector<HeldAddress>> {
    auto rows = connection.query("SELECT address, sandbox_id FROM pod_addresses ORDER BY position");
    if (!rows) return fail_with(std::move(rows.error()), "read pod addresses");
    std::vector<HeldAddress> held;
    for (;;) {
      auto more = rows->next();
      if (!more) return fail_with(std::move(more.error()), "read pod addresses");
      if (!*more) return held;
      auto address = IpAddress::parse(rows->text(0));
      if (!address) return fail_with(std::move(address.error()).with_code(Code::kDataLoss), "read pod addresses");
      held.push_back({*address, rows->string(1)});
    }
  });
}

Result<std::optional<IpAddress>> DatabaseLedger::last() {
  return connection_.read([](db::Connection& connection) -> Result<std::optional<IpAddress>> {
    auto rows = connection.query("SELECT address FROM pod_address_last");
    if (!rows) return fail_with(std::move(rows.error()), "read the last pod address");
    auto there = rows->next();
    if (!there) return fail_with(std::move(there.error()), "read the last pod address");
    if (!*there) return std::optional<IpAddress>();
    auto address = IpAddress::parse(rows->text(0));
    if (!address) return fail_with(std::move(address.error()).with_code(Code::kDataLoss), "read the last pod address");
    return std::optional(*address);
  });
}

Status DatabaseLedger::record(const IpAddress& address, std::string_view sandbox_id) {
  std::string text = address.to_string();
  std::string what = absl::StrCat("record address ", text);
  return connection_.write_lazily([&](db::Connection& connection) -> Status {
    auto rows = connection.query("SELECT sandbox_id FROM pod_addresses WHERE address = ?", {text});
    if (!rows) return fail_with(std::move(rows.error()), what);
    auto there = rows->next();
    if (!there) return fail_with(std::move(there.error()), what);
    if (*there) {
      if (rows->text(0) == sandbox_id) return {};
      return fail(Code::kAlreadyExists, absl::StrCat("address ", text, " belongs to sandbox ", rows->string(0)));
    }
    auto added =
        connection.execute("INSERT INTO pod_addresses (address, sandbox_id) VALUES (?, ?)", {text, sandbox_id});
    if (added) added = connection.execute(kSetLast, {text});
    if (!added) return fail_with(std::move(added.error()), what);
    return {};
  });
}

Status DatabaseLedger::forget(const IpAddress& address) {
  std::string text = address.to_string();
  return connection_.write_lazily([&](db::Connection& connection) -> Status {
    auto removed = connection.execute("DELETE FROM pod_addresses WHERE address = ?", {text});
    if (!removed) return fail_with(std::move(removed.error()), absl::StrCat("forget address ", text));
    return {};
  });
}

Result<std::vector<HeldPort>> DatabaseLedger::load_ports() {
  return connection_.read([](db::Connection& connection) -> Result<std::vector<HeldPort>> {
    auto rows = connection.query(
        "SELECT sandbox_id, protocol, host_address, host_port, pod_port FROM pod_host_ports ORDER BY sandbox_id");
    if (!rows) return fail_with(std::move(rows.error()), "read ports of the host");
    std::vector<HeldPort> held;
    for (;;) {
      auto more = rows->next();
      if (!more) return fail_with(std::move(more.error()), "read ports of the host");
      if (!*more) return held;
      auto port = held_port(*rows);
      if (!port) return fail_with(std::move(port.error()), "read ports of the host");
      held.push_back(std::move(*port));
    }
  });
}

Status DatabaseLedger::record_ports(std::string_view sandbox_id, const std::vector<HostPort>& ports) {
  return connection_.write_lazily([&](db::Connection& connection) -> Status {
    for (const HostPort& port : ports) {
      std::string what = absl::StrCat("record ", port.name());
      std::string address = text_of(port.host_address);
      auto protocol = static_cast<std::int64_t>(port.protocol), number = std::int64_t{port.host_port};
      auto rows = connection.query(
          "SELECT sandbox_id FROM pod_host_ports WHERE protocol = ? AND host_address = ? AND host_port = ?",
          {protocol, address, number});
      if (!rows) return fail_with(std::move(rows.error()), what);
      auto there = rows->next();
      if (!there) return fail_with(std::move(there.error()), what);
      if (*there && rows->text(0) != sandbox_id)
        return fail(Code::kAlreadyExists, absl::StrCat(port.name(), " belongs to sandbox ", rows->string(0)));
      auto added = connection.execute(
          "INSERT OR REPLACE INTO pod_host_ports (protocol, host_address, host_port, sandbox_id, pod_port) "
          "VALUES (?, ?, ?, ?, ?)",
          {protocol, address, number, sandbox_id, std::int64_t{port.pod_port}});
      if (!added) return fail_with(std::move(added.error()), what);
    }
    return {};
  });
}

Status DatabaseLedger::forget_ports(std::string_view sandbox_id) {
  return connection_.write_lazily([&](db::Connection& connection) -> Status {
    auto removed = connection.execute("DELETE FROM pod_host_ports WHERE sandbox_id = ?", {sandbox_id});
    if (!removed) return fail_with(std::move(removed.error()), "forget ports of the host");
    return {};
  });
}

Result<std::optional<Cidr>> DatabaseLedger::range() {
  return connection_.read([](db::Connection& connection) -> Result<std::optional<Cidr>> {
    auto rows = connection.query("SELECT range FROM pod_range");
    if (!rows) return fail_with(std::move(rows.error()), "read the pods' range");
    auto there = rows->next();
    if (!there) return fail_with(std::move(there.error()), "read the pods' range");
    if (!*there) return std::optional<Cidr>();
    auto range = Cidr::parse(rows->text(0));
    if (!range) return fail_with(std::move(range.error()).with_code(Code::kDataLoss), "read the pods' range");
    return std::optional(*range);
  });
}

Status DatabaseLedger::record_range(const Cidr& range) {
  std::string text = range.to_string();
  return connection_.write([&](db::Connection& connection) -> Status {
    auto set = connection.execute("INSERT OR REPLACE INTO pod_range (only, range) VALUES (1, ?)", {text});
    if (!set) return fail_with(std::move(set.error()), absl::StrCat("record the pods' range ", text));
    return {};
  });
}

}  // namespace gantry::netns

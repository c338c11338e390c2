// SPDX-License-Identifier: Apache-2.0
#include "control/admission/node_ports.h"

#include <bitset>
#include <random>

#include "api/codec.h"
#include "base/text.h"
#include "kubernetes/core/v1/component.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

using RangeAllocation = k8s::io::api::core::v1::RangeAllocation;

constexpr char kKey[] = "/registry/ranges/servicenodeports";
constexpr std::size_t kCount = kLastNodePort - kFirstNodePort + 1;
constexpr int kAttempts = 64;
// The first ports are chosen last, so that those who ask for one of them find it free.
constexpr std::size_t kKeptForAsking = 86;

std::minstd_rand& random_source() {
  static thread_local std::minstd_rand source(std::random_device{}());
  return source;
}

}  // namespace

struct NodePorts::Ports {
  std::int64_t revision = kAbsent;
  std::bitset<kCount> taken;
};

// The bits are a number, the highest byte first, without zeros before it.
Task<Result<NodePorts::Ports>> NodePorts::read(Loop& here) {
  Result<GetAnswer> answer = co_await store_.get(here, kKey);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  Ports ports;
  if (answer->entry == nullptr) co_return ports;
  RangeAllocation allocation;
  if (Status decoded = api::decode_stored(answer->entry->value, &allocation); !decoded) {
    co_return fail_with(std::move(decoded.error()), kKey);
  }
  ports.revision = answer->entry->mod_revision;
  const std::string& data = allocation.data();
  for (std::size_t bit = 0; bit < std::min(kCount, data.size() * 8); ++bit) {
    const auto byte = static_cast<unsigned char>(data[data.size() - 1 - bit / 8]);
    if ((byte >> (bit % 8) & 1) != 0) ports.taken.set(bit);
  }
  co_return ports;
}

Task<Result<bool>> NodePorts::write(Loop& here, const Ports& ports) {
  std::string data(kCount / 8 + 1, '\0');
  for (std::size_t bit = 0; bit < kCount; ++bit) {
    if (ports.taken.test(bit)) data[data.size() - 1 - bit / 8] |= static_cast<char>(1U << (bit % 8));
  }
  data.erase(0, std::min(data.find_first_not_of('\0'), data.size()));
  RangeAllocation allocation;
  allocation.set_range(cat(kFirstNodePort, "-", kLastNodePort));
  allocation.set_data(data);
  Result<std::string> bytes = api::encode_protobuf(&allocation);
  if (!bytes) co_return std::unexpected(std::move(bytes.error()));
  Result<WriteAnswer> written =
      co_await store_.write(here, Write{.key = kKey, .value = std::move(*bytes), .expected = ports.revision});
  if (!written) co_return std::unexpected(std::move(written.error()));
  co_return written->done;
}

Task<Result<NodePorts::Taken>> NodePorts::take(Loop& here, std::vector<std::int32_t> wanted, std::size_t more,
                                               bool dry_run) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Result<Ports> ports = co_await read(here);
    if (!ports) co_return std::unexpected(std::move(ports.error()));
    for (const std::int32_t port : wanted) {
      const auto bit = static_cast<std::size_t>(port - kFirstNodePort);
      if (ports->taken.test(bit)) co_return Taken{.busy = port};
      ports->taken.set(bit);
    }
    Taken taken;
    const std::size_t start = std::uniform_int_distribution<std::size_t>(kKeptForAsking, kCount - 1)(random_source());
    for (std::size_t i = 0; i < kCount && taken.chosen.size() < more; ++i) {
      const std::size_t bit = (start + i) % kCount;
      if (ports->taken.test(bit)) continue;
      ports->taken.set(bit);
      taken.chosen.push_back(kFirstNodePort + static_cast<std::int32_t>(bit));
    }
    if (taken.chosen.size() < more) co_return Taken{.is_full = true};
    if (dry_run) co_return taken;
    Result<bool> done = co_await write(here, *ports);
    if (!done) co_return std::unexpected(std::move(done.error()));
    if (*done) co_return taken;
  }
  co_return fail(Code::kUnavailable, "node ports: others were faster each time");
}

Task<Status> NodePorts::release(Loop& here, std::vector<std::int32_t> released) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Result<Ports> ports = co_await read(here);
    if (!ports) co_return std::unexpected(std::move(ports.error()));
    for (const std::int32_t port : released) {
      if (port >= kFirstNodePort && port <= kLastNodePort) {
        ports->taken.reset(static_cast<std::size_t>(port - kFirstNodePort));
      }
    }
    Result<bool> done = co_await write(here, *ports);
    if (!done) co_return std::unexpected(std::move(done.error()));
    if (*done) co_return Status();
  }
  co_return fail(Code::kUnavailable, "node ports: others were faster each time");
}

Task<Result<std::set<std::int32_t>>> NodePorts::repair(Loop& here, std::set<std::int32_t> used,
                                                       std::set<std::int32_t> unused) {
  const auto is_ours = [](std::int32_t port) { return port >= kFirstNodePort && port <= kLastNodePort; };
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Result<Ports> ports = co_await read(here);
    if (!ports) co_return std::unexpected(std::move(ports.error()));
    const std::bitset<kCount> before = ports->taken;
    for (const std::int32_t port : unused) {
      if (is_ours(port)) ports->taken.reset(static_cast<std::size_t>(port - kFirstNodePort));
    }
    for (const std::int32_t port : used) {
      if (is_ours(port)) ports->taken.set(static_cast<std::size_t>(port - kFirstNodePort));
    }
    std::set<std::int32_t> unknown;
    for (std::size_t bit = 0; bit < kCount; ++bit) {
      const std::int32_t port = kFirstNodePort + static_cast<std::int32_t>(bit);
      if (ports->taken.test(bit) && !used.contains(port)) unknown.insert(port);
    }
    if (ports->taken == before) co_return unknown;
    Result<bool> done = co_await write(here, *ports);
    if (!done) co_return std::unexpected(std::move(done.error()));
    if (*done) co_return unknown;
  }
  co_return fail(Code::kUnavailable, "node ports: others were faster each time");
}

}  // namespace gantry::control

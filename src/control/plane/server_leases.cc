// SPDX-License-Identifier: Apache-2.0
#include "control/plane/server_leases.h"

#include "api/codec.h"
#include "base/text.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kPrefix[] = "/registry/masterleases/";
constexpr std::chrono::seconds kLife{15};
constexpr std::size_t kMostServers = 1000;

}  // namespace

Task<Result<std::vector<std::string>>> ServerLeases::list(Loop& here) {
  Result<ListAnswer> listed = co_await store_.list(here, {.prefix = kPrefix, .limit = kMostServers});
  if (!listed) co_return std::unexpected(std::move(listed.error()));
  std::vector<std::string> servers;
  for (const EntryPtr& entry : listed->entries) {
    std::string address = entry->key.substr(sizeof kPrefix - 1);
    if (api::parse_ip(address)) servers.push_back(std::move(address));
  }
  co_return std::move(servers);
}

Task<Result<std::vector<std::string>>> ServerLeases::renew(Loop& here) {
  core::Endpoints object;
  object.mutable_metadata()->set_generation(++generation_);
  object.add_subsets()->add_addresses()->set_ip(address_);
  Result<std::string> bytes = api::encode_protobuf(&object);
  if (!bytes) co_return std::unexpected(std::move(bytes.error()));
  Result<WriteAnswer> written = co_await store_.write(
      here, Write{.key = kPrefix + address_, .value = std::move(*bytes), .expected = kAnyRevision, .ttl = kLife});
  if (!written) co_return std::unexpected(std::move(written.error()));
  co_return co_await list(here);
}

Task<Result<std::vector<std::string>>> ServerLeases::leave(Loop& here) {
  Result<WriteAnswer> removed = co_await store_.write(
      here, Write{.key = kPrefix + address_, .value = std::nullopt, .expected = kAnyRevision, .ttl = {}});
  if (!removed) co_return std::unexpected(std::move(removed.error()));
  co_return co_await list(here);
}

}  // namespace gantry::control

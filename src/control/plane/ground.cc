// SPDX-License-Identifier: Apache-2.0
#include "control/plane/ground.h"

#include <time.h>

#include "api/kinds/all.h"
#include "base/log.h"
#include "control/controllers/bootstrap.h"
#include "control/plane/backup.h"
#include "control/store/etcd/etcd_store.h"
#include "control/store/measured_store.h"
#include "control/store/sqlite_store.h"
#include "sys/folders.h"

namespace gantry::control {

namespace {

using Opened = Result<std::unique_ptr<Store>>;

constexpr Duration kFirstPause = std::chrono::milliseconds(200);
constexpr Duration kLongestPause = std::chrono::seconds(5);

// A machine that starts may be quicker than its etcd.
Task<Status> await_etcd(Loop& home, EtcdOptions options, Event& stopping, Opened& opened) {
  for (Duration pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    opened = co_await EtcdStore::open(home, options);
    if (opened || opened.error().code() != Code::kUnavailable) co_return Status();
    log::warning("etcd does not answer, retrying", {{"error", opened.error()}});
    if (co_await stopping.wait_for(pause)) co_return Status();
  }
}

Opened open_store(Loop& home, const PlaneOptions& options, Event& stopping) {
  const StoreOptions& store = options.store;
  if (store.etcd_endpoints.empty()) {
    return SqliteStore::open(sqlite_path(options));
  }
  EtcdOptions etcd{.endpoints = store.etcd_endpoints,
                   .ca_file = store.etcd_ca_file,
                   .certificate_file = store.etcd_certificate_file,
                   .key_file = store.etcd_key_file};
  Opened opened;
  (void)run_to_end(home, await_etcd(home, std::move(etcd), stopping, opened));
  return opened;
}

std::unique_ptr<Store> with_encryption(const api::Kinds& kinds, std::unique_ptr<Store> opened,
                                       const EncryptionConfig& encryption, EncryptedStore** made) {
  std::vector<EncryptedPrefix> prefixes;
  for (const api::Kind& kind : kinds.all()) {
    if (kind.storage.empty() || kind.conversion) continue;
    std::shared_ptr<const ValueKeys> keys = encryption.keys_of(kind.plural, kind.gvk.group);
    if (keys != nullptr) prefixes.push_back({storage_key(kind, "", ""), std::move(keys)});
  }
  if (prefixes.empty()) return opened;
  auto store = std::make_unique<EncryptedStore>(std::move(opened), std::move(prefixes));
  *made = store.get();
  return store;
}

}  // namespace

Ground::Ground(Loop& home, ClusterIdentity made_identity, std::unique_ptr<Store> opened,
               const EncryptionConfig& encryption)
    : identity(std::move(made_identity)),
      kinds(api::all_kinds()),
      store(
          with_encryption(kinds, std::make_unique<MeasuredStore>(std::move(opened), metrics), encryption, &encrypted)),
      objects(kinds, *store),
      caches(home, kinds, *store) {}

std::string sqlite_path(const PlaneOptions& options) {
  return options.store.sqlite_path.empty() ? options.data_dir + "/store.db" : options.store.sqlite_path;
}

IdentityOptions identity_options(const PlaneOptions& options) {
  std::vector<std::string> addresses = host_addresses();
  // Where it is reached, whether or not an interface has that now.
  for (const std::string& own : {options.advertise_address, options.listen.host}) {
    if (!own.empty() && own != "0.0.0.0" && own != "::") addresses.push_back(own);
  }
  std::vector<std::string> names = host_names();
  if (!options.endpoint.host.empty()) {
    (api::parse_ip(options.endpoint.host) ? addresses : names).push_back(options.endpoint.host);
  }
  return {.folder = options.data_dir + "/pki",
          .dns_names = std::move(names),
          .addresses = std::move(addresses),
          .service_address = to_string(kubernetes_address(options.service_networks.front()))};
}

Result<std::unique_ptr<Ground>> make_ground(Loop& home, const PlaneOptions& options, Event& stopping) {
  if (Status made = sys::make_folders(options.data_dir, 0700); !made) return std::unexpected(std::move(made.error()));
  if (Status whole = check_restored(options.data_dir); !whole) return std::unexpected(std::move(whole.error()));
  Result<EncryptionConfig> encryption = EncryptionConfig();
  if (!options.encryption_config_file.empty()) encryption = EncryptionConfig::read(options.encryption_config_file);
  if (!encryption) return std::unexpected(std::move(encryption.error()));
  Result<ClusterIdentity> identity = load_identity(identity_options(options));
  if (!identity) return std::unexpected(std::move(identity.error()));
  Opened store = open_store(home, options, stopping);
  if (!store) return std::unexpected(std::move(store.error()));
  auto ground = std::make_unique<Ground>(home, std::move(*identity), std::move(*store), *encryption);
  ground->metrics.add_source(metrics::write_process_metrics);
  add_build_info(ground->metrics, options.version);
  return ground;
}

void add_build_info(metrics::Registry& registry, const std::string& version) {
  registry
      .gauges("kubernetes_build_info", "One, with the release that this program serves.",
              {"major", "minor", "git_version", "compiler", "platform"})
      .at({"1", "37", version, "clang", "linux/amd64"})
      .set(1);
}

Task<> renew_encryption(Loop& home, EncryptedStore& store) {
  Result<std::size_t> renewed = co_await store.renew(home);
  if (!renewed) log::error("values of the store could not be encrypted anew", {{"error", renewed.error()}});
  if (renewed && *renewed > 0) log::info("values were encrypted anew", {{"count", std::to_string(*renewed)}});
}

Status run_to_end(Loop& loop, Task<Status> task) {
  std::optional<Status> status;
  loop.spawn([](Loop& loop, Task<Status> task, std::optional<Status>& status) -> Task<> {
    status = co_await task;
    loop.stop();
  }(loop, std::move(task), status));
  // Others may stop the loop, too.
  while (!status) loop.run();
  return std::move(*status);
}

api::Timestamp wall_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return {now.tv_sec, static_cast<int32_t>(now.tv_nsec)};
}

}  // namespace gantry::control

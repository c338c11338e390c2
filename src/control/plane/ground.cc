// SPDX-License-Identifier: Apache-2.0
#include "control/plane/ground.h"

#include <time.h>

#include "api/kinds/all.h"
#include "control/controllers/bootstrap.h"
#include "control/store/sqlite_store.h"
#include "sys/folders.h"

namespace gantry::control {

Ground::Ground(Loop& home, ClusterIdentity made_identity, std::unique_ptr<Store> opened)
    : identity(std::move(made_identity)),
      store(std::move(opened)),
      kinds(api::all_kinds()),
      objects(kinds, *store),
      caches(home, kinds, *store) {}

IdentityOptions identity_options(const PlaneOptions& options) {
  return {.folder = options.data_dir + "/pki",
          .dns_names = host_names(),
          .addresses = host_addresses(),
          .service_address = to_string(kubernetes_address(options.service_networks.front()))};
}

Result<std::unique_ptr<Ground>> make_ground(Loop& home, const PlaneOptions& options) {
  if (Status made = sys::make_folders(options.data_dir, 0700); !made) return std::unexpected(std::move(made.error()));
  Result<ClusterIdentity> identity = load_identity(identity_options(options));
  if (!identity) return std::unexpected(std::move(identity.error()));
  auto store = SqliteStore::open(options.data_dir + "/store.db");
  if (!store) return std::unexpected(std::move(store.error()));
  return std::make_unique<Ground>(home, std::move(*identity), std::move(*store));
}

Status run_to_end(Loop& loop, Task<Status> task) {
  Status status;
  loop.spawn([](Loop& loop, Task<Status> task, Status& status) -> Task<> {
    status = co_await task;
    loop.stop();
  }(loop, std::move(task), status));
  loop.run();
  return status;
}

api::Timestamp wall_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return {now.tv_sec, static_cast<int32_t>(now.tv_nsec)};
}

}  // namespace gantry::control

// SPDX-License-Identifier: Apache-2.0
#include "control/admission/service_repair.h"

#include <gtest/gtest.h>

#include "api/kinds/all.h"
#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/networking/v1/service_cidr.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;
namespace networking = k8s::io::api::networking::v1;

class ServiceRepairTest : public ::testing::Test {
 protected:
  template <typename M>
  std::unique_ptr<M> named(const std::string& name) {
    auto object = std::make_unique<M>();
    object->mutable_metadata()->set_name(name);
    return object;
  }
  void create_service(const std::string& name, std::int32_t port) {
    auto service = named<core::Service>(name);
    service->mutable_metadata()->set_namespace_("default");
    service->mutable_spec()->add_ports()->set_node_port(port);
    ASSERT_TRUE(run(loop_, Objects(kinds_, *store_).create(loop_, view_.kind_of<core::Service>(), std::move(service))));
  }
  void write_damaged(std::string_view name) {
    Write damaged = create(storage_key(view_.kind_of<core::Service>(), "default", name), "damaged");
    ASSERT_TRUE(run(loop_, store_->write(loop_, std::move(damaged))));
  }
  Status start() {
    Status ready = run(loop_, caches_.wait_ready(loop_, std::chrono::minutes(1)));
    if (!ready) return ready;
    ServiceRepair repair(view_, [] { return api::Timestamp{1'800'000'000, 0}; }, true);
    return run(loop_, repair.start(loop_));
  }
  bool is_taken(std::int32_t port) {
    Result<NodePorts::Taken> taken = run(loop_, ports_.take(loop_, {port}, 0, true));
    EXPECT_TRUE(taken);
    return taken && taken->busy == port;
  }

  Loop loop_;
  TemporaryFolder folder_;
  const api::Kinds kinds_{api::all_kinds()};
  std::unique_ptr<SqliteStore> store_ = std::move(*SqliteStore::open(folder_ / "store.db"));
  // What the caches have seen: they are behind the store.
  std::unique_ptr<SqliteStore> seen_ = std::move(*SqliteStore::open(folder_ / "seen.db"));
  Caches caches_{loop_, kinds_, *seen_};
  ClusterView view_{kinds_, caches_, *store_};
  NodePorts ports_{*store_};
};

TEST_F(ServiceRepairTest, PortsOfAServiceThatTheCachesHaveNotSeenStay) {
  create_service("web", 30001);
  ASSERT_TRUE(run(loop_, ports_.take(loop_, {30001, 30002}, 0, false)));
  const Status started = start();
  ASSERT_TRUE(started) << started.error().message();
  EXPECT_TRUE(is_taken(30001));
  EXPECT_FALSE(is_taken(30002));
}

TEST_F(ServiceRepairTest, WhereAServiceCannotBeReadNothingIsTakenBack) {
  write_damaged("web");
  ASSERT_TRUE(run(loop_, ports_.take(loop_, {30001}, 0, false)));
  auto address = named<networking::IPAddress>("10.96.0.7");
  address->mutable_spec()->mutable_parent_ref()->set_resource("services");
  address->mutable_spec()->mutable_parent_ref()->set_namespace_("default");
  address->mutable_spec()->mutable_parent_ref()->set_name("web");
  const api::Kind& kind = view_.kind_of<networking::IPAddress>();
  for (Store* store : {seen_.get(), store_.get()}) {
    ASSERT_TRUE(
        run(loop_, Objects(kinds_, *store).create(loop_, kind, std::make_unique<networking::IPAddress>(*address))));
  }
  const Status started = start();
  ASSERT_TRUE(started) << started.error().message();
  EXPECT_TRUE(is_taken(30001));
  EXPECT_TRUE(*run(loop_, Objects(kinds_, *store_).find(loop_, kind, "", "10.96.0.7")));
}

}  // namespace
}  // namespace gantry::control

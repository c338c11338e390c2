// SPDX-License-Identifier: Apache-2.0
// The garbage collector against a whole server in this process. ConfigMaps stand for everything that owns or is owned.
#include "control/controllers/garbage_collector.h"

#include <set>

#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;
using Map = core::ConfigMap;

class GarbageCollectorTest : public ClientTest {
 protected:
  GarbageCollectorTest() {
    informers_.of<Map>().on_change([this](const api::Informer::Change& change) {
      if (change.now == nullptr) gone_.insert(static_cast<const Map&>(change.object()).metadata().name());
    });
  }

  void start() {
    loop_.post([this] {
      informers_.start_all();
      collector_.start();
    });
    run_until([&] { return informers_.of<Map>().is_synced() && collector_.is_idle(); });
  }
  Map object(const std::string& name, const std::vector<const Map*>& owners = {}, bool blocks = true) {
    Map made;
    made.mutable_metadata()->set_namespace_("default");
    made.mutable_metadata()->set_name(name);
    for (const Map* owner : owners) own(&made, *owner, blocks);
    return made;
  }
  static void own(Map* dependent, const Map& owner, bool blocks = true) {
    auto* reference = dependent->mutable_metadata()->add_owner_references();
    reference->set_api_version("v1");
    reference->set_kind("ConfigMap");
    reference->set_name(owner.metadata().name());
    reference->set_uid(owner.metadata().uid());
    reference->set_block_owner_deletion(blocks);
  }
  template <typename M>
  M make(const M& wanted) {
    api::Answer<M> made = wait(client_.create(wanted));
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : wanted;
  }
  Map make(const std::string& name, const std::vector<const Map*>& owners = {}, bool blocks = true) {
    return make(object(name, owners, blocks));
  }
  void remove(const std::string& name, const std::string& propagation) {
    api::Answer<void> removed = wait(client_.remove<Map>("default", name, {.propagation = propagation}));
    EXPECT_TRUE(removed) << removed.error().message;
  }
  std::shared_ptr<const Map> find(const std::string& name) { return informers_.of<Map>().find("default", name); }
  bool is_there(const std::string& name) { return find(name) != nullptr; }
  // What the server says, not what a watch has told so far.
  bool is_stored(const std::string& name) { return wait(client_.get<Map>("default", name)).has_value(); }

  std::set<std::string> gone_;  // names of objects that were there, and whose end a watch has told
  GarbageCollector collector_{{loop_, client_, informers_, [this] { return now_; }}};
};

TEST_F(GarbageCollectorTest, DependentsGoAfterTheirOwner) {
  const Map owner = make("owner");
  const Map child = make("child", {&owner});
  make("grandchild", {&child});
  make("other");
  start();
  remove("owner", "Background");
  EXPECT_FALSE(is_stored("owner"));
  run_until([&] { return !is_there("child") && !is_there("grandchild"); });
  EXPECT_TRUE(is_stored("other"));
}

TEST_F(GarbageCollectorTest, DependentsGoBeforeTheirOwnerInTheForeground) {
  const Map owner = make("owner");
  Map child = object("child", {&owner});
  child.mutable_metadata()->add_finalizers("example.com/holds");
  child = make(child);
  make("loose", {&owner}, false);
  start();
  remove("owner", "Foreground");
  run_until([&] { return is_there("child") && find("child")->metadata().has_deletion_timestamp(); });
  EXPECT_TRUE(is_stored("owner"));
  child = *find("child");
  child.mutable_metadata()->clear_finalizers();
  ASSERT_TRUE(wait(client_.update(child)));
  run_until([&] { return !is_there("owner") && !is_there("child") && !is_there("loose"); });
}

TEST_F(GarbageCollectorTest, AForegroundDeletionGoesDown) {
  const Map owner = make("owner");
  const Map child = make("child", {&owner});
  make("grandchild", {&child});
  start();
  remove("owner", "Foreground");
  run_until([&] { return !is_there("owner") && !is_there("child") && !is_there("grandchild"); });
}

TEST_F(GarbageCollectorTest, DependentsAreLetGo) {
  const Map owner = make("owner");
  const Map second = make("second");
  make("child", {&owner});
  make("shared", {&owner, &second});
  start();
  remove("owner", "Orphan");
  run_until([&] { return !is_there("owner"); });
  run_until([&] { return find("child")->metadata().owner_references_size() == 0; });
  ASSERT_EQ(find("shared")->metadata().owner_references_size(), 1);
  EXPECT_EQ(find("shared")->metadata().owner_references(0).uid(), second.metadata().uid());
}

TEST_F(GarbageCollectorTest, WhoHasAnotherOwnerStays) {
  const Map owner = make("owner");
  const Map second = make("second");
  make("child", {&owner, &second});
  start();
  remove("owner", "Background");
  run_until([&] { return is_there("child") && find("child")->metadata().owner_references_size() == 1; });
  remove("second", "Foreground");
  run_until([&] { return !is_there("second") && !is_there("child"); });
}

TEST_F(GarbageCollectorTest, AnOwnerThatNeverWasIsNoOwner) {
  Map never = object("never");
  never.mutable_metadata()->set_uid("6a2f41a3-c54c-4f5c-8b2c-6a2f41a3c54c");
  make("before", {&never});
  start();
  run_until([&] { return !is_there("before"); });
  make("after", {&never});
  run_until([&] { return gone_.contains("after"); });
  // A name that another has now is no owner either.
  make("never");
  make("namesake", {&never});
  run_until([&] { return gone_.contains("namesake"); });
  EXPECT_TRUE(is_stored("never"));
}

TEST_F(GarbageCollectorTest, AnOwnerInAnotherNamespaceIsNone) {
  auto& events = informers_.of<core::Event>();
  core::Namespace ns;
  ns.mutable_metadata()->set_name("far");
  make(ns);
  Map far = object("owner");
  far.mutable_metadata()->set_namespace_("far");
  far = make(far);
  start();
  make("child", {&far});
  run_until([&] { return gone_.contains("child") && !events.objects().empty(); });
  EXPECT_EQ(events.objects()[0]->reason(), "OwnerRefInvalidNamespace");
  EXPECT_EQ(events.objects()[0]->involved_object().name(), "child");
}

TEST_F(GarbageCollectorTest, ACircleGoesWhole) {
  Map first = make("first");
  Map second = make("second", {&first});
  Map third = make("third", {&second});
  own(&first, third);
  ASSERT_TRUE(wait(client_.update(first)));
  start();
  remove("first", "Foreground");
  run_until([&] { return !is_there("first") && !is_there("second") && !is_there("third"); });
}

TEST_F(GarbageCollectorTest, WhoOwnsItselfGoes) {
  Map self = make("self");
  own(&self, self);
  ASSERT_TRUE(wait(client_.update(self)));
  start();
  remove("self", "Foreground");
  run_until([&] { return !is_there("self"); });
}

TEST_F(GarbageCollectorTest, WhoIsAdoptedInTimeStays) {
  const Map owner = make("owner");
  make("child", {&owner});
  start();
  Map adopted = *find("child");
  adopted.mutable_metadata()->clear_owner_references();
  ASSERT_TRUE(wait(client_.update(adopted)));
  remove("owner", "Foreground");
  run_until([&] { return !is_there("owner") && collector_.is_idle(); });
  EXPECT_TRUE(is_stored("child"));
}

}  // namespace
}  // namespace gantry::control

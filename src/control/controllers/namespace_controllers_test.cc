// SPDX-License-Identifier: Apache-2.0
// Controllers that see to namespaces, against a whole server in this process.
#include "control/controllers/namespace_controller.h"
#include "control/controllers/namespace_objects.h"
#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;

class NamespaceControllersTest : public ClientTest {
 protected:
  ControllerParts parts() {
    return {loop_, client_, informers_, [this] { return now_; }};
  }
  void start(Controller& controller) {
    loop_.post([this] { informers_.start_all(); });
    run_until([&] { return informers_.of<core::Namespace>().is_synced(); });
    controller.start();
  }
  void make_namespace(const std::string& name) {
    core::Namespace object;
    object.mutable_metadata()->set_name(name);
    api::Answer<core::Namespace> made = wait(client_.create(object));
    ASSERT_TRUE(made) << made.error().message;
  }
  template <typename M>
  bool exists(const std::string& ns, const std::string& name) {
    return informers_.of<M>().find(ns, name) != nullptr;
  }
};

TEST_F(NamespaceControllersTest, EachHasAServiceAccount) {
  ServiceAccountController controller(parts());
  start(controller);
  make_namespace("web");
  run_until([&] { return exists<core::ServiceAccount>("web", "default"); });
  const std::string first = informers_.of<core::ServiceAccount>().find("web", "default")->metadata().uid();
  ASSERT_TRUE(wait(client_.remove<core::ServiceAccount>("web", "default")));
  run_until([&] {
    const auto account = informers_.of<core::ServiceAccount>().find("web", "default");
    return account != nullptr && account->metadata().uid() != first;
  });
}

TEST_F(NamespaceControllersTest, EachHasTheRootCa) {
  RootCaController controller(parts(), "PEM");
  make_namespace("web");
  start(controller);
  run_until([&] { return exists<core::ConfigMap>("web", "kube-root-ca.crt"); });
  core::ConfigMap map = *informers_.of<core::ConfigMap>().find("web", "kube-root-ca.crt");
  EXPECT_EQ(map.data().at("ca.crt"), "PEM");
  (*map.mutable_data())["ca.crt"] = "forged";
  ASSERT_TRUE(wait(client_.update(map)));
  run_until([&] {
    auto now = informers_.of<core::ConfigMap>().find("web", "kube-root-ca.crt");
    return now->data().at("ca.crt") == "PEM" && now->metadata().resource_version() != map.metadata().resource_version();
  });
}

TEST_F(NamespaceControllersTest, ADeletedOneIsEmptied) {
  NamespaceController controller(parts());
  start(controller);
  make_namespace("web");
  core::ConfigMap map;
  map.mutable_metadata()->set_namespace_("web");
  map.mutable_metadata()->set_name("plain");
  ASSERT_TRUE(wait(client_.create(map)));
  map.mutable_metadata()->set_name("held");
  map.mutable_metadata()->add_finalizers("example.com/hold");
  ASSERT_TRUE(wait(client_.create(map)));
  ASSERT_TRUE(wait(client_.remove<core::Namespace>("", "web")));
  // Says what it waits for.
  run_until([&] {
    auto object = informers_.of<core::Namespace>().find("", "web");
    if (object == nullptr) return false;
    for (const core::NamespaceCondition& condition : object->status().conditions()) {
      if (condition.type() == "NamespaceFinalizersRemaining" && condition.status() == "True") return true;
    }
    return false;
  });
  EXPECT_TRUE(wait(client_.get<core::ConfigMap>("web", "plain")).error().is_not_found());
  ASSERT_TRUE(wait(client_.patch<core::ConfigMap>(
      "web", "held", api::PatchForm::kMerge,
      api::Value::object({{"metadata", api::Value::object({{"finalizers", nullptr}})}}))));
  run_until([&] { return !exists<core::Namespace>("", "web"); });
}

}  // namespace
}  // namespace gantry::control

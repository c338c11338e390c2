// SPDX-License-Identifier: Apache-2.0
// All controllers over a whole API server with its security: what each does, its role must allow.
#include "control/controllers/manager.h"

#include <gmock/gmock.h>

#include <atomic>
#include <mutex>

#include "api/json.h"
#include "api/kinds/all.h"
#include "api/text.h"
#include "base/text.h"
#include "control/bootstrap/security_fixture.h"
#include "control/controllers/certificate_rules.h"
#include "control/controllers/controller.h"
#include "control/server/api_server.h"
#include "control/server/local_transport.h"
#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"
#include "http/detached_signature.h"
#include "kubernetes/certificates/v1/certificates.pb.h"
#include "kubernetes/coordination/v1/lease.pb.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/networking/v1/service_cidr.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
namespace core = k8s::io::api::core::v1;
namespace networking = k8s::io::api::networking::v1;

// What was refused, by whom it was asked.
class Refusals {
 public:
  void add(std::string what) {
    const std::lock_guard lock(mutex_);
    list_.push_back(std::move(what));
  }
  std::vector<std::string> list() {
    const std::lock_guard lock(mutex_);
    return list_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> list_;
};

class WatchedTransport final : public api::Transport {
 public:
  WatchedTransport(ApiServer& server, const std::string& account, Refusals& refusals)
      : inner_(server, controller_user(account)), account_(account), refusals_(refusals) {}

  Task<Result<http::Response>> call(Loop& here, http::Request request) override {
    const std::string what = cat(account_, " ", request.method, " ", request.target);
    co_return note(what, co_await inner_.call(here, std::move(request)));
  }
  Task<Result<http::Response>> follow(Loop& here, http::Request request, api::TakeLine take) override {
    const std::string what = cat(account_, " watch ", request.target);
    co_return note(what, co_await inner_.follow(here, std::move(request), std::move(take)));
  }

 private:
  Result<http::Response> note(const std::string& what, Result<http::Response> response) {
    const bool terminating = response && response->body_bytes().find("NamespaceTerminating") != std::string_view::npos;
    if (response && response->status == 403 && !terminating) refusals_.add(what);
    return response;
  }
  LocalTransport inner_;
  const std::string account_;
  Refusals& refusals_;
};

class ManagerTest : public ::testing::Test {
 protected:
  ManagerTest()
      : token_key_(*PrivateKey::generate()), authority_(*Authority::make("test", std::chrono::hours(1 << 16))) {
    store_ = std::move(*SqliteStore::open(folder_ / "store.db"));
    EXPECT_TRUE(run(loop_, make_system_objects(loop_, Objects(kinds_, *store_), now())).has_value());
    caches_.emplace(loop_, kinds_, *store_);
    security_ = std::move(*Security::make({loop_, kinds_, *store_, *caches_, token_key_, now()}));
    server_.emplace(parts_of(*security_, kinds_, *store_, *caches_, now()));
    EXPECT_TRUE(run(loop_, caches_->wait_ready(loop_, std::chrono::minutes(1))).has_value());
    run(loop_, [](Security& security) -> Task<bool> {
      co_await security.ready();
      co_return true;
    }(*security_));
    everything_.emplace(*server_, User{.name = "admin", .groups = {std::string(kMastersGroup)}});
    admin_.emplace(loop_, *everything_, kinds_, "test");
    manager_.emplace(transports(), kinds_,
                     ManagerOptions{.bootstrap = {.service_networks = {*api::parse_network("10.96.0.0/16")},
                                                  .advertise_address = "10.0.0.1",
                                                  .root_ca = authority_.certificate_pem()},
                                    .root_ca = authority_.certificate_pem(),
                                    .authority = authority_,
                                    .own_names = {.dns = {"kubernetes"}, .ips = {"10.0.0.1"}},
                                    .identity = "test",
                                    .cluster_networks = {*api::parse_network("10.244.0.0/16")},
                                    .now = now(),
                                    .bootstrapped = {}});
  }
  // The manager's requests are served on its own thread, but its writes pass through this loop.
  ~ManagerTest() override {
    end(manager_);
    EXPECT_THAT(refusals_.list(), IsEmpty());
  }
  void end(std::optional<ControllerManager>& manager) {
    std::thread ending([&] {
      manager.reset();
      loop_.stop();
    });
    loop_.run();
    ending.join();
  }
  ManagerTransports transports() {
    return {.bootstrap = &*everything_, .of = [this](Loop&, const std::string& account) {
              return std::make_unique<WatchedTransport>(*server_, account, refusals_);
            }};
  }

  std::function<api::Timestamp()> now() const {
    return [] { return api::Timestamp{.seconds = ::time(nullptr), .nanos = 0}; };
  }
  template <typename M>
  api::Answer<M> find(const std::string& ns, const std::string& name) {
    return run(loop_, admin_->get<M>(ns, name));
  }
  // The object as soon as it is as it should be, of what there is and of each change; the last answer.
  template <typename M>
  api::Answer<M> await(const std::string& ns, const std::string& name, std::function<bool(const api::Answer<M>&)> is) {
    api::Answer<M> present = find<M>(ns, name);
    if (is(present)) return present;
    const std::string from = present ? cat("&resourceVersion=", present->metadata().resource_version()) : "";
    const auto take = [&](std::string_view line) -> Status {
      const Result<api::Value> event = api::parse_json(line);
      const api::Value* object = event ? event->find("object") : nullptr;
      if (object == nullptr) return invalid_argument("a line of a watch is no event");
      M now;
      const api::Answer<void> read = api::Client::decode_item(*object, &now);
      if (!read) return std::unexpected(read.error().as_error());
      present = std::move(now);
      if (event->text_at("type") == "DELETED") present = api::fail(api::ApiError{.code = 404});
      return is(present) ? fail(Code::kCancelled, "it is what was waited for") : Status();
    };
    (void)run(loop_, admin_->follow(cat(admin_->target<M>().path(ns), "?watch=true&timeoutSeconds=60",
                                        "&fieldSelector=metadata.name%3D", name, from),
                                    api::Client::WatchForm::kJson, take));
    EXPECT_TRUE(is(present)) << name << " does not become what it should be";
    return present;
  }
  template <typename M>
  api::Answer<M> make(const User& user, const M& object) {
    LocalTransport transport(*server_, user);
    api::Client client(loop_, transport, kinds_, "test");
    return run(loop_, client.create(object));
  }
  void make(const auto& object) {
    const auto made = run(loop_, admin_->create(object));
    EXPECT_TRUE(made) << made.error().message;
  }

  static Csr request_of(const std::string& name, std::string_view signer, const Subject& subject,
                        const AlternativeNames& names, const std::vector<std::string>& usages) {
    Csr csr;
    csr.mutable_metadata()->set_name(name);
    csr.mutable_spec()->set_signer_name(std::string(signer));
    csr.mutable_spec()->set_request(*make_signing_request(*PrivateKey::generate(), subject, names));
    csr.mutable_spec()->mutable_usages()->Assign(usages.begin(), usages.end());
    return csr;
  }
  static Csr client_request(const std::string& name, const std::string& node) {
    return request_of(name, kKubeletClientSigner,
                      {.common_name = "system:node:" + node, .organizations = {"system:nodes"}, .other_kinds = {}}, {},
                      {"digital signature", "client auth"});
  }
  static Csr serving_request(const std::string& name, const std::string& node, const AlternativeNames& names) {
    return request_of(name, kKubeletServingSigner,
                      {.common_name = "system:node:" + node, .organizations = {"system:nodes"}, .other_kinds = {}},
                      names, {"digital signature", "server auth"});
  }
  static User joining() {
    return {.name = "system:bootstrap:abcdef",
            .groups = {"system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token",
                       std::string(kAuthenticatedGroup)}};
  }
  static User node_user(const std::string& node) {
    return {.name = "system:node:" + node, .groups = {"system:nodes", std::string(kAuthenticatedGroup)}};
  }
  // `addresses`: types and texts.
  void make_node(const std::string& name, const std::vector<std::pair<std::string, std::string>>& all) {
    core::Node node;
    node.mutable_metadata()->set_name(name);
    make(node);
    api::Value::List addresses;
    for (const auto& [type, text] : all) addresses.push_back(api::Value::object({{"type", type}, {"address", text}}));
    const auto patched =
        run(loop_, admin_->patch<core::Node>(
                       "", name, api::PatchForm::kMerge,
                       api::Value::object({{"status", api::Value::object({{"addresses", api::Value(addresses)}})}}),
                       "status"));
    EXPECT_TRUE(patched) << patched.error().message;
  }
  // Now: the cleaner takes away what was approved long ago and is not signed.
  void approve(const std::string& name) {
    auto csr = find<Csr>("", name);
    ASSERT_TRUE(csr);
    add_condition(&*csr, "Approved", "Mine", "", now()());
    ASSERT_TRUE(run(loop_, admin_->update(*csr, "approval")));
  }
  Certificate await_certificate(const std::string& name) {
    const auto csr =
        await<Csr>("", name, [](const auto& present) { return present && !present->status().certificate().empty(); });
    return csr && !csr->status().certificate().empty() ? *read_certificate(csr->status().certificate())
                                                       : authority_.certificate();
  }

  Loop loop_;
  TemporaryFolder folder_;
  const api::Kinds kinds_{api::all_kinds()};
  PrivateKey token_key_;
  Authority authority_;
  std::unique_ptr<SqliteStore> store_;
  std::optional<Caches> caches_;
  std::unique_ptr<Security> security_;
  std::optional<ApiServer> server_;
  std::optional<LocalTransport> everything_;
  std::optional<api::Client> admin_;
  Refusals refusals_;
  std::optional<ControllerManager> manager_;
};

TEST_F(ManagerTest, TheRangeOfServiceAddressesIsSaidToBeReady) {
  using networking::ServiceCIDR;
  const auto range = await<ServiceCIDR>("", "kubernetes", [](const api::Answer<ServiceCIDR>& there) {
    return there && !there->status().conditions().empty();
  });
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->status().conditions(0).type(), "Ready");
  EXPECT_EQ(range->status().conditions(0).status(), "True");
}

TEST_F(ManagerTest, ANamespaceHasWhatItNeedsAndGoes) {
  core::Namespace ns;
  ns.mutable_metadata()->set_name("team");
  make(ns);
  await<core::ServiceAccount>("team", "default", [](const auto& present) { return present.has_value(); });
  await<core::ConfigMap>("team", "kube-root-ca.crt", [](const auto& present) { return present.has_value(); });
  EXPECT_TRUE(run(loop_, admin_->remove<core::Namespace>("", "team")));
  await<core::Namespace>("", "team", [](const auto& present) { return !present && present.error().is_not_found(); });
}

TEST_F(ManagerTest, ATokenSecretIsFilledAndEndsWithItsAccount) {
  const auto made_for = [](const char* name) {
    core::Secret secret;
    secret.mutable_metadata()->set_namespace_("default");
    secret.mutable_metadata()->set_name(cat("token-of-", name));
    (*secret.mutable_metadata()->mutable_annotations())["kubernetes.io/service-account.name"] = name;
    secret.set_type("kubernetes.io/service-account-token");
    return secret;
  };
  core::ServiceAccount robot;
  robot.mutable_metadata()->set_namespace_("default");
  robot.mutable_metadata()->set_name("robot");
  make(robot);
  make(made_for("robot"));
  const auto secret = await<core::Secret>("default", "token-of-robot", [](const auto& present) {
    return present && present->data().contains("token");
  });
  ASSERT_TRUE(secret);
  EXPECT_EQ(secret->data().at("ca.crt"), authority_.certificate_pem());
  EXPECT_EQ(secret->data().at("namespace"), "default");
  EXPECT_EQ(secret->metadata().annotations().at("kubernetes.io/service-account.uid"),
            find<core::ServiceAccount>("default", "robot")->metadata().uid());
  EXPECT_TRUE(run(loop_, admin_->remove<core::ServiceAccount>("default", "robot")));
  await<core::Secret>("default", "token-of-robot", [](const auto& present) { return !present; });
  make(made_for("nobody"));
  await<core::Secret>("default", "token-of-nobody", [](const auto& present) { return !present; });
}

TEST_F(ManagerTest, ANodeGetsItsCertificates) {
  ASSERT_TRUE(make(joining(), client_request("join", "n1")));
  const Certificate client = await_certificate("join");
  EXPECT_EQ(client.subject.common_name, "system:node:n1");
  EXPECT_THAT(client.subject.organizations, ElementsAre("system:nodes"));
  EXPECT_THAT(client.usages, ElementsAre("digital signature", "client auth"));

  make_node("n1", {{"InternalIP", "10.0.0.7"},
                   {"InternalDNS", "*.default.svc"},
                   {"InternalDNS", "KUBERNETES"},
                   {"InternalIP", "::ffff:10.0.0.8"}});
  make_node("n2", {{"InternalIP", "10.0.0.8"}});
  await<core::Node>("", "n1", [](const auto& node) { return node && !node->spec().pod_cidr().empty(); });
  // What is not a node's own nobody approves by himself: names of the API server, another node's, or unknown ones.
  ASSERT_TRUE(make(node_user("n1"), serving_request("server", "n1", {.dns = {"kubernetes"}})));
  ASSERT_TRUE(make(node_user("n1"), serving_request("other", "n1", {.ips = {"10.0.0.8"}})));
  ASSERT_TRUE(make(node_user("n1"), serving_request("unknown", "n1", {.ips = {"10.9.9.9"}})));
  // Nor other ways to write them, whatever the node says of itself.
  ASSERT_TRUE(make(node_user("n1"), serving_request("wildcard", "n1", {.dns = {"*.default.svc"}})));
  ASSERT_TRUE(make(node_user("n1"), serving_request("case", "n1", {.dns = {"KUBERNETES"}})));
  ASSERT_TRUE(make(node_user("n1"), serving_request("mapped", "n1", {.ips = {"::ffff:10.0.0.8"}})));
  // In another node's name it does not even ask.
  EXPECT_FALSE(make(node_user("n2"), client_request("theirs", "n1")));
  ASSERT_TRUE(make(node_user("n1"), serving_request("own", "n1", {.dns = {"n1"}, .ips = {"10.0.0.7"}})));
  ASSERT_TRUE(make(node_user("n1"), client_request("again", "n1")));
  EXPECT_THAT(await_certificate("own").names.ips, ElementsAre("10.0.0.7"));
  EXPECT_EQ(await_certificate("again").subject.common_name, "system:node:n1");
  for (const char* name : {"server", "other", "unknown", "wildcard", "case", "mapped"}) {
    const auto waiting = find<Csr>("", name);
    EXPECT_TRUE(waiting && waiting->status().conditions().empty()) << name;
  }
}

core::Secret token(const std::string& id, const std::string& expiration) {
  core::Secret secret;
  secret.mutable_metadata()->set_namespace_("kube-system");
  secret.mutable_metadata()->set_name("bootstrap-token-" + id);
  secret.set_type("bootstrap.kubernetes.io/token");
  auto& data = *secret.mutable_data();
  data["token-id"] = id;
  data["token-secret"] = "0123456789abcdef";
  data["usage-bootstrap-signing"] = "true";
  if (!expiration.empty()) data["expiration"] = expiration;
  return secret;
}

TEST_F(ManagerTest, ClusterInfoIsSignedWithLiveTokens) {
  make(token("aaaaaa", ""));
  make(token("bbbbbb", "2020-01-01T00:00:00Z"));
  const auto has = [](const std::string& id) {
    return [id](const auto& map) { return map && map->data().contains("jws-kubeconfig-" + id); };
  };
  auto info = await<core::ConfigMap>("kube-public", "cluster-info", has("aaaaaa"));
  ASSERT_TRUE(info);
  const std::string& text = info->data().at("kubeconfig");
  EXPECT_THAT(text, ::testing::HasSubstr("server: https://10.0.0.1:6443"));
  EXPECT_EQ(info->data().at("jws-kubeconfig-aaaaaa"), http::detached_signature(text, "aaaaaa", "0123456789abcdef"));
  EXPECT_FALSE(has("bbbbbb")(info));
  // What has ended goes; a signature goes with its token.
  await<core::Secret>("kube-system", "bootstrap-token-bbbbbb", [](const auto& secret) { return !secret; });
  EXPECT_TRUE(run(loop_, admin_->remove<core::Secret>("kube-system", "bootstrap-token-aaaaaa")));
  await<core::ConfigMap>("kube-public", "cluster-info", [&has](const auto& map) { return map && !has("aaaaaa")(map); });
}

TEST_F(ManagerTest, ClusterInfoStaysWithTheServerThatItNamesWhileThatLives) {
  BootstrapOptions options{.service_networks = {},
                           .advertise_address = "10.0.0.2",
                           .port = 6443,
                           .root_ca = authority_.certificate_pem(),
                           .endpoint = {}};
  const auto server_of = [&](std::vector<std::string> servers) {
    const Status done = run(loop_, publish_cluster_info(*admin_, options, std::move(servers)));
    EXPECT_TRUE(done) << done.error().message();
    const std::string text = find<core::ConfigMap>("kube-public", "cluster-info")->data().at("kubeconfig");
    const size_t at = text.find("server: ") + 8;
    return text.substr(at, text.find('\n', at) - at);
  };
  await<core::ConfigMap>("kube-public", "cluster-info", [](const auto& map) { return map.has_value(); });
  EXPECT_EQ(server_of({"10.0.0.0", "10.0.0.1", "10.0.0.2"}), "https://10.0.0.1:6443");
  EXPECT_EQ(server_of({"10.0.0.2", "10.0.0.0"}), "https://10.0.0.0:6443");
  EXPECT_EQ(server_of({"10.0.0.2", "10.0.0.0"}), "https://10.0.0.0:6443");
  options.endpoint = "cluster.example.org:443";
  EXPECT_EQ(server_of({"10.0.0.2"}), "https://cluster.example.org:443");
}

TEST_F(ManagerTest, AStorageClassIsMadeOnceInTheLifeOfACluster) {
  using StorageClass = k8s::io::api::storage::v1::StorageClass;
  const auto is_default = [](const StorageClass& one) {
    return one.metadata().annotations().contains("storageclass.kubernetes.io/is-default-class");
  };
  const auto made = await<StorageClass>("", "gantry-local", [](const auto& one) { return one.has_value(); });
  ASSERT_TRUE(made);
  EXPECT_TRUE(is_default(*made));
  EXPECT_EQ(made->volume_binding_mode(), "WaitForFirstConsumer");
  await<core::Namespace>("", "kube-system", [](const auto& system) {
    return system && system->metadata().annotations().contains("gantry.io/made-storage-class");
  });
  ASSERT_TRUE(run(loop_, admin_->remove<StorageClass>("", "gantry-local")));
  ASSERT_TRUE(run(loop_, make_storage_class(*admin_)));
  EXPECT_FALSE(find<StorageClass>("", "gantry-local"));
  // A cluster that had one already.
  StorageClass other;
  other.mutable_metadata()->set_name("other");
  (*other.mutable_metadata()->mutable_annotations())["storageclass.kubernetes.io/is-default-class"] = "true";
  other.set_provisioner("example.com/other");
  make(other);
  const auto forget = *api::parse_json(R"({"metadata": {"annotations": {"gantry.io/made-storage-class": null}}})");
  ASSERT_TRUE(run(loop_, admin_->patch<core::Namespace>("", "kube-system", api::PatchForm::kMerge, forget)));
  ASSERT_TRUE(run(loop_, make_storage_class(*admin_)));
  const auto again = find<StorageClass>("", "gantry-local");
  ASSERT_TRUE(again);
  EXPECT_FALSE(is_default(*again));
}

TEST_F(ManagerTest, WhoIsTrustedAndWhoSignsIsReplaced) {
  const auto trusts = [](const std::string& text) {
    return [text](const auto& map) {
      if (!map) return false;
      const auto found = map->data().find("ca.crt");
      return found != map->data().end() && found->second == text;
    };
  };
  await<core::ConfigMap>("default", "kube-root-ca.crt", trusts(authority_.certificate_pem()));
  const Authority next = *Authority::make("next", std::chrono::hours(1000));
  const std::string both = next.certificate_pem() + authority_.certificate_pem();
  const std::string chain = *authority_.vouch_for(next);
  manager_->replace(both, next, chain);
  await<core::ConfigMap>("default", "kube-root-ca.crt", trusts(both));
  await<core::ConfigMap>("kube-public", "cluster-info", [&both](const auto& map) {
    return map && map->data().at("kubeconfig").contains(api::encode_base64(both));
  });
  make(request_of("jane", kClientSigner, {.common_name = "jane", .organizations = {}, .other_kinds = {}}, {},
                  {"client auth"}));
  approve("jane");
  EXPECT_EQ(await_certificate("jane").issuer, "next");
  const auto signed_request = find<Csr>("", "jane");
  ASSERT_TRUE(signed_request);
  EXPECT_TRUE(signed_request->status().certificate().ends_with(chain));
}

TEST_F(ManagerTest, WhatPeopleApproveIsSignedWhenItIsGood) {
  make(request_of("jane", kClientSigner, {.common_name = "jane", .organizations = {}, .other_kinds = {}}, {},
                  {"client auth"}));
  make(request_of("odd", kClientSigner, {.common_name = "odd", .organizations = {}, .other_kinds = {}}, {},
                  {"server auth"}));
  for (const char* name : {"odd", "jane"}) approve(name);
  EXPECT_EQ(await_certificate("jane").subject.common_name, "jane");
  const auto odd = await<Csr>("", "odd", [](const auto& csr) { return csr && has_condition(*csr, "Failed"); });
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->status().conditions().rbegin()->message(), "invalid usage for client certificate: server auth");
  EXPECT_TRUE(odd->status().certificate().empty());
}

TEST_F(ManagerTest, AVolumeThatNobodyUsesGoes) {
  core::PersistentVolume volume;
  volume.mutable_metadata()->set_name("disk");
  volume.mutable_metadata()->add_finalizers("kubernetes.io/pv-protection");
  volume.mutable_spec()->add_access_modes("ReadWriteOnce");
  (*volume.mutable_spec()->mutable_capacity())["storage"].set_string("1Gi");
  volume.mutable_spec()->mutable_persistent_volume_source()->mutable_host_path()->set_path("/data");
  make(volume);
  EXPECT_TRUE(run(loop_, admin_->remove<core::PersistentVolume>("", "disk")));
  await<core::PersistentVolume>("", "disk", [](const auto& present) { return !present; });
}

// Says slowly that a server lives.
class SlowServers final : public ServerList {
 public:
  explicit SlowServers(std::function<void()> renewing) : renewing_(std::move(renewing)) {}

  Task<Result<std::vector<std::string>>> renew(Loop& here) override {
    left_.emplace(here);
    renewing_();
    (void)co_await left_->wait_for(std::chrono::milliseconds(100));
    left_.reset();
    words_.push_back("renewed");
    co_return std::vector<std::string>{"10.0.0.1"};
  }
  Task<Result<std::vector<std::string>>> leave(Loop&) override {
    words_.push_back("left");
    if (left_) left_->set();
    co_return std::vector<std::string>();
  }
  // When nobody calls it any more.
  const std::vector<std::string>& words() const { return words_; }

 private:
  std::function<void()> renewing_;
  std::optional<Event> left_;
  std::vector<std::string> words_;
};

TEST_F(ManagerTest, WhoLeavesIsNotPublishedAfterwards) {
  SlowServers servers([this] { loop_.post([this] { loop_.stop(); }); });
  std::optional<ControllerManager> leaving;
  leaving.emplace(transports(), kinds_,
                  ManagerOptions{.bootstrap = {.service_networks = {*api::parse_network("10.96.0.0/16")},
                                               .advertise_address = "10.0.0.1",
                                               .root_ca = {}},
                                 .root_ca = {},
                                 .authority = {},
                                 .own_names = {},
                                 .identity = "leaving",
                                 .servers = &servers,
                                 .now = now(),
                                 .bootstrapped = {},
                                 .end_limit = std::chrono::minutes(1)});
  loop_.run();
  end(leaving);
  EXPECT_THAT(servers.words(), ElementsAre("renewed", "left"));
}

// Tells when it begins and when it ends.
class TellingController final : public Controller {
 public:
  explicit TellingController(std::function<void(const char*)> tell) : tell_(std::move(tell)) {}
  void start() override { tell_("begins"); }
  void stop() override { tell_("ends"); }

 private:
  const std::function<void(const char*)> tell_;
};

TEST_F(ManagerTest, ALeaseIsWonAndLostWithoutTheOther) {
  using Lease = k8s::io::api::coordination::v1::Lease;
  const auto is_held_by = [](const std::string& who) {
    return [who](const auto& lease) { return lease && lease->spec().holder_identity() == who; };
  };
  std::vector<std::string> words;
  const auto tell = [&](const char* word) {
    loop_.post([&, word] {
      words.emplace_back(word);
      loop_.stop();
    });
  };
  // The controllers' lease is held by the manager that is there already.
  await<Lease>("kube-system", kControllersLease, is_held_by("test"));
  std::optional<ControllerManager> second;
  second.emplace(transports(), kinds_,
                 ManagerOptions{.bootstrap = {.service_networks = {*api::parse_network("10.96.0.0/16")},
                                              .advertise_address = "10.0.0.1",
                                              .root_ca = {}},
                                .root_ca = {},
                                .authority = {},
                                .own_names = {},
                                .identity = "second",
                                .now = now(),
                                .more = {{.name = "",
                                          .account = "system:kube-scheduler",
                                          .make =
                                              [&](const ControllerParts&) {
                                                return std::make_unique<TellingController>(tell);
                                              },
                                          .lease = kSchedulerLease}},
                                .bootstrapped = {}});
  const auto await_words = [&](std::vector<std::string> all) {
    while (words.size() < all.size()) loop_.run();
    EXPECT_EQ(words, all);
  };
  await_words({"begins"});
  auto lease = find<Lease>("kube-system", kSchedulerLease);
  ASSERT_TRUE(is_held_by("second")(lease));
  EXPECT_TRUE(is_held_by("test")(find<Lease>("kube-system", kControllersLease)));
  // Somebody takes it: what it was held for ends, and begins again when it is free. A renewal may come between.
  const auto give = [&](const std::string& who, int seconds) {
    api::Answer<Lease> given;
    do {
      lease = find<Lease>("kube-system", kSchedulerLease);
      lease->mutable_spec()->set_holder_identity(who);
      lease->mutable_spec()->set_lease_duration_seconds(seconds);
      given = run(loop_, admin_->update(*lease));
    } while (!given && given.error().is_conflict());
    ASSERT_TRUE(given) << given.error().message;
  };
  give("somebody", 3600);
  await_words({"begins", "ends"});
  give("", 1);
  await_words({"begins", "ends", "begins"});
  EXPECT_TRUE(is_held_by("test")(find<Lease>("kube-system", kControllersLease)));
  end(second);
  EXPECT_TRUE(is_held_by("")(find<Lease>("kube-system", kSchedulerLease)));
}

}  // namespace
}  // namespace gantry::control

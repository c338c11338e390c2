// SPDX-License-Identifier: Apache-2.0
#include "control/bootstrap/namespace_contents.h"

#include <set>

#include "api/codec.h"
#include "api/kind.h"
#include "api/metadata.h"
#include "base/log.h"
#include "control/authorization/store_follower.h"
#include "control/bootstrap/system_objects.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::string_view kNamespaces = "/registry/namespaces/";
constexpr std::string_view kAccounts = "/registry/serviceaccounts/";
constexpr std::string_view kConfigMaps = "/registry/configmaps/";
constexpr char kAccount[] = "default";
constexpr char kRootCa[] = "kube-root-ca.crt";
constexpr Duration kRetry = std::chrono::seconds(1);

// "a/default" -> "a", when the object has that name.
std::string namespace_of(std::string_view key, std::string_view prefix, std::string_view name) {
  key.remove_prefix(prefix.size());
  const size_t slash = key.find('/');
  if (slash == std::string_view::npos || key.substr(slash + 1) != name) return "";
  return std::string(key.substr(0, slash));
}

}  // namespace

struct NamespaceContents::State {
  State(Loop& home, Objects objects, std::string ca_pem, std::function<api::Timestamp()> now)
      : home(home), objects(objects), ca_pem(std::move(ca_pem)), now(std::move(now)), wake(home), ended(home) {}

  Loop& home;
  Objects objects;
  std::string ca_pem;
  std::function<api::Timestamp()> now;
  std::set<std::string> active;   // namespaces that are not being deleted
  std::set<std::string> pending;  // those to be looked at
  Event wake;
  Event ended;
  std::vector<std::unique_ptr<StoreFollower>> followers;

  void look_at(std::string ns) {
    if (ns.empty()) return;
    pending.insert(std::move(ns));
    wake.set();
  }

  void see_namespace(const Entry& entry) {
    core::Namespace object;
    const std::string name = entry.key.substr(kNamespaces.size());
    if (!api::decode_protobuf(entry.value, &object) || object.metadata().has_deletion_timestamp()) {
      active.erase(name);
      return;
    }
    if (active.insert(name).second) look_at(name);
  }

  // A config map whose certificate somebody changed gets it back; one that is there is read when its namespace is.
  void follow_contents(std::string_view prefix, std::string_view name) {
    followers.push_back(std::make_unique<StoreFollower>(
        home, objects.store(), std::string(prefix),
        StoreFollower::Calls{.reset = [](const std::vector<EntryPtr>&) {},
                             .change =
                                 [this, prefix, name](const std::vector<StoreEvent>& events) {
                                   for (const StoreEvent& event : events) {
                                     look_at(namespace_of(event.entry->key, prefix, name));
                                   }
                                 }}));
  }

  void follow_namespaces() {
    followers.push_back(std::make_unique<StoreFollower>(
        home, objects.store(), std::string(kNamespaces),
        StoreFollower::Calls{.reset =
                                 [this](const std::vector<EntryPtr>& entries) {
                                   active.clear();
                                   for (const EntryPtr& entry : entries) see_namespace(*entry);
                                 },
                             .change =
                                 [this](const std::vector<StoreEvent>& events) {
                                   for (const StoreEvent& event : events) {
                                     if (event.kind == StoreEvent::Kind::kRemove) {
                                       active.erase(event.entry->key.substr(kNamespaces.size()));
                                     } else {
                                       see_namespace(*event.entry);
                                     }
                                   }
                                 }}));
  }

  Task<Status> fill(const std::string& ns) {
    auto account = std::make_unique<core::ServiceAccount>();
    account->mutable_metadata()->set_name(kAccount);
    account->mutable_metadata()->set_namespace_(ns);
    Result<bool> made = co_await make_missing(home, objects, std::move(account), now());
    if (!made) co_return std::unexpected(std::move(made.error()));
    auto map = std::make_unique<core::ConfigMap>();
    map->mutable_metadata()->set_name(kRootCa);
    map->mutable_metadata()->set_namespace_(ns);
    (*map->mutable_metadata()->mutable_annotations())["kubernetes.io/description"] =
        "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
        "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
        "Kubernetes clusters.";
    (*map->mutable_data())["ca.crt"] = ca_pem;
    made = co_await make_missing(home, objects, std::move(map), now());
    if (!made) co_return std::unexpected(std::move(made.error()));
    if (*made) co_return Status();
    co_return co_await restore_ca(ns);
  }

  Task<Status> restore_ca(const std::string& ns) {
    const api::Kind* kind = objects.kinds().find_resource("", "v1", "configmaps");
    Result<std::optional<Object>> present = co_await objects.find(home, *kind, ns, kRootCa);
    if (!present) co_return std::unexpected(std::move(present.error()));
    if (!*present) co_return Status();
    auto map = std::make_unique<core::ConfigMap>(static_cast<const core::ConfigMap&>(*(*present)->message));
    const auto data = map->data().find("ca.crt");
    if (map->data_size() == 1 && data != map->data().end() && data->second == ca_pem) co_return Status();
    map->clear_data();
    (*map->mutable_data())["ca.crt"] = ca_pem;
    Result<Objects::Answer> written = co_await objects.update(home, *kind, (*present)->revision(), std::move(map));
    if (!written) co_return std::unexpected(std::move(written.error()));
    co_return Status();
  }

  static Task<> work(std::shared_ptr<State> state) {
    while (true) {
      co_await state->wake.wait();
      if (state->ended.is_set()) co_return;
      if (state->pending.empty()) {
        state->wake.reset();
        continue;
      }
      const std::string ns = *state->pending.begin();
      state->pending.erase(state->pending.begin());
      if (!state->active.contains(ns)) continue;
      Status filled = co_await state->fill(ns);
      if (filled || state->ended.is_set()) continue;
      log::warning("a namespace lacks its service account or CA, retrying in a second",
                   {{"namespace", ns}, {"error", filled.error()}});
      if (co_await state->ended.wait_for(kRetry)) co_return;
      state->pending.insert(ns);
    }
  }
};

NamespaceContents::NamespaceContents(Loop& home, Objects objects, std::string ca_pem,
                                     std::function<api::Timestamp()> now)
    : state_(std::make_shared<State>(home, objects, std::move(ca_pem), std::move(now))) {
  state_->follow_namespaces();
  state_->follow_contents(kAccounts, kAccount);
  state_->follow_contents(kConfigMaps, kRootCa);
  home.spawn(State::work(state_));
}

NamespaceContents::~NamespaceContents() {
  state_->followers.clear();
  state_->ended.set();
  state_->wake.set();
}

}  // namespace gantry::control

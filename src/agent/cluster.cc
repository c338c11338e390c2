// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster.h"

#include "base/text.h"
#include "kubernetes/authentication/v1/authentication.pb.h"
#include "kubernetes/authorization/v1/authorization.pb.h"
#include "kubernetes/certificates/v1/certificates.pb.h"
#include "kubernetes/coordination/v1/lease.pb.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"
#include "kubernetes/node/v1/runtime_class.pb.h"

namespace gantry::agent {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr char kProgram[] = "gantryd";
constexpr Duration kUrgent = std::chrono::seconds(10);

template <typename M>
api::Kind global_kind(std::string plural, std::string singular) {
  api::Kind kind = api::make_kind<M>(std::move(plural), std::move(singular));
  kind.namespaced = false;
  return kind;
}

// Who changed what of an object is of no use here, and may be as large as the rest.
template <typename M>
void drop_managed_fields(api::Message* object) {
  static_cast<M*>(object)->mutable_metadata()->clear_managed_fields();
}

void drop_what_people_say(api::Message* object) {
  auto* metadata = static_cast<core::Service*>(object)->mutable_metadata();
  metadata->clear_managed_fields();
  metadata->mutable_annotations()->erase("kubectl.kubernetes.io/last-applied-configuration");
}

// The objects that the field selector says, as one informer.
template <typename M>
std::unique_ptr<api::InformerOf<M>> informer_of(api::Client& client, std::string selector,
                                                void (*trim)(api::Message*)) {
  return std::make_unique<api::InformerOf<M>>(
      client, api::Informer::Options{.target = client.target<M>(),
                                     .query = {.ns = {}, .label_selector = {}, .field_selector = std::move(selector)},
                                     .make = [] { return std::make_unique<M>(); },
                                     .trim = trim});
}
template <typename M>
std::unique_ptr<api::InformerOf<M>> informer_by_field(api::Client& client, std::string selector) {
  return informer_of<M>(client, std::move(selector), drop_managed_fields<M>);
}

}  // namespace

std::vector<api::Kind> cluster_kinds() {
  std::vector<api::Kind> kinds;
  kinds.push_back(api::make_kind<core::Pod>("pods", "pod"));
  kinds.push_back(api::make_kind<core::ConfigMap>("configmaps", "configmap"));
  kinds.push_back(api::make_kind<core::Secret>("secrets", "secret"));
  kinds.push_back(api::make_kind<core::Service>("services", "service"));
  kinds.push_back(api::make_kind<core::PersistentVolumeClaim>("persistentvolumeclaims", "persistentvolumeclaim"));
  kinds.push_back(api::make_kind<core::Event>("events", "event"));
  kinds.push_back(global_kind<core::Node>("nodes", "node"));
  kinds.push_back(global_kind<core::PersistentVolume>("persistentvolumes", "persistentvolume"));
  kinds.push_back(api::make_kind<k8s::io::api::coordination::v1::Lease>("leases", "lease"));
  kinds.push_back(api::make_kind<k8s::io::api::discovery::v1::EndpointSlice>("endpointslices", "endpointslice"));
  kinds.push_back(global_kind<k8s::io::api::node::v1::RuntimeClass>("runtimeclasses", "runtimeclass"));
  kinds.push_back(global_kind<k8s::io::api::certificates::v1::CertificateSigningRequest>("certificatesigningrequests",
                                                                                         "certificatesigningrequest"));
  kinds.push_back(global_kind<k8s::io::api::authentication::v1::TokenReview>("tokenreviews", "tokenreview"));
  kinds.push_back(
      global_kind<k8s::io::api::authorization::v1::SubjectAccessReview>("subjectaccessreviews", "subjectaccessreview"));
  return kinds;
}

Result<std::unique_ptr<Cluster>> Cluster::open(Loop& loop, const api::Kubeconfig& config, std::string node_name) {
  auto usual = api::RemoteTransport::make(loop, config);
  if (!usual) return std::unexpected(std::move(usual.error()));
  auto urgent = api::RemoteTransport::make(loop, config, kUrgent);
  if (!urgent) return std::unexpected(std::move(urgent.error()));
  Remote remote{std::move(*usual), std::move(*urgent)};
  return std::unique_ptr<Cluster>(new Cluster(loop, std::move(remote), std::move(node_name)));
}

Cluster::Cluster(Loop& loop, Remote remote, std::string node_name)
    : loop_(loop),
      node_name_(std::move(node_name)),
      remote_(std::move(remote)),
      kinds_(cluster_kinds()),
      client_(loop, *remote_.usual, kinds_, kProgram),
      urgent_client_(loop, *remote_.urgent, kinds_, kProgram),
      events_(client_, node_name_, [this] { return node_object() ? node_object()->metadata().uid() : ""; }),
      node_(informer_by_field<Node>(client_, cat("metadata.name=", node_name_))),
      pods_(informer_by_field<Pod>(client_, cat("spec.nodeName=", node_name_))),
      services_(informer_of<Service>(client_, {}, drop_what_people_say)),
      runtime_classes_(informer_of<RuntimeClass>(client_, {}, drop_managed_fields<RuntimeClass>)) {}

Cluster::Cluster(Loop& loop, api::Transport& transport, std::string node_name)
    : loop_(loop),
      node_name_(std::move(node_name)),
      kinds_(cluster_kinds()),
      client_(loop, transport, kinds_, kProgram),
      urgent_client_(loop, transport, kinds_, kProgram),
      events_(client_, node_name_, [this] { return node_object() ? node_object()->metadata().uid() : ""; }),
      node_(informer_by_field<Node>(client_, cat("metadata.name=", node_name_))),
      pods_(informer_by_field<Pod>(client_, cat("spec.nodeName=", node_name_))),
      services_(informer_of<Service>(client_, {}, drop_what_people_say)),
      runtime_classes_(informer_of<RuntimeClass>(client_, {}, drop_managed_fields<RuntimeClass>)) {}

Cluster::~Cluster() = default;

Status Cluster::replace_credentials(const api::Kubeconfig& config) {
  for (auto* transport : {remote_.usual.get(), remote_.urgent.get()}) {
    if (transport == nullptr) continue;
    if (Status replaced = transport->replace(config); !replaced) return replaced;
  }
  return {};
}

void Cluster::start() {
  node_->start();
  pods_->start();
  services_->start();
  runtime_classes_->start();
}

void Cluster::stop() {
  node_->stop();
  pods_->stop();
  services_->stop();
  runtime_classes_->stop();
  events_.stop();
}

std::shared_ptr<const Cluster::Node> Cluster::node_object() const { return node_->find("", node_name_); }

}  // namespace gantry::agent

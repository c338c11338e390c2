// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/pod_warnings.h"

#include <array>
#include <map>
#include <set>

#include "api/quantity.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/pod_template.pb.h"
#include "kubernetes/core/v1/scheduling.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::api {

namespace core = k8s::io::api::core::v1;
using k8s::io::apimachinery::pkg::apis::meta::v1::ObjectMeta;

namespace {

struct Hint {
  std::string_view name;
  std::string_view text;
};

constexpr std::array kNodeLabels = {
    Hint{"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
    Hint{"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
    Hint{"failure-domain.beta.kubernetes.io/region",
         "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
    Hint{"failure-domain.beta.kubernetes.io/zone",
         "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
    Hint{"beta.kubernetes.io/instance-type",
         "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
    Hint{"app.kubernetes.io/created-by", "deprecated since v1.9"},
    Hint{"scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"},
    Hint{"node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"},
};
constexpr std::array kAnnotations = {
    Hint{"scheduler.alpha.kubernetes.io/critical-pod",
         "non-functional in v1.16+; use the \"priorityClassName\" field instead"},
    Hint{"security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"},
    Hint{"security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"},
};
// An answer has no room for more.
constexpr std::size_t kMaxWarnings = 64;
constexpr std::size_t kMaxCompared = 64;
constexpr std::string_view kSeccomp = "non-functional in v1.27+; use the \"seccompProfile\" field instead";

std::string_view hint(const auto& hints, std::string_view name) {
  for (const Hint& one : hints) {
    if (one.name == name) return one.text;
  }
  return {};
}

std::string_view hint_on(const core::VolumeSource& source, std::string* field) {
  const auto found = [field](const char* name, std::string_view text) {
    *field = name;
    return text;
  };
  constexpr std::string_view kSince22 = "deprecated in v1.22, non-functional in v1.25+";
  constexpr std::string_view kSince28 = "deprecated in v1.28, non-functional in v1.31+";
  if (source.has_photon_persistent_disk()) {
    return found("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+");
  }
  if (source.has_git_repo()) return found("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+");
  if (source.has_scale_io()) return found("scaleIO", "deprecated in v1.16, non-functional in v1.22+");
  if (source.has_flocker()) return found("flocker", kSince22);
  if (source.has_storageos()) return found("storageOS", kSince22);
  if (source.has_quobyte()) return found("quobyte", kSince22);
  if (source.has_glusterfs()) return found("glusterfs", "deprecated in v1.25, non-functional in v1.26+");
  if (source.has_cephfs()) return found("cephfs", kSince28);
  if (source.has_rbd()) return found("rbd", kSince28);
  return {};
}

class Reader {
 public:
  Reader(const ObjectMeta& metadata, const core::PodSpec& spec, std::string path)
      : metadata_(metadata), spec_(spec), path_(std::move(path)) {}

  std::vector<std::string> read() {
    read_labels();
    read_annotations();
    read_volumes();
    read_lists();
    read_bytes(cat(path_, "spec.overhead"), spec_.overhead());
    const bool has_profile = spec_.security_context().has_seccomp_profile();
    const std::string pod_key = "seccomp.security.alpha.kubernetes.io/pod";
    if (!has_profile && metadata_.annotations().contains(pod_key)) say_annotation(pod_key, kSeccomp);
    const auto visit = [this](const auto& containers, const char* list) {
      for (int i = 0; i < containers.size(); ++i) {
        if constexpr (requires { containers[i].ephemeral_container_common(); }) {
          read_container(containers[i].ephemeral_container_common(), cat(path_, "spec.", list, "[", i, "]"));
        } else {
          read_container(containers[i], cat(path_, "spec.", list, "[", i, "]"));
        }
      }
    };
    visit(spec_.init_containers(), "initContainers");
    visit(spec_.containers(), "containers");
    visit(spec_.ephemeral_containers(), "ephemeralContainers");
    if (spec_.termination_grace_period_seconds() < 0) {
      say("spec.terminationGracePeriodSeconds", "must be >= 0; negative values are invalid and will be treated as 1");
    }
    return std::move(warnings_);
  }

 private:
  void add(std::string warning) {
    if (warnings_.size() < kMaxWarnings) warnings_.push_back(std::move(warning));
  }
  void say(std::string_view field, std::string_view text) { add(cat(path_, field, ": ", text)); }
  void say_annotation(std::string_view key, std::string_view text) {
    say(cat("metadata.annotations[", key, "]"), text);
  }

  void read_labels() {
    for (const auto& [key, value] : spec_.node_selector()) {
      const std::string_view text = hint(kNodeLabels, key);
      if (!text.empty()) say(cat("spec.nodeSelector[", key, "]"), text);
    }
    for (int i = 0; i < spec_.topology_spread_constraints_size(); ++i) {
      const core::TopologySpreadConstraint& constraint = spec_.topology_spread_constraints(i);
      const std::string field = cat("spec.topologySpreadConstraints[", i, "]");
      const std::string_view text = hint(kNodeLabels, constraint.topology_key());
      if (!text.empty()) say(cat(field, ".topologyKey"), cat(constraint.topology_key(), " is ", text));
      if (!constraint.has_label_selector()) {
        say(cat(field, ".labelSelector"), "a null labelSelector results in matching no pod");
      }
    }
  }

  void read_annotations() {
    for (const Hint& one : kAnnotations) {
      if (metadata_.annotations().contains(std::string(one.name))) say_annotation(one.name, one.text);
    }
  }

  void read_volumes() {
    for (int i = 0; i < spec_.volumes_size(); ++i) {
      std::string field;
      const std::string_view text = hint_on(spec_.volumes(i).volume_source(), &field);
      if (!text.empty()) say(cat("spec.volumes[", i, "].", field), text);
    }
  }

  void read_lists() {
    std::set<std::string_view> addresses;
    for (int i = 0; i < spec_.host_aliases_size(); ++i) {
      const std::string& ip = spec_.host_aliases(i).ip();
      if (!addresses.insert(ip).second) say(cat("spec.hostAliases[", i, "].ip"), cat("duplicate ip ", quoted(ip)));
    }
    std::set<std::string_view> secrets;
    for (int i = 0; i < spec_.image_pull_secrets_size(); ++i) {
      const std::string& name = spec_.image_pull_secrets(i).name();
      const std::string field = cat("spec.imagePullSecrets[", i, "].name");
      if (!secrets.insert(name).second) say(field, cat("duplicate name ", quoted(name, 256)));
      if (name.empty()) say(field, "invalid empty name \"\"");
    }
  }

  // `where` is a whole path.
  template <typename Amounts>
  void read_bytes(const std::string& where, const Amounts& amounts) {
    for (const char* name : {"memory", "ephemeral-storage"}) {
      const auto found = amounts.find(name);
      if (found == amounts.end()) continue;
      const Result<Quantity> amount = Quantity::parse(found->second.string());
      if (!amount || amount->is_multiple_of(0)) continue;
      add(cat(where, "[", name, "]: fractional byte value ", quoted(amount->to_string()),
              " is invalid, must be an integer"));
    }
  }

  template <typename Container>
  void read_container(const Container& container, const std::string& where) {
    const core::SecurityContext& security = container.security_context();
    const std::string seccomp = cat("container.seccomp.security.alpha.kubernetes.io/", container.name());
    if (!security.has_seccomp_profile() && metadata_.annotations().contains(seccomp)) say_annotation(seccomp, kSeccomp);
    const std::string app_armor = cat("container.apparmor.security.beta.kubernetes.io/", container.name());
    const bool is_template = !path_.empty();
    if (is_template && !security.has_app_armor_profile() && metadata_.annotations().contains(app_armor) &&
        !spec_.security_context().has_app_armor_profile()) {
      say_annotation(app_armor, "deprecated since v1.30; use the \"appArmorProfile\" field instead");
    }
    read_bytes(cat(where, ".resources.limits"), container.resources().limits());
    read_bytes(cat(where, ".resources.requests"), container.resources().requests());
    read_environment(container, where);
    read_ports(container, where);
  }

  // A second value of a name that says nothing of the first hides it, and an apply may drop it.
  template <typename Container>
  void read_environment(const Container& container, const std::string& where) {
    std::set<std::string_view> names;
    for (int i = 0; i < container.env_size(); ++i) {
      const core::EnvVar& variable = container.env(i);
      if (names.insert(variable.name()).second) continue;
      const std::string reference = cat("$(", variable.name(), ")");
      if (!variable.has_value_from() && variable.value() != reference && variable.value().contains(reference)) continue;
      add(cat(where, ".env[", i, "]: hides previous definition of ", quoted(variable.name(), 256),
              ", which may be dropped when using apply"));
    }
  }

  template <typename Container>
  void read_ports(const Container& container, const std::string& where) {
    for (int i = 0; i < container.ports_size() && warnings_.size() < kMaxWarnings; ++i) {
      const core::ContainerPort& port = container.ports(i);
      const std::string field = cat(where, ".ports[", i, "]");
      auto& others = ports_[cat(port.container_port(), "/", port.protocol())];
      for (const auto& [other_field, other] : others) {
        std::string_view text;
        if (port.host_ip() == other->host_ip() && port.host_port() == other->host_port()) {
          text = "duplicate";
        } else if (port.host_port() == 0 || other->host_port() == 0) {
          text = "overlapping";
        } else if (port.host_port() == other->host_port() && port.host_ip().empty() != other->host_ip().empty()) {
          text = "dangerously ambiguous";
        }
        if (!text.empty()) add(cat(field, ": ", text, " port definition with ", other_field));
      }
      if (others.size() < kMaxCompared) others.emplace_back(field, &port);
      if (port.name().empty()) continue;
      const auto [first, is_new] = names_.try_emplace(port.name(), field);
      if (is_new) continue;
      add(cat(field, ": duplicate port name ", quoted(port.name()), " with ", first->second,
              ", services and probes that select ports by name will use ", first->second));
    }
  }

  const ObjectMeta& metadata_;
  const core::PodSpec& spec_;
  const std::string path_;  // "" or "spec.template."
  std::vector<std::string> warnings_;
  std::map<std::string, std::vector<std::pair<std::string, const core::ContainerPort*>>> ports_;
  std::map<std::string, std::string> names_;  // of ports, and where each stands first
};

}  // namespace

std::vector<std::string> pod_warnings(const core::Pod& pod) { return Reader(pod.metadata(), pod.spec(), "").read(); }

std::vector<std::string> template_warnings(const core::PodTemplateSpec& pod, const std::string& path) {
  return Reader(pod.metadata(), pod.spec(), cat(path, ".")).read();
}

}  // namespace gantry::api

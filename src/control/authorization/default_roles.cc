// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/default_roles.h"

#include <algorithm>

#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::control {

namespace {

namespace rbac = k8s::io::api::rbac::v1;

constexpr std::string_view kGroup = "rbac.authorization.k8s.io";
constexpr std::string_view kAutoUpdate = "rbac.authorization.kubernetes.io/autoupdate";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (std::string_view part = trimmed(text.substr(0, end)); !part.empty()) parts.push_back(part);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

template <typename M>
std::shared_ptr<M> begin(std::string_view name, std::string_view ns) {
  auto object = std::make_shared<M>();
  auto* metadata = object->mutable_metadata();
  metadata->set_name(std::string(name));
  metadata->set_namespace_(std::string(ns));
  (*metadata->mutable_labels())["kubernetes.io/bootstrapping"] = "rbac-defaults";
  (*metadata->mutable_annotations())[std::string(kAutoUpdate)] = "true";
  return object;
}

// Fills the object that was begun last from its indented lines.
class Reader {
 public:
  explicit Reader(RbacObjects* objects) : objects_(objects) {}

  bool read(std::string_view line) {
    if (!line.starts_with(' ')) return head(split(line, ' '));
    line = trimmed(line);
    if (line.find('|') != std::string_view::npos) return rule(split(line, '|'));
    const std::vector<std::string_view> words = split(line, ' ');
    if (words.size() != 2) return false;
    if (words[0] == "label" || words[0] == "from") return label(words[0], words[1]);
    if (words[0] == "ClusterRole" || words[0] == "Role") return target(words[0], words[1]);
    return subject(words[0], words[1]);
  }

 private:
  bool head(const std::vector<std::string_view>& words) {
    role_.reset();
    cluster_role_.reset();
    binding_.reset();
    cluster_binding_.reset();
    const bool in = words.size() == 4 && words[2] == "in";
    if (words.size() != 2 && !in) return false;
    if (words[0] == "role") {
      if (in) {
        objects_->roles.push_back(role_ = begin<rbac::Role>(words[1], words[3]));
      } else {
        objects_->cluster_roles.push_back(cluster_role_ = begin<rbac::ClusterRole>(words[1], ""));
      }
    } else if (words[0] == "binding") {
      if (in) {
        objects_->role_bindings.push_back(binding_ = begin<rbac::RoleBinding>(words[1], words[3]));
      } else {
        cluster_binding_ = begin<rbac::ClusterRoleBinding>(words[1], "");
        objects_->cluster_role_bindings.push_back(cluster_binding_);
      }
    } else if (words[0] == "controller" && !in) {
      const std::string name = cat("system:controller:", words[1]);
      objects_->cluster_roles.push_back(cluster_role_ = begin<rbac::ClusterRole>(name, ""));
      cluster_binding_ = begin<rbac::ClusterRoleBinding>(name, "");
      objects_->cluster_role_bindings.push_back(cluster_binding_);
      target("ClusterRole", name);
      subject("ServiceAccount", cat("kube-system/", words[1]));
      cluster_binding_.reset();
    } else {
      return false;
    }
    return true;
  }

  bool label(std::string_view what, std::string_view key) {
    if (!cluster_role_) return false;
    if (what == "label") {
      (*cluster_role_->mutable_metadata()->mutable_labels())[std::string(key)] = "true";
    } else {
      auto* selector = cluster_role_->mutable_aggregation_rule()->add_cluster_role_selectors();
      (*selector->mutable_match_labels())[std::string(key)] = "true";
    }
    return true;
  }

  bool rule(const std::vector<std::string_view>& parts) {
    if ((!role_ && !cluster_role_) || parts.size() < 2 || parts.size() > 4) return false;
    PolicyRule* rule = role_ ? role_->add_rules() : cluster_role_->add_rules();
    for (std::string_view verb : split(parts[0], ' ')) rule->add_verbs(std::string(verb));
    if (parts.size() == 2) {
      for (std::string_view path : split(parts[1], ' ')) rule->add_non_resource_urls(std::string(path));
      return true;
    }
    for (std::string_view group : split(parts[1], ' ')) rule->add_api_groups(group == "core" ? "" : std::string(group));
    for (std::string_view resource : split(parts[2], ' ')) rule->add_resources(std::string(resource));
    if (parts.size() < 4) return true;
    for (std::string_view name : split(parts[3], ' ')) rule->add_resource_names(std::string(name));
    return true;
  }

  bool target(std::string_view kind, std::string_view name) {
    if (!binding_ && !cluster_binding_) return false;
    rbac::RoleRef* ref = binding_ ? binding_->mutable_role_ref() : cluster_binding_->mutable_role_ref();
    ref->set_api_group(std::string(kGroup));
    ref->set_kind(std::string(kind));
    ref->set_name(std::string(name));
    return true;
  }

  bool subject(std::string_view kind, std::string_view name) {
    if (!binding_ && !cluster_binding_) return false;
    rbac::Subject* subject = binding_ ? binding_->add_subjects() : cluster_binding_->add_subjects();
    subject->set_kind(std::string(kind));
    const size_t slash = name.find('/');
    if (kind == "ServiceAccount" && slash != std::string_view::npos) {
      subject->set_namespace_(std::string(name.substr(0, slash)));
      subject->set_name(std::string(name.substr(slash + 1)));
      return true;
    }
    subject->set_api_group(std::string(kGroup));
    subject->set_name(std::string(name));
    return kind == "User" || kind == "Group";
  }

  RbacObjects* objects_;
  std::shared_ptr<rbac::Role> role_;
  std::shared_ptr<rbac::ClusterRole> cluster_role_;
  std::shared_ptr<rbac::RoleBinding> binding_;
  std::shared_ptr<rbac::ClusterRoleBinding> cluster_binding_;
};

}  // namespace

Status parse_default_roles(std::string_view text, RbacObjects* objects) {
  Reader reader(objects);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (!line.empty() && !reader.read(line)) {
      return fail(Code::kInvalidArgument, cat("a line of the default roles is wrong: ", quoted(line)));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

Result<RbacObjects> default_roles() {
  RbacObjects objects;
  if (Status read = parse_default_roles(kDefaultUserRoles, &objects); !read) {
    return std::unexpected(std::move(read.error()));
  }
  if (Status read = parse_default_roles(kDefaultControllerRoles, &objects); !read) {
    return std::unexpected(std::move(read.error()));
  }
  return objects;
}

}  // namespace gantry::control

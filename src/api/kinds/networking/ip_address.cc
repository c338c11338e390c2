// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/ip_network.h"
#include "api/kind_parts.h"
#include "api/kinds/networking/kinds.h"
#include "api/names.h"
#include "base/text.h"
#include "kubernetes/networking/v1/service_cidr.pb.h"

namespace gantry::api {

namespace {

namespace networking = k8s::io::api::networking::v1;

std::string parent_text(const networking::ParentReference& parent) {
  std::string text = lowered(parent.resource());
  if (!parent.group().empty()) text += cat(".", lowered(parent.group()));
  if (!parent.namespace_().empty()) text += cat("/", parent.namespace_());
  return cat(text, "/", parent.name());
}

std::vector<Value> row(const networking::IPAddress& object, int64_t now) {
  return {object.metadata().name(),
          object.spec().has_parent_ref() ? Value(parent_text(object.spec().parent_ref())) : Value(kNone),
          age(object.metadata(), now)};
}

// Two names of one address would be two addresses.
std::string check_canonical_ip(std::string_view name) {
  const Result<IpAddress> address = parse_ip(name);
  if (!address) return "must be an IPv4 or IPv6 address";
  return to_string(*address) == name ? "" : cat("must be written as ", to_string(*address));
}

FieldProblems validate(const networking::IPAddress& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec").at("parentRef");
  if (!object.spec().has_parent_ref()) {
    check.required();
    return problems;
  }
  const networking::ParentReference& parent = object.spec().parent_ref();
  check.at("group").optional_name(parent.group(), check_dns1123_subdomain);
  check.at("resource").name(parent.resource(), check_path_segment);
  check.at("name").name(parent.name(), check_path_segment);
  check.at("namespace").optional_name(parent.namespace_(), check_path_segment);
  return problems;
}

FieldProblems validate_update(const networking::IPAddress& old, const networking::IPAddress& updated) {
  FieldProblems problems;
  if (!equal(old.spec().parent_ref(), updated.spec().parent_ref())) {
    Check(&problems).at("spec").at("parentRef").invalid("", "field is immutable");
  }
  return problems;
}

}  // namespace

Kind ip_address_kind() {
  Kind kind = make_kind<networking::IPAddress>("ipaddresses", "ipaddress", {"ip"});
  kind.namespaced = false;
  kind.storage = "ipaddresses";
  kind.check_name = &check_canonical_ip;
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.table = {{name_column(), column("ParentRef", "string", "Whose address it is."), age_column()}, over(&row)};
  return kind;
}

}  // namespace gantry::api

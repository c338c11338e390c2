// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/domain_path.h"
#include "api/kind_parts.h"
#include "api/kinds/networking/kinds.h"
#include "api/names.h"
#include "base/text.h"
#include "kubernetes/networking/v1/ingress.pb.h"

namespace gantry::api {

namespace {

namespace networking = k8s::io::api::networking::v1;

constexpr std::string_view kDefault = "ingressclass.kubernetes.io/is-default-class";

std::string parameters_text(const networking::IngressClassParametersReference& parameters) {
  const std::string group = parameters.has_api_group() ? cat(".", parameters.api_group()) : "";
  return cat(parameters.kind(), group, "/", parameters.name());
}

std::vector<Value> row(const networking::IngressClass& object, int64_t now) {
  const auto mark = object.metadata().annotations().find(std::string(kDefault));
  const bool is_default = mark != object.metadata().annotations().end() && mark->second == "true";
  return {is_default ? cat(object.metadata().name(), " (default)") : object.metadata().name(),
          object.spec().controller(),
          object.spec().has_parameters() ? Value(parameters_text(object.spec().parameters())) : Value(kNone),
          age(object.metadata(), now)};
}

void set_defaults(networking::IngressClass* object) {
  if (!object->spec().has_parameters() || object->spec().parameters().has_scope()) return;
  object->mutable_spec()->mutable_parameters()->set_scope("Cluster");
}

constexpr size_t kMaxController = 250;

void check_parameters(const networking::IngressClassParametersReference& parameters, const Check& check) {
  if (parameters.has_api_group()) {
    check.at("apiGroup").well_formed(parameters.api_group(), check_dns1123_subdomain);
  }
  check.at("kind").name(parameters.kind(), check_path_segment);
  check.at("name").name(parameters.name(), check_path_segment);
  check.at("scope").one_of(parameters.scope(), {"Cluster", "Namespace"});
  const Check ns = check.at("namespace");
  if (parameters.scope() == "Namespace") {
    if (!parameters.has_namespace_()) {
      ns.required("must be set when scope is Namespace");
    } else {
      ns.well_formed(parameters.namespace_(), check_dns1123_label);
    }
  }
  if (parameters.scope() == "Cluster" && parameters.has_namespace_())
    ns.forbidden("can not be set when scope is Cluster");
}

FieldProblems validate(const networking::IngressClass& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const std::string& controller = object.spec().controller();
  if (controller.size() > kMaxController) {
    check.at("controller").too_long(controller.size(), kMaxController, "characters");
  }
  check.at("controller").name(controller, check_domain_path);
  if (object.spec().has_parameters()) check_parameters(object.spec().parameters(), check.at("parameters"));
  return problems;
}

FieldProblems validate_update(const networking::IngressClass& old, const networking::IngressClass& updated) {
  FieldProblems problems;
  if (old.spec().controller() != updated.spec().controller()) {
    Check(&problems).at("spec").at("controller").invalid(updated.spec().controller(), "field is immutable");
  }
  return problems;
}

}  // namespace

Kind ingress_class_kind() {
  Kind kind = make_kind<networking::IngressClass>("ingressclasses", "ingressclass");
  kind.namespaced = false;
  kind.storage = "ingressclasses";
  kind.set_defaults = over(&set_defaults);
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.has_generation = true;
  kind.table = {{name_column(), column("Controller", "string", "Who serves ingresses of this class."),
                 column("Parameters", "string", "The object that holds its settings."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api

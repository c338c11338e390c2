// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
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

// "example.com/controller"
void check_controller(const std::string& controller, const Check& check) {
  if (controller.size() > kMaxController) check.too_long(controller.size(), kMaxController, "characters");
  if (controller.empty()) return check.required();
  const size_t slash = controller.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == controller.size()) {
    return check.invalid(controller, "must be a domain and a path, such as example.com/controller");
  }
  if (const std::string wrong = check_dns1123_subdomain(controller.substr(0, slash)); !wrong.empty()) {
    check.invalid(controller, wrong);
  }
  constexpr std::string_view kMarks = "/%!$&'()*+,;=:@-._~";
  for (const char c : controller.substr(slash + 1)) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && kMarks.find(c) == kMarks.npos) {
      return check.invalid(controller, "must have a path of letters, digits and marks that URLs may have");
    }
  }
}

void check_parameters(const networking::IngressClassParametersReference& parameters, const Check& check) {
  if (parameters.has_api_group()) {
    if (const std::string wrong = check_dns1123_subdomain(parameters.api_group()); !wrong.empty()) {
      check.at("apiGroup").invalid(parameters.api_group(), wrong);
    }
  }
  check.at("kind").name(parameters.kind(), check_path_segment);
  check.at("name").name(parameters.name(), check_path_segment);
  check.at("scope").one_of(parameters.scope(), {"Cluster", "Namespace"});
  const Check ns = check.at("namespace");
  if (parameters.scope() == "Namespace") {
    if (!parameters.has_namespace_()) {
      ns.required("must be set when scope is Namespace");
    } else if (const std::string wrong = check_dns1123_label(parameters.namespace_()); !wrong.empty()) {
      ns.invalid(parameters.namespace_(), wrong);
    }
  }
  if (parameters.scope() == "Cluster" && parameters.has_namespace_())
    ns.forbidden("can not be set when scope is Cluster");
}

FieldProblems validate(const networking::IngressClass& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  check_controller(object.spec().controller(), check.at("controller"));
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

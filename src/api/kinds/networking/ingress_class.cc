// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/networking/kinds.h"
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

}  // namespace

Kind ingress_class_kind() {
  Kind kind = make_kind<networking::IngressClass>("ingressclasses", "ingressclass");
  kind.namespaced = false;
  kind.storage = "ingressclasses";
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.table = {{name_column(), column("Controller", "string", "Who serves ingresses of this class."),
                 column("Parameters", "string", "The object that holds its settings."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api

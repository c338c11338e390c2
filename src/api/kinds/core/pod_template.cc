// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/pod_template.h"

#include "api/defaults.h"
#include "api/kinds/core/kinds.h"
#include "api/kinds/core/pod_rules.h"
#include "api/kinds/core/pod_warnings.h"
#include "api/kinds/core/workload.h"
#include "kubernetes/core/v1/pod_template.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::PodTemplate& object, int64_t) {
  const core::PodTemplateSpec& pod = object.template_();
  return {object.metadata().name(), container_names(pod.spec()), container_images(pod.spec()),
          or_none(selector_text(pod.metadata().labels()))};
}

void set_defaults(core::PodTemplate* object) {
  apply_constant_defaults(object);
  default_pod_template(object->mutable_template_());
}

FieldProblems validate(const core::PodTemplate& object) {
  FieldProblems problems;
  check_pod_template(object.template_(), Check(&problems).at("template"));
  return problems;
}

std::vector<std::string> warnings(const core::PodTemplate& object) {
  return template_warnings(object.template_(), "template");
}

}  // namespace

void default_pod_template(core::PodTemplateSpec* pod) { default_pod_spec(pod->mutable_spec()); }

std::string container_names(const core::PodSpec& spec) {
  std::vector<std::string> names;
  for (const core::Container& container : spec.containers()) names.push_back(container.name());
  return joined(names);
}

std::string container_images(const core::PodSpec& spec) {
  std::vector<std::string> images;
  for (const core::Container& container : spec.containers()) images.push_back(container.image());
  return joined(images);
}

void add_template_columns(std::vector<Column>* columns, bool with_selector) {
  columns->push_back(wide_column("Containers", "string", "Names of the template's containers."));
  columns->push_back(wide_column("Images", "string", "Images of the template's containers."));
  if (with_selector) columns->push_back(wide_column("Selector", "string", "Labels of the pods that it owns."));
}

Kind pod_template_kind() {
  Kind kind = make_kind<core::PodTemplate>("podtemplates", "podtemplate");
  kind.storage = "podtemplates";
  kind.answers_deleted = true;
  kind.validate = over(&validate);
  kind.warnings = over(&warnings);
  kind.has_generation = true;
  kind.set_defaults = over(&set_defaults);
  kind.table = {{name_column(), column("Containers", "string", "Names of the template's containers."),
                 column("Images", "string", "Images of the template's containers."),
                 column("Pod Labels", "string", "Labels that its pods get.")},
                over(&row)};
  return kind;
}

}  // namespace gantry::api

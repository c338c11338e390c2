// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <set>

#include "api/check.h"
#include "api/kind_parts.h"
#include "api/kinds/core/same_map.h"
#include "api/kinds/storage/kinds.h"
#include "api/kinds/storage/rules.h"
#include "api/names.h"
#include "base/text.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::api {

namespace {

namespace storage = k8s::io::api::storage::v1;

constexpr std::string_view kDefault = "storageclass.kubernetes.io/is-default-class";

std::vector<Value> row(const storage::StorageClass& object, int64_t now) {
  const auto mark = object.metadata().annotations().find(std::string(kDefault));
  const bool is_default = mark != object.metadata().annotations().end() && mark->second == "true";
  return {is_default ? cat(object.metadata().name(), " (default)") : object.metadata().name(),
          object.provisioner(),
          object.has_reclaim_policy() ? object.reclaim_policy() : "Delete",
          object.has_volume_binding_mode() ? object.volume_binding_mode() : "Immediate",
          object.allow_volume_expansion(),
          age(object.metadata(), now)};
}

TableRules table() {
  return {{name_column(), column("Provisioner", "string", "Who makes its volumes."),
           column("ReclaimPolicy", "string", "What becomes of a volume when its claim is gone."),
           column("VolumeBindingMode", "string", "Whether volumes are made at once or for their first pod."),
           column("AllowVolumeExpansion", "string", "Whether its volumes can grow."), age_column()},
          over(&row)};
}

void set_defaults(storage::StorageClass* object) {
  if (!object->has_reclaim_policy()) object->set_reclaim_policy("Delete");
  if (!object->has_volume_binding_mode()) object->set_volume_binding_mode("Immediate");
}

// The terms in which volumes may be reached: labels of nodes, each with the values that it may have, no term twice.
void check_topologies(const storage::StorageClass& object, const Check& check) {
  std::set<std::map<std::string, std::set<std::string>>> terms = {{}};  // one that says nothing is one too many
  for (int i = 0; i < object.allowed_topologies_size(); ++i) {
    const Check expressions = check[i].at("matchLabelExpressions");
    std::map<std::string, std::set<std::string>> term;
    for (int j = 0; j < object.allowed_topologies(i).match_label_expressions_size(); ++j) {
      const auto& expression = object.allowed_topologies(i).match_label_expressions(j);
      std::set<std::string> values;
      if (expression.values().empty()) expressions[j].at("values").required();
      for (int k = 0; k < expression.values_size(); ++k) {
        if (!values.insert(expression.values(k)).second) {
          expressions[j].at("values")[k].duplicate(expression.values(k));
        }
      }
      expressions[j].at("key").well_formed(expression.key(), check_qualified_name);
      if (!term.emplace(expression.key(), std::move(values)).second) {
        expressions[j].at("key").duplicate(expression.key());
      }
    }
    if (!terms.insert(std::move(term)).second) expressions.duplicate("");
  }
}

FieldProblems validate(const storage::StorageClass& object) {
  FieldProblems problems;
  const Check check(&problems);
  check_provisioner(object.provisioner(), check.at("provisioner"));
  check_parameters(object.parameters(), check.at("parameters"));
  check.at("reclaimPolicy").one_of(object.reclaim_policy(), {"", "Delete", "Retain"});
  check.at("volumeBindingMode").one_of(object.volume_binding_mode(), {"Immediate", "WaitForFirstConsumer"});
  check_topologies(object, check.at("allowedTopologies"));
  return problems;
}

FieldProblems validate_update(const storage::StorageClass& old, const storage::StorageClass& updated) {
  FieldProblems problems;
  const Check check(&problems);
  const auto same = [&](bool equal, const char* field) {
    if (!equal) check.at(field).invalid("", "field is immutable");
  };
  same(same_map(old.parameters(), updated.parameters()), "parameters");
  same(old.provisioner() == updated.provisioner(), "provisioner");
  same(old.reclaim_policy() == updated.reclaim_policy(), "reclaimPolicy");
  same(old.volume_binding_mode() == updated.volume_binding_mode(), "volumeBindingMode");
  return problems;
}

}  // namespace

Kind storage_class_kind() {
  Kind kind = make_kind<storage::StorageClass>("storageclasses", "storageclass", {"sc"});
  kind.namespaced = false;
  kind.storage = "storageclasses";
  kind.answers_deleted = true;
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.set_defaults = over(&set_defaults);
  kind.table = table();
  return kind;
}

}  // namespace gantry::api

// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "kubernetes/core/v1/config.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::Secret& object, int64_t now) {
  return {object.metadata().name(), object.type(), static_cast<int64_t>(object.data_size()),
          age(object.metadata(), now)};
}

std::vector<std::string> selectable(const core::Secret& object) { return {object.type()}; }

// stringData is another way to write data, for people, and is never stored.
void set_defaults(core::Secret* secret) {
  for (const auto& [key, text] : secret->string_data()) (*secret->mutable_data())[key] = text;
  secret->clear_string_data();
  if (secret->type().empty()) secret->set_type("Opaque");
}

}  // namespace

Kind secret_kind() {
  Kind kind = make_kind<core::Secret>("secrets", "secret");
  kind.storage = "secrets";
  kind.set_defaults = over(&set_defaults);
  kind.selectable = {"type"};
  kind.selectable_values = over(&selectable);
  kind.table = {{name_column(), column("Type", "string", "What its keys mean."),
                 column("Data", "string", "How many keys it has."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api

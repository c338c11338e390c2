// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "api/kinds/core/service_rules.h"
#include "api/names.h"
#include "kubernetes/core/v1/service.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<std::string> selectable(const core::Service& service) {
  return {service.spec().cluster_ip(), service.spec().type()};
}

}  // namespace

Kind service_kind() {
  Kind kind = make_kind<core::Service>("services", "service", {"svc"});
  kind.categories = {"all"};
  kind.storage = "services/specs";
  kind.put_creates = true;
  kind.answers_deleted = true;
  kind.check_name = check_dns1123_label;
  kind.set_defaults = over(&default_service);
  kind.prepare_create = over(&prepare_service);
  kind.validate = over(&validate_service);
  kind.update = {over(&prepare_service_update), over(&validate_service_update)};
  kind.selectable = {"spec.clusterIP", "spec.type"};
  kind.selectable_values = over(&selectable);
  kind.table = service_table();
  add_status(&kind);
  add_action(&kind, "proxy", {"", "v1", "ServiceProxyOptions"}, kProxyVerbs);
  return kind;
}

}  // namespace gantry::api

// SPDX-License-Identifier: Apache-2.0
// The parts of the kind Service, one file each; of use to nobody else.
#pragma once

#include "api/kind.h"

namespace k8s::io::api::core::v1 {
class Service;
class ServiceSpec;
}  // namespace k8s::io::api::core::v1

namespace gantry::api {

TableRules service_table();

void default_service(k8s::io::api::core::v1::Service* service);

void prepare_service(k8s::io::api::core::v1::Service* service);
void prepare_service_update(const k8s::io::api::core::v1::Service& old, k8s::io::api::core::v1::Service* updated);
// Addresses and ports within the cluster's ranges, and their being free, are the allocator's matter.
FieldProblems validate_service(const k8s::io::api::core::v1::Service& service);
FieldProblems validate_service_update(const k8s::io::api::core::v1::Service& old,
                                      const k8s::io::api::core::v1::Service& updated);

// Of a type that has an address in the cluster (if it is not headless).
bool has_cluster_ip(const k8s::io::api::core::v1::ServiceSpec& spec);
// Traffic may come from outside of the cluster.
bool is_externally_accessible(const k8s::io::api::core::v1::ServiceSpec& spec);

}  // namespace gantry::api

// SPDX-License-Identifier: Apache-2.0
// The kinds of storage.k8s.io/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind csi_driver_kind();
Kind csi_node_kind();
Kind csi_storage_capacity_kind();
Kind storage_class_kind();
Kind volume_attachment_kind();
Kind volume_attributes_class_kind();

}  // namespace gantry::api

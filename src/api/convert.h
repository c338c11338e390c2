// SPDX-License-Identifier: Apache-2.0
// Documents of one kind in the words of the other versions and groups in which it is served: an
// autoscaling/v1 HorizontalPodAutoscaler as autoscaling/v2. Pure; any thread.
#pragma once

#include "api/field_updater.h"
#include "api/kind.h"

namespace gantry::api {

// By way of the version that is stored. It answers nothing for a version in which the kind is not served, and for a
// document that is no object of its kind. `kinds` must outlive it.
ConvertObject converter_of(const Kinds& kinds);

}  // namespace gantry::api

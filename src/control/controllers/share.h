// SPDX-License-Identifier: Apache-2.0
// Shares: amounts that are written as a number or as a percentage of what there is (maxUnavailable: 25%). Pure.
#pragma once

#include "kubernetes/util/intstr.pb.h"

namespace gantry::control {

enum class Rounding { kDown, kUp };
// Of `total`. Text that is no percentage, which no rule of the API lets in, is nothing.
int amount_of(const k8s::io::apimachinery::pkg::util::intstr::IntOrString& share, int total, Rounding rounding);

}  // namespace gantry::control

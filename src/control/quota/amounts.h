// SPDX-License-Identifier: Apache-2.0
// Amounts of resources by name, to count with: what a pod takes, what a namespace may have. Plain values; any thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "api/kinds/core/amounts.h"
#include "api/quantity.h"

namespace gantry::control {

using Amounts = std::map<std::string, api::Quantity>;

// Of an object. What is no quantity counts as nothing: an object that was written has none.
Amounts read_amounts(const api::Amounts& amounts);
void write_amounts(const Amounts& amounts, api::Amounts* out);

// For each name of either.
void add(const Amounts& more, Amounts* sum);
void raise(const Amounts& least, Amounts* amounts);
// `now` less `before` where that is more than nothing, and nothing for all else.
Amounts growth(const Amounts& before, const Amounts& now);
// Those of which `keep` has the name, whatever it says of them.
Amounts only(const Amounts& amounts, const Amounts& keep);
Amounts without_zeros(Amounts amounts);
bool equal(const Amounts& a, const Amounts& b);
// "cpu=1,memory=2Gi"
std::string to_text(const Amounts& amounts);

}  // namespace gantry::control

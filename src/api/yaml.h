// SPDX-License-Identifier: Apache-2.0
// YAML text to Values, read as Kubernetes reads it: libyaml's events, with plain scalars resolved by YAML 1.1 as
// sigs.k8s.io/yaml does. So `yes`, `on` and `y` are booleans, 0644 and 0o644 are 420, 1_000 is 1000, 1e3 is 1000, and a
// date stays a string. Anchors and aliases are expanded within the limits; `<<` merges, and keys that are written out
// win.
//
// Refused, with the line: what JSON can't hold (.nan, .inf, keys that are null, lists or objects), keys that are
// fractions (upstream turns 1.10 into "1.1"; they have to be quoted), and tags other than !!str, !!int, !!float,
// !!bool, !!null,
// !!map and !!seq.
#pragma once

#include <string_view>
#include <vector>

#include "api/value.h"
#include "base/result.h"

namespace gantry::api {

// Every document of the text that holds something, in order. Errors as of parse_json.
Result<std::vector<Value>> parse_yaml(std::string_view text, const ParseLimits& limits = {});

// A manifest, whose kind is not told: JSON (one document) if it begins with '{', YAML otherwise.
Result<std::vector<Value>> parse_documents(std::string_view text, const ParseLimits& limits = {});

}  // namespace gantry::api

// SPDX-License-Identifier: Apache-2.0
// $(NAME) in commands, arguments and environment values of a pod. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace gantry::agent {

// $(NAME) becomes the value; one that `values` has not stays as it is, and so does an unclosed one. $$ is a dollar
// sign, so $$(NAME) is the text $(NAME). A dollar sign before anything else is itself. `missing`, when given, takes the
// names that have no value, or an empty one.
std::string expand(std::string_view text, const std::map<std::string, std::string>& values,
                   std::set<std::string>* missing = nullptr);

}  // namespace gantry::agent

// SPDX-License-Identifier: Apache-2.0
// What the comments in these files say, for those who ask a server (kubectl explain). The table is made by
// comments_main.cc when the project is built.
#pragma once

#include <string_view>

namespace gantry::kubernetes {

// The comment before a message or field, in one line: of "k8s.io.api.core.v1.PodSpec.host_pid". Empty if there is none.
std::string_view comment(std::string_view full_name);

}  // namespace gantry::kubernetes

// SPDX-License-Identifier: Apache-2.0
// Which images a pattern means, as kubelet has it: in a Docker config.json's keys, in matchImages, and in what a
// credential provider answers. Values.
//
//   registry.example            every image there          *.registry.example   one name more, whichever it is
//   registry.example:5000       with this very port        registry.example/team   those whose name goes on with this
//
// Each piece between the dots of a host is a glob (* ? [a-z]) of its own, and there must be as many. "https://" before
// it and "/v1/" or "/v2/" behind the host, as Docker writes them, mean nothing.
#pragma once

#include <string>
#include <string_view>

namespace gantry::images {

// Without what means nothing; equal texts mean the same.
std::string normal_pattern(std::string_view pattern);

// `image` is "registry.example:5000/team/app", without tag and digest; `pattern` a normal one.
bool matches_image(std::string_view pattern, std::string_view image);

}  // namespace gantry::images

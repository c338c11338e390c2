// SPDX-License-Identifier: Apache-2.0
// systemd's slices, whose names say where they are: "a-b.slice" is /a.slice/a-b.slice in the hierarchy. Pure.
// Source: systemd.slice(5), systemd.unit(5).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::cgroups {

inline constexpr std::string_view kRootSlice = "-.slice";
inline constexpr int kMaxSliceLevels = 16;

// The slice that is meant by its name or, as "/a.slice/a-b.slice", by its path: its name. kInvalidArgument for what no
// slice is called, and for a path at which systemd would not put it.
Result<std::string> parse_slice(std::string_view text);

// Of a slice and those that it is in, their names, outermost first; none for the root slice. Precondition: a slice's
// name.
std::vector<std::string> slice_levels(std::string_view name);
// "/a.slice/a-b.slice"; "" for the root slice.
std::string slice_path(std::string_view name);

// A text as one part of a slice's name, as kubelet has it: '_' in place of '-', which would begin the next part.
std::string slice_part(std::string_view text);

}  // namespace gantry::cgroups

// SPDX-License-Identifier: Apache-2.0
// Files that people and other programs put into folders for us, or name to us: configurations, specifications,
// manifests. Who may do that is trusted, but what it is may be anything: bounded, and never waited for.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

// Names in a folder that end in one of `suffixes`, sorted. `dir` is opened anew, so O_PATH will do. More than `most` is
// kResourceExhausted, which says of what (`what`, in the plural).
Result<std::vector<std::string>> list_ending(FdRef dir, std::initializer_list<std::string_view> suffixes,
                                             std::size_t most, std::string_view what);

// read_all() of what was opened without knowing what it is (with O_NONBLOCK, for a FIFO that nobody writes to):
// anything but a regular file is kInvalidArgument.
Result<std::string> read_regular(FdRef fd, std::size_t limit);

// The same of the file that `path` leads to, by links too: a mounted ConfigMap is made of them. Errors begin with the
// path.
Result<std::string> read_given(const std::string& path, std::size_t limit);

}  // namespace gantry::sys

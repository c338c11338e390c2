// SPDX-License-Identifier: Apache-2.0
// The folders of CDI specifications: *.json and *.yaml in each, links followed. They are read when a container asks for
// devices, and not before: what lies there holds from the next request on, without a watch that could be behind it.
//
// A device that two folders have is that of the later one; one that two files of the same folder have is nobody's. A
// file that can't be read is passed over, and named only to those who ask for a device that nobody else has.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace gantry::cdi {

inline constexpr std::size_t kMaxSpecFiles = 4096;  // in a folder

// What containers with these devices get: a text for parse_edits(). First the edits of a device's file, once, then the
// device's. kNotFound names a device that there is not, kFailedPrecondition one that two files have, or that needs what
// this runtime does not do. Blocking.
Result<std::string> resolve(const std::vector<std::string>& folders, const std::vector<std::string>& devices);

// What is wrong with files and folders, each by its path: what whoever asks for their devices would be told. Blocking.
std::vector<std::string> problems(const std::vector<std::string>& folders);

}  // namespace gantry::cdi

// SPDX-License-Identifier: Apache-2.0
// The commands of gantry-oci that look at containers and end them. Each prints what it has to say on standard output.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/oci_log.h"

namespace gantry::cli {

Status print_state(const std::string& root, const std::string& id);

enum class ListFormat { kTable, kJson, kIds };
Status list_containers(const std::string& root, ListFormat format, Log& log);

// To the first process, or to all of the container's. One that has ended is an error.
Status signal_container(const std::string& root, const std::string& id, const std::string& signal, bool all);
// A running container only by `force`, which also takes one that is not there for deleted.
Status delete_container(const std::string& root, const std::string& id, bool force, Log& log);

Status freeze_container(const std::string& root, const std::string& id, bool frozen);

// The flags of `update`, with what each is: what is not given does not change.
struct UpdateFlag {
  const char* name;
  const char* help;
};
std::vector<UpdateFlag> update_flags();
struct UpdateOptions {
  std::string id;
  std::string resources_file;                 // "-" is standard input; then the flags mean nothing
  std::map<std::string, std::string> values;  // by flag
};
Status update_container(const std::string& root, const UpdateOptions& options, Log& log);

// Statistics, once or after each `interval` ("5s", "1m30s", "100ms") until the container ends, and between them an
// event for each time that the OOM killer came. A line of JSON each.
Status print_events(const std::string& root, const std::string& id, const std::string& interval, bool once);

// As `ps` has them, called with `args`, or as a JSON list of numbers.
Status print_processes(const std::string& root, const std::string& id, bool json, std::vector<std::string> args);

// What this runtime can do, as the specification's features document has it.
Result<std::string> features_json();
// Writes a configuration to begin with, unless there is one: for root, or for this process's user alone, in a user
// namespace.
Status write_default_config(const std::string& bundle, bool is_rootless);

}  // namespace gantry::cli

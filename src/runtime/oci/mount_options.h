// SPDX-License-Identifier: Apache-2.0
// The options of an OCI mount, in mount(8)'s words and the specification's own ("rro"), taken apart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/mount.h"

namespace gantry::runtime::oci {

struct MountOptions {
  bool is_bind = false;
  bool is_recursive = false;                        // rbind
  bool copies_up = false;                           // tmpcopyup
  bool maps_ids = false, maps_ids_of_tree = false;  // idmap, ridmap
  sys::MountAttr set = sys::MountAttr::kNone, clear = sys::MountAttr::kNone;
  sys::MountAttr tree_set = sys::MountAttr::kNone, tree_clear = sys::MountAttr::kNone;
  sys::Propagation propagation = sys::Propagation::kUnchanged;       // "private"
  sys::Propagation tree_propagation = sys::Propagation::kUnchanged;  // "rprivate"
  // What the file system takes itself: "size=64k", and words for all of it such as "sync".
  std::vector<std::string> data;
};

// Of a mount that is a bind by its type, if `is_bind`, or becomes one by an option. The error says which option is
// wrong, without the field's name.
Result<MountOptions> parse_mount_options(const std::vector<std::string>& options, bool is_bind);

// The way back: words that parse_mount_options() makes the same of.
std::vector<std::string> mount_option_words(const MountOptions& options);

// Every word that parse_mount_options() knows, sorted: what `features` lists.
std::vector<std::string> known_mount_options();

}  // namespace gantry::runtime::oci

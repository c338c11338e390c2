// SPDX-License-Identifier: Apache-2.0
// `gantry-control backup FILE` and `restore FILE`: the store in SQLite, and the keys and certificates of pki, as one
// file. Not in it: the config file, and the keys of --encryption-provider-config, without which what they encrypt is
// of no use, so a copy of the backup alone does not give secrets away. Both block.
#pragma once

#include <string>

#include "control/plane/options.h"

namespace gantry::control {

// Also while gantry-control runs. `file` is replaced when the backup is whole. kFailedPrecondition for objects in an
// etcd, which has its own way.
Status make_backup(const PlaneOptions& options, const std::string& file);

// Into a data folder that has nothing yet, or what a restore of the same store that was interrupted has left.
Status restore_backup(const PlaneOptions& options, const std::string& file);

// An error while a restore is not whole: what is there is neither the old nor the new.
Status check_restored(const std::string& data_dir);

}  // namespace gantry::control

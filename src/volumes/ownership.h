// SPDX-License-Identifier: Apache-2.0
// fsGroup: a volume's tree is given to a group, whose members read and write it, and what is made in it later is the
// group's, too. Blocking; as long as the tree is large.
#pragma once

#include <sys/types.h>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::volumes {

enum class OwnershipChange { kAlways, kOnRootMismatch };

// Of all that is in the folder, and of itself last, so that one that was cut short is begun anew: the group, rw for it,
// and for folders x and set-gid. A link is owned and never followed; what is mounted beneath stays as it is. With
// kOnRootMismatch nothing is done when the folder itself is as it would become. Trees deeper than 200 folders are
// refused.
Status give_to_group(FdRef folder, gid_t group, OwnershipChange change);

}  // namespace gantry::volumes

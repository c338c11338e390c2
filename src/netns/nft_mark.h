// SPDX-License-Identifier: Apache-2.0
// Which nftables tables are this node's: those whose comment has the instance's mark. Whatever else has such a name is
// somebody else's, and left alone. Asks the kernel, which answers at once.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::netns {

// "gantry:<instance>", the comment of all tables of an instance.
std::string nft_mark(const std::string& instance);
// "<prefix>-<8 hex digits of the instance>".
std::string nft_table_name(std::string_view prefix, const std::string& instance);
// Whether there is a table inet `name`; kFailedPrecondition when it bears another mark than this.
Result<bool> has_own_nft_table(const std::string& name, const std::string& mark);

}  // namespace gantry::netns

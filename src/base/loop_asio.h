// SPDX-License-Identifier: Apache-2.0
// The io_context beneath a Loop, for .cc files that use Asio's or Beast's own objects on it. Never included by a
// header.
#pragma once

#include <boost/asio/io_context.hpp>

#include "base/loop.h"

namespace gantry {

boost::asio::io_context& io_context_of(Loop& loop);

}  // namespace gantry

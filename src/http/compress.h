// SPDX-License-Identifier: Apache-2.0
// Large answers for clients that take gzip. Part of the server, for its connections.
#pragma once

#include <cstddef>

#include "base/loop.h"
#include "http/message.h"

namespace gantry::http {

// The client names gzip in Accept-Encoding, and not with a weight of zero.
bool accepts_gzip(const Request& request);

// Makes a whole answer of more than `least` bytes one that is compressed as it is sent, piece by piece, so that others
// on the loop wait for none longer than for one piece. Answers of other kinds, or that have an encoding, stay as they
// are.
void compress(Loop& loop, Reply& reply, std::size_t least);

}  // namespace gantry::http

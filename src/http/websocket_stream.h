// SPDX-License-Identifier: Apache-2.0
// A connection inside a WebSocket: what its messages hold, one after the other, is the bytes; where a message ends
// means nothing. Pings are answered. Loop thread.
#pragma once

#include <memory>

#include "base/loop.h"
#include "http/byte_stream.h"

namespace gantry::http {

// `stream` is one whose handshake is done, as the server.
std::unique_ptr<ByteStream> make_websocket_stream(Loop& loop, std::unique_ptr<ByteStream> stream);

}  // namespace gantry::http

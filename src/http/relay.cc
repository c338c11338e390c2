// SPDX-License-Identifier: Apache-2.0
#include "http/relay.h"

#include <array>

namespace gantry::http {

namespace {

struct Pair {
  Pair(Loop& here, std::unique_ptr<ByteStream> a, std::unique_ptr<ByteStream> b)
      : one(std::move(a)), other(std::move(b)), ended(here) {}
  std::unique_ptr<ByteStream> one;
  std::unique_ptr<ByteStream> other;
  Event ended;  // of the direction from other to one
};

// False when a connection failed, which ends both directions.
Task<bool> pump(ByteStream& from, ByteStream& to) {
  std::array<char, 32 << 10> buffer;
  for (;;) {
    Result<std::size_t> size = co_await from.read(buffer);
    if (!size) co_return false;
    if (*size == 0) {
      to.finish_writing();
      co_return true;
    }
    if (Status written = co_await to.write({buffer.data(), *size}); !written) co_return false;
  }
}

Task<> pump_one_way(std::shared_ptr<Pair> pair, bool back) {
  ByteStream& from = back ? *pair->other : *pair->one;
  ByteStream& to = back ? *pair->one : *pair->other;
  if (!co_await pump(from, to)) {
    pair->one->close();
    pair->other->close();
  }
  if (back) pair->ended.set();
}

}  // namespace

Task<> relay(Loop& here, std::unique_ptr<ByteStream> one, std::unique_ptr<ByteStream> other) {
  auto pair = std::make_shared<Pair>(here, std::move(one), std::move(other));
  here.spawn(pump_one_way(pair, true));
  co_await pump_one_way(pair, false);
  co_await pair->ended.wait();
  pair->one->close();
  pair->other->close();
}

}  // namespace gantry::http

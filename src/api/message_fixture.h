// SPDX-License-Identifier: Apache-2.0
// Messages for tests, made of the JSON of what matters in them.
#pragma once

#include <gtest/gtest.h>

#include <string_view>

#include "api/codec.h"
#include "api/json.h"

namespace gantry::api {

template <typename M>
M from_json(std::string_view text) {
  M message;
  const Result<Value> document = parse_json(text);
  EXPECT_TRUE(document) << text;
  if (!document) return message;
  const Status done = decode(*document, &message, {.require_type = false});
  EXPECT_TRUE(done) << text << ": " << (done ? "" : done.error().message());
  return message;
}

}  // namespace gantry::api

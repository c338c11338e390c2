// SPDX-License-Identifier: Apache-2.0
#include "images/registry/token.h"

#include "images/json_reader.h"
#include "images/registry/credentials.h"

namespace gantry::images {

Result<std::string> token_in(std::string_view answer) {
  auto object = parse_json_object(answer, "its answer", kMaxTokenAnswer);
  if (!object) return std::unexpected(std::move(object.error()));
  JsonReader reader("its answer");
  std::string token = reader.text(*object, "token");
  if (token.empty()) token = reader.text(*object, "access_token");
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  if (!is_token_text(token)) return invalid_argument("its answer has no token that HTTP can send");
  return token;
}

}  // namespace gantry::images

// SPDX-License-Identifier: Apache-2.0
// Answers of HTTP: documents, Status objects, warnings.
#pragma once

#include <string>
#include <vector>

#include "api/value.h"
#include "control/server/failure.h"
#include "http/message.h"

namespace gantry::control {

http::Reply json_reply(int status, const api::Value& document);
http::Reply text_reply(int status, std::string text);
http::Reply bytes_reply(int status, std::string content_type, std::string bytes);
// The Status object, with Retry-After where it says so.
http::Reply failure_reply(const Failure& failure);
// Header lines `Warning: 299 - "..."`, at most 4 KiB of text in all, as upstream cuts them.
void add_warnings(const std::vector<std::string>& warnings, http::Reply* reply);

}  // namespace gantry::control

// SPDX-License-Identifier: Apache-2.0
#include "api/duration.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <chrono>

namespace gantry::api {

namespace {

const google::protobuf::FieldDescriptor* nanoseconds_of(const google::protobuf::Message& duration) {
  return duration.GetDescriptor()->FindFieldByNumber(1);
}

}  // namespace

std::string duration_json_text(const google::protobuf::Message& duration) {
  const std::int64_t count = duration.GetReflection()->GetInt64(duration, nanoseconds_of(duration));
  return format_duration(std::chrono::nanoseconds(count));
}

Status read_duration(std::string_view text, google::protobuf::Message* duration) {
  const Result<std::chrono::milliseconds> read = parse_duration(text);
  if (!read) return std::unexpected(read.error());
  duration->GetReflection()->SetInt64(duration, nanoseconds_of(*duration),
                                      std::chrono::nanoseconds(*read).count());
  return {};
}

}  // namespace gantry::api

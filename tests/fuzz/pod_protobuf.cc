// SPDX-License-Identifier: Apache-2.0
// The form in which Kubernetes stores and sends an object: an envelope and a message.
#include "api/codec.h"
#include "api/json.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "tests/fuzz/fuzz.h"

namespace api = gantry::api;
namespace core = k8s::io::api::core::v1;
using gantry::fuzz::expect;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  core::Pod pod;
  if (auto s = api::decode_protobuf(gantry::fuzz::text_of(bytes, size), &pod); !s) {
    gantry::fuzz::expect_sentence(s.error());
    return 0;
  }
  auto once = api::encode_protobuf(&pod);
  expect(once.has_value(), "what was read can be written");
  core::Pod again;
  expect(api::decode_protobuf(*once, &again).has_value(), "and read");
  auto twice = api::encode_protobuf(&again);
  expect(twice && *twice == *once, "as the same bytes");
  core::Pod from_json;
  api::Value json = api::encode(pod);
  if (auto s = api::decode(json, &from_json); !s) expect(false, s.error().message());
  auto from = api::encode_protobuf(&from_json);
  expect(from && *from == *once, "its JSON form means the same");
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// What a store has, which others may have written, on its way to lists and watches in protobuf.
#include "api/codec.h"
#include "api/wire.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "tests/fuzz/fuzz.h"

namespace api = gantry::api;
namespace core = k8s::io::api::core::v1;
using gantry::fuzz::expect;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text = gantry::fuzz::text_of(bytes, size);
  const auto object = api::unwrap(text);
  const auto once = api::with_version(object.value_or(text), 42);
  if (!once) return 0;
  expect(api::with_version(*once, 42) == once, "a second time changes nothing");
  expect(api::unwrap(api::wrap("v1", "Pod", *once)) == *once, "what was wrapped is found");
  core::Pod pod;
  if (!pod.ParseFromString(std::string(object.value_or(text)))) return 0;
  core::Pod versioned;
  expect(versioned.ParseFromString(*once), "what could be read can be read");
  expect(versioned.metadata().resource_version() == "42", "it has the version");
  return 0;
}

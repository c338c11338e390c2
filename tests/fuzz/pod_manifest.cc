// SPDX-License-Identifier: Apache-2.0
// A manifest file, up to the pod that the agent runs, and through both codecs.
#include "agent/manifest.h"
#include "api/codec.h"
#include "api/json.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "tests/fuzz/fuzz.h"

namespace api = gantry::api;
namespace core = k8s::io::api::core::v1;
using gantry::fuzz::expect;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const gantry::agent::ManifestContext context{"/etc/gantry/manifests", "node", "-node"};
  auto pod = gantry::agent::parse_manifest(context, "pod.yaml", gantry::fuzz::text_of(bytes, size));
  if (!pod) {
    expect(!pod.error().message().empty() && gantry::as_utf8(pod.error().message(), 1 << 20) == pod.error().message(),
           "problems are said in UTF-8");
    return 0;
  }
  expect(!pod->name.empty() && !pod->namespace_.empty() && !pod->uid.empty(), "a pod has names and a uid");
  core::Pod message = *pod->pod;
  auto stored = api::encode_protobuf(&message);
  expect(stored.has_value(), "a pod that was taken can be stored");
  core::Pod back;
  expect(api::decode_protobuf(*stored, &back).has_value(), "and read back");
  auto again = api::encode_protobuf(&back);
  expect(again && *again == *stored, "as the same bytes");
  core::Pod from_json;
  expect(api::decode(api::encode(message), &from_json).has_value(), "its JSON form is read");
  auto from = api::encode_protobuf(&from_json);
  expect(from && *from == *stored, "and means the same");
  return 0;
}

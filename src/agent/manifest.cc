// SPDX-License-Identifier: Apache-2.0
#include "agent/manifest.h"

#include <openssl/evp.h>

#include <array>
#include <chrono>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "agent/names.h"
#include "agent/supported.h"
#include "api/codec.h"
#include "api/json.h"
#include "api/kinds/core/pod.h"
#include "api/time.h"
#include "api/yaml.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

// As long as the hashes that kubelet makes uids of, and as short as cgroup and folder names like it.
constexpr std::size_t kUidBytes = 16;

// Lengths before the parts, so that no two lists of parts are the same bytes.
Result<std::string> hash_of(std::initializer_list<std::string_view> parts) {
  std::string bytes;
  for (std::string_view part : parts) bytes += absl::StrCat(part.size(), ":", std::string(part), "\n");
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1 || size < kUidBytes) {
    return fail(Code::kInternal, "sha256 failed");
  }
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), kUidBytes));
}

Result<api::Value> parse_document(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return invalid_argument("has a zero byte; give YAML or JSON text");
  auto documents = api::parse_documents(text, {.bytes = kMaxManifestBytes});
  if (!documents) return std::unexpected(std::move(documents.error()));
  if (documents->empty()) return invalid_argument("holds nothing; give one Pod");
  if (documents->size() > 1) {
    return invalid_argument(
        absl::StrCat("line ", (*documents)[1].position().line, ": a second document; give one Pod a file"));
  }
  return std::move(documents->front());
}

// What the manifest calls its fields is in it.
std::unexpected<Error> refusal(const Error& error) {
  return fail(error.code(), as_utf8(error.message(), kMaxManifestBytes));
}

// What kubelet sets in a pod that comes from a file.
void make_static(core::Pod& pod, const ManifestContext& context, const std::string& uid) {
  auto& metadata = *pod.mutable_metadata();
  metadata.set_uid(uid);
  auto& annotations = *metadata.mutable_annotations();
  annotations[kConfigSourceAnnotation] = "file";
  annotations[kConfigHashAnnotation] = uid;
  auto now = std::chrono::system_clock::now().time_since_epoch();
  auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  annotations[kConfigSeenAnnotation] = api::format_rfc3339_micro(
      {.seconds = micros / 1'000'000, .nanos = static_cast<std::int32_t>(micros % 1'000'000 * 1000)});
  pod.mutable_spec()->set_node_name(context.node_name);
  // No taint ends a static pod.
  auto& toleration = *pod.mutable_spec()->add_tolerations();
  toleration.set_operator_("Exists");
  toleration.set_effect("NoExecute");
  pod.mutable_status()->set_phase("Pending");
}

}  // namespace

Result<StaticPod> parse_manifest(const ManifestContext& context, const std::string& file, std::string_view text) {
  auto document = parse_document(text);
  if (!document) return refusal(document.error());
  auto pod = std::make_shared<core::Pod>();
  if (auto decoded = api::decode(*document, pod.get()); !decoded) return refusal(decoded.error());

  // Before anything is added: what the manifest says, and nothing else, makes the uid.
  pod->clear_status();
  auto uid = hash_of(
      {"static pod", context.node_name, absl::StrCat(context.folder, "/", file), api::write_json(api::encode(*pod))});
  if (!uid) return std::unexpected(std::move(uid.error()));

  auto& metadata = *pod->mutable_metadata();
  if (metadata.namespace_().empty()) metadata.set_namespace_("default");
  if (!metadata.name().empty()) metadata.set_name(metadata.name() + context.name_suffix);
  metadata.clear_deletion_timestamp();
  metadata.clear_deletion_grace_period_seconds();
  api::default_pod(pod.get());
  auto problems = api::validate_pod(*pod);
  for (auto&& more : {api::validate_static_pod(*pod), validate_supported(*pod, PodOrigin::kManifest)}) {
    problems.insert(problems.end(), more.begin(), more.end());
  }
  api::locate(*document, &problems);
  if (auto good = api::to_status(problems); !good) return refusal(good.error());

  make_static(*pod, context, *uid);
  StaticPod result{.file = file, .uid = *uid, .name = metadata.name(), .namespace_ = metadata.namespace_()};
  result.pod = std::move(pod);
  return result;
}

}  // namespace gantry::agent

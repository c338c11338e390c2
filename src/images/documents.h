// SPDX-License-Identifier: Apache-2.0
// The documents that tie an image together, as registries and archives have them: OCI image index and manifest, and
// Docker's manifest list and schema 2 manifest, which are the same under other names. Internal to src/images. A
// document with both `manifests` and `layers` is refused: two readers could take it for two things under one digest.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "images/digest.h"

namespace gantry::images {

inline constexpr std::size_t kMaxDocumentBytes = 4U << 20;
inline constexpr std::size_t kMaxIndexEntries = 1000;
// An index in an index in an index: nobody needs more.
inline constexpr int kMaxIndexDepth = 3;

// The platform this program was built for, in the words of images.
#if defined(__x86_64__)
inline constexpr char kHostArchitecture[] = "amd64";
#elif defined(__aarch64__)
inline constexpr char kHostArchitecture[] = "arm64";
#else
#error "images: no name known for this architecture"
#endif

inline constexpr char kOciIndex[] = "application/vnd.oci.image.index.v1+json";
inline constexpr char kOciManifest[] = "application/vnd.oci.image.manifest.v1+json";
inline constexpr char kOciConfig[] = "application/vnd.oci.image.config.v1+json";
inline constexpr char kOciLayer[] = "application/vnd.oci.image.layer.v1.tar";
inline constexpr char kDockerLayer[] = "application/vnd.docker.image.rootfs.diff.tar";

struct Platform {
  std::string architecture;
  std::string os;
  std::string variant;
};

struct Descriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size = 0;
  std::optional<Platform> platform;
  std::map<std::string, std::string> annotations;
};

bool is_index_type(std::string_view media_type);
bool is_manifest_type(std::string_view media_type);

// Exactly one of the two lists says which it is.
struct Document {
  bool is_index = false;
  std::vector<Descriptor> manifests;  // index
  std::optional<Descriptor> config;   // manifest
  std::vector<Descriptor> layers;     // manifest
};

// `media_type` is what the descriptor that led here calls it ("" for an archive's index.json).
Result<Document> parse_document(std::string_view json, std::string_view media_type);

// Of a manifest. Nothing when they have more than kMaxAnnotationBytes: they are shown with every list of images.
inline constexpr std::size_t kMaxAnnotationBytes = 64U << 10;
Result<std::map<std::string, std::string>> manifest_annotations(std::string_view json);

// Of an index's entries those that may be for this machine: with this platform, or with none said. Attestations and
// other platforms' images are not among them. The best variant first.
std::vector<Descriptor> for_this_machine(const std::vector<Descriptor>& entries);
// "linux/amd64, linux/arm64": what an index offers, for error messages.
std::string platforms_of(const std::vector<Descriptor>& entries);

// An OCI manifest, and an index, always the same bytes for the same values.
std::string manifest_json(const Descriptor& config, const std::vector<Descriptor>& layers);
std::string index_json(const std::vector<Descriptor>& manifests);

// The name of the stack of layers up to and with this one (OCI image spec, "Layer ChainID").
Digest chain_id(const std::optional<Digest>& below, const Digest& diff_id);

}  // namespace gantry::images

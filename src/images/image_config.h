// SPDX-License-Identifier: Apache-2.0
// What an image says about itself (the OCI image configuration, application/vnd.oci.image.config.v1+json). Everything
// in an ImageConfig was written by the image's author: it is data to run the container's program by, and never a
// control input of this node. Labels, in particular, are shown and nothing else. All strings are bounded, valid UTF-8
// and free of NUL; nothing more is promised of them: a user, a path or a signal name is checked by who uses it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "images/digest.h"

namespace gantry::images {

// The most bytes of a configuration document, of one string in it, and of entries in one of its lists.
inline constexpr std::size_t kMaxConfigBytes = 4U << 20;
inline constexpr std::size_t kMaxConfigString = 128U << 10;
inline constexpr std::size_t kMaxConfigEntries = 4096;
// More layers than this do not fit into one overlay mount's options.
inline constexpr std::size_t kMaxLayers = 127;

struct ImageConfig {
  std::string architecture;
  std::string os;
  std::string created;  // RFC 3339 as written in the image; may be empty

  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;  // "NAME=value"; every entry has a '=' that is not its first byte
  std::string user;              // "", "uid", "name", "uid:gid", "name:group": not interpreted here
  std::string working_dir;
  std::vector<std::string> exposed_ports;  // "9376/tcp", sorted
  std::vector<std::string> volumes;        // paths, sorted
  std::string stop_signal;                 // "SIGTERM", "15" or ""
  std::map<std::string, std::string> labels;

  std::vector<Digest> diff_ids;  // of the uncompressed layers, lowest first
};

// Reads a whole image configuration. Unknown keys are the image's own business; known ones must have their types.
Result<ImageConfig> parse_image_config(std::string_view json);

// Reads what `gantry image build --config` is given: the "config" object alone (Entrypoint, Cmd, Env, User, WorkingDir,
// ExposedPorts, Volumes, StopSignal, Labels), written by the person who builds, so that an unknown key is an error.
Result<ImageConfig> parse_build_config(std::string_view json);

// The configuration document for `config`, always the same bytes for the same value.
std::string to_json(const ImageConfig& config);

// The name of its whole stack of layers (OCI image spec, "Layer ChainID"). It has layers.
Digest chain_of(const ImageConfig& config);

}  // namespace gantry::images

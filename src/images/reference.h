// SPDX-License-Identifier: Apache-2.0
// Image references as Docker and containerd read them: `my-app:1.0` is docker.io/library/my-app:1.0, `my-app` is its
// tag latest, `host:5000/a/b@sha256:...` names a manifest by digest. With both a tag and a digest the digest counts and
// the tag is dropped, as containerd does for CRI. Values; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "images/digest.h"

namespace gantry::images {

struct Reference {
  std::string domain;  // "docker.io", "registry.example:5000"
  std::string path;    // "library/my-app"
  // Exactly one of the two is set.
  std::string tag;
  std::optional<Digest> digest;

  // "docker.io/library/my-app": the repository.
  std::string name() const { return domain + "/" + path; }
  // The full, normal form: name:tag or name@digest.
  std::string to_string() const;

  bool operator==(const Reference&) const = default;
};

// At most 255 bytes of name and 128 of tag. A name of 64 hex digits is refused, because it would be taken for an image
// id. kInvalidArgument names the text and what is wrong with it.
Result<Reference> parse_reference(std::string_view text);

}  // namespace gantry::images

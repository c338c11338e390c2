// SPDX-License-Identifier: Apache-2.0
// The credentials that a pod brings for its images: its imagePullSecrets, of the types kubernetes.io/dockerconfigjson
// and kubernetes.io/dockercfg, read anew for each pull. Which of them are for an image is decided as for the node's own
// (images/registry/image_glob.h). Values are never logged, in no error, and kept no longer than the pull.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/client/client.h"
#include "base/result.h"
#include "base/task.h"
#include "images/registry/credential_files.h"

namespace k8s::io::api::core::v1 {
class Pod;
class Secret;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

// Which secret of the cluster it is.
struct SecretName {
  std::string uid, namespace_, name;
  bool operator==(const SecretName&) const = default;
};

struct PullSecret {
  SecretName secret;
  std::vector<images::CredentialEntry> entries;
};

// Credentials for an image, and the secrets that have them.
struct PullCredentials {
  images::Credentials credentials;
  std::vector<SecretName> secrets;
};

struct PullSecrets {
  std::vector<PullSecret> secrets;
  // Names of those that can't be read. A pull is tried without them.
  std::vector<std::string> missing;
};

// Those that are for an image, in the order in which they are tried.
std::vector<PullCredentials> pull_credentials_for(const PullSecrets& secrets, std::string_view image,
                                                  std::vector<Error>& problems);

// What one secret has. None of another type; an error names what is wrong with it, but not what it has.
Result<std::vector<images::CredentialEntry>> pull_credentials(const k8s::io::api::core::v1::Secret& secret);

// All of the pod's. `client` null is a node without an API server. An error is a secret that can't be understood.
Task<Result<PullSecrets>> read_pull_secrets(api::Client* client,
                                            std::shared_ptr<const k8s::io::api::core::v1::Pod> pod);

}  // namespace gantry::agent

// SPDX-License-Identifier: Apache-2.0
// Where a node keeps a certificate with its key, in files as kubelet has them:
//
//   pki/kubelet-client-2026-01-02-03-04-05.pem   certificate and key, 0600
//   pki/kubelet-client-current.pem               a link to the newest
//
// A file is whole and on the disk before the link names it, and the link changes at once; so what the link names is
// good after a crash. The one that it named before is kept, older ones are removed. Blocking; any thread, one at a
// time.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::agent {

struct StoredCertificate {
  std::string certificate_pem, key_pem;  // of one text, which is both
};

class CertificateStore {
 public:
  // `folder` is made when it is not there. `name`: "kubelet-client".
  CertificateStore(std::string folder, std::string name) : folder_(std::move(folder)), name_(std::move(name)) {}

  // The newest, if there is one.
  Result<std::optional<StoredCertificate>> current() const;
  Status put(std::string_view certificate_pem, std::string_view key_pem);
  // There is none from now on. The files stay, as after put().
  Status forget();
  std::string current_path() const { return folder_ + "/" + current_name(); }

 private:
  std::string current_name() const { return name_ + "-current.pem"; }

  const std::string folder_, name_;
};

}  // namespace gantry::agent

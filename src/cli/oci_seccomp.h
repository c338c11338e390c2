// SPDX-License-Identifier: Apache-2.0
// Compiled seccomp programs, kept from one command to the next in a folder beside the containers' states:
//
//   ROOT/seccomp:1/DIGEST    what the program was made from (profile, bounding set, this build, the kernel), and it
//
// No container is called so. A file counts only in a folder that is the caller's own and closed to all others, and only
// when it says of itself that it was made from exactly what is asked for. All is thrown away when there are too many.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runtime/plan/seccomp.h"

namespace gantry::cli {

class SeccompFolder final : public runtime::SeccompStore {
 public:
  // `root` is where containers' states are kept; it need not be there yet.
  explicit SeccompFolder(std::string root);

  std::optional<runtime::SeccompPlan> find(std::string_view key) override;
  void keep(std::string_view key, const runtime::SeccompPlan& plan) override;

 private:
  std::string path_, origin_;
};

}  // namespace gantry::cli

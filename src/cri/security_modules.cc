// SPDX-License-Identifier: Apache-2.0
#include "cri/security_modules.h"

#include <fcntl.h>

#include "cri/text.h"
#include "cri/validate.h"
#include "sys/file.h"

namespace gantry::cri {
namespace {

bool apparmor_is_enabled() {
  auto text = sys::read_file(sys::kCwd, "/sys/module/apparmor/parameters/enabled", 16);
  return text && text->starts_with('Y');
}

bool selinux_is_enabled() { return sys::fstatat(sys::kCwd, "/sys/fs/selinux/enforce", 0).has_value(); }

struct AppArmorWish {
  bool localhost = false;
  bool runtime_default = false;
  std::string profile;
};

// The new field wins over the deprecated one, whose forms are "runtime/default", "unconfined" and "localhost/NAME".
AppArmorWish apparmor_wish(const v1::LinuxContainerSecurityContext& security) {
  if (security.has_apparmor()) {
    const auto& profile = security.apparmor();
    return {.localhost = profile.profile_type() == v1::SecurityProfile::Localhost,
            .runtime_default = profile.profile_type() == v1::SecurityProfile::RuntimeDefault,
            .profile = profile.localhost_ref()};
  }
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"  // a field that clients may still send
  const std::string& old = security.apparmor_profile();
#pragma clang diagnostic pop
  return {.localhost = old.starts_with("localhost/"), .runtime_default = old == "runtime/default", .profile = old};
}

}  // namespace

Status check_security_modules(const v1::ContainerConfig& config, std::vector<std::string>& warnings) {
  const auto& security = config.linux().security_context();
  AppArmorWish wish = apparmor_wish(security);
  if (wish.localhost && !security.privileged()) {
    if (!apparmor_is_enabled()) {
      return fail(Code::kFailedPrecondition, cat("apparmor profile ", quoted(wish.profile),
                                                 ": this kernel runs without AppArmor, and can't enforce it"));
    }
    return fail(Code::kUnimplemented, cat("apparmor profile ", quoted(wish.profile),
                                          ": AppArmor profiles are not supported by this version"));
  }
  if (wish.runtime_default && !security.privileged() && apparmor_is_enabled()) {
    warnings.push_back("the AppArmor default profile that was asked for is not applied by this version");
  }
  const auto& selinux = security.selinux_options();
  bool asks_selinux =
      !selinux.user().empty() || !selinux.role().empty() || !selinux.type().empty() || !selinux.level().empty();
  if (asks_selinux && selinux_is_enabled()) {
    return fail(Code::kUnimplemented,
                "security_context.selinux_options: SELinux labels are not supported by this version");
  }
  return {};
}

}  // namespace gantry::cri

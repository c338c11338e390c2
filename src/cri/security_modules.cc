// SPDX-License-Identifier: Apache-2.0
#include "cri/security_modules.h"

#include <fcntl.h>

#include <algorithm>

#include "base/log.h"
#include "base/subprocess.h"
#include "cri/text.h"
#include "sys/file.h"
#include "sys/pipe.h"

namespace gantry::cri {
namespace {

constexpr char kParser[] = "/sbin/apparmor_parser";
constexpr char kLoadedProfiles[] = "/sys/kernel/security/apparmor/profiles";
constexpr std::size_t kMaxLoadedProfiles = 4U << 20;
constexpr std::size_t kMaxParserWords = 1000;
constexpr std::chrono::seconds kParserLimit{30};

bool selinux_is_enabled() { return sys::fstatat(sys::kCwd, "/sys/fs/selinux/enforce", 0).has_value(); }

// What a container asks for. The new field wins over the deprecated one, whose forms are "runtime/default",
// "unconfined" and "localhost/NAME".
struct Wish {
  enum class Kind : std::uint8_t { kNothing, kDefault, kUnconfined, kNamed };
  Kind kind = Kind::kNothing;
  std::string profile = "";
};

Wish wish_of(const v1::LinuxContainerSecurityContext& security) {
  auto named = [](std::string_view ref) {
    return Wish{Wish::Kind::kNamed, std::string(without_prefix(ref, "localhost/"))};
  };
  if (security.has_apparmor()) {
    switch (security.apparmor().profile_type()) {
      case v1::SecurityProfile::Localhost:
        return named(security.apparmor().localhost_ref());
      case v1::SecurityProfile::Unconfined:
        return {Wish::Kind::kUnconfined};
      default:
        return {Wish::Kind::kDefault};
    }
  }
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"  // a field that clients may still send
  const std::string& old = security.apparmor_profile();
#pragma clang diagnostic pop
  if (old.empty()) return {};
  if (old == "runtime/default") return {Wish::Kind::kDefault};
  if (old == "unconfined") return {Wish::Kind::kUnconfined};
  return named(old);
}

// The kernel would take more than names of profiles ("unconfined", "a//&b", ":namespace:a"): a container gets one that
// is in its list, and nothing else. Lines are "NAME (mode)".
Status check_loaded(std::string_view profile) {
  auto text = sys::read_file(sys::kCwd, kLoadedProfiles, kMaxLoadedProfiles);
  if (!text) return fail_with(std::move(text.error()), "the list of AppArmor profiles");
  auto names = [profile](std::string_view line) { return line.substr(0, line.rfind(" (")) == profile; };
  if (!profile.empty() && std::ranges::any_of(split(*text, '\n'), names)) return {};
  return fail(Code::kFailedPrecondition,
              cat("AppArmor profile ", quoted(profile), ": is not loaded on this node; load it with apparmor_parser"));
}

}  // namespace

Task<> AppArmor::load_default() {
  if (enabled_) {
    default_ = co_await run_parser();
    if (!default_) {
      log::warning("containers without an AppArmor profile of their own are unconfined", {{"error", default_.error()}});
    }
  }
  loaded_.set();
}

Task<Status> AppArmor::run_parser() {
  auto input = sys::pipe();
  if (!input) co_return std::unexpected(std::move(input.error()));
  auto output = sys::pipe();
  if (!output) co_return std::unexpected(std::move(output.error()));
  // Less than what a pipe holds.
  if (auto written = sys::write_all(input->write_end, kDefaultAppArmorText); !written) co_return written;
  input->write_end.close();
  Command command;
  command.path = kParser;
  command.argv = {"apparmor_parser", "--replace", "--skip-cache"};
  command.envp = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  command.input = input->read_end;
  command.output = output->write_end;
  command.error = output->write_end;
  auto process = spawn(command);
  if (!process) co_return fail_with(std::move(process.error()), cat("start ", kParser));
  output->write_end.close();
  auto status = co_await process->wait(loop_);
  if (!status) co_return std::unexpected(std::move(status.error()));
  if (status->code == 0) co_return Status();
  std::string words(kMaxParserWords, '\0');
  auto count = sys::read(output->read_end, words.data(), words.size());
  words.resize(count.value_or(0));
  co_return fail(Code::kFailedPrecondition,
                 cat("apparmor_parser: exit code ", status->code, ": ", as_utf8(trimmed(words), kMaxParserWords)));
}

Task<Result<AppArmor::Choice>> AppArmor::choose(v1::LinuxContainerSecurityContext security) {
  Wish wish = wish_of(security);
  if (wish.kind == Wish::Kind::kUnconfined) co_return Choice();
  if (wish.kind != Wish::Kind::kNamed && security.privileged()) co_return Choice();
  if (!enabled_) {
    if (wish.kind == Wish::Kind::kNothing) co_return Choice();
    co_return fail(Code::kFailedPrecondition,
                   cat("AppArmor profile ", quoted(wish.kind == Wish::Kind::kNamed ? wish.profile : "runtime/default"),
                       ": this kernel runs without AppArmor, and can't enforce it"));
  }
  if (wish.kind == Wish::Kind::kNamed) {
    if (auto loaded = check_loaded(wish.profile); !loaded) co_return std::unexpected(std::move(loaded.error()));
    co_return Choice{.profile = std::move(wish.profile)};
  }
  Status ready =
      co_await loaded_.wait_for(kParserLimit)
          ? default_
          : fail(Code::kDeadlineExceeded, cat("apparmor_parser has not ended in ", kParserLimit.count(), " s"));
  if (ready) co_return Choice{.profile = std::string(kDefaultAppArmorProfile)};
  if (wish.kind == Wish::Kind::kDefault) {
    co_return fail_with(Error(ready.error()), cat("AppArmor profile ", kDefaultAppArmorProfile));
  }
  co_return Choice{.warning = cat("AppArmor: ", kDefaultAppArmorProfile, " is not applied: ", ready.error().message())};
}

Status check_selinux_labels(const v1::LinuxContainerSecurityContext& security) {
  const auto& labels = security.selinux_options();
  bool given = !labels.user().empty() || !labels.role().empty() || !labels.type().empty() || !labels.level().empty();
  if (!given || !selinux_is_enabled()) return {};
  return fail(Code::kUnimplemented,
              "security_context.selinux_options: SELinux labels are not supported by this version");
}

}  // namespace gantry::cri

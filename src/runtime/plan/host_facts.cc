// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/host_facts.h"

#include <linux/capability.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

#include "runtime/plan/text.h"
#include "sys/file.h"

namespace gantry::runtime {
namespace {

static_assert(RLIM_NLIMITS == kRlimitCount && RLIM_INFINITY == kUnlimited);
constexpr std::size_t kMaxFactBytes = 65536;
constexpr ino_t kFirstUserNamespace = 0xEFFFFFFD;  // PROC_USER_INIT_INO of every kernel

template <typename T>
Result<T> read_number(FdRef proc, const char* path) {
  auto text = sys::read_file(proc, path, kMaxFactBytes);
  if (!text) return std::unexpected(std::move(text.error()));
  auto value = parse_number<T>(trimmed(*text));
  if (!value) return fail(Code::kInternal, cat(path, " holds ", quoted(*text), ": a number was expected"));
  return *value;
}

// "CapBnd:\t000001ffffffffff"
Result<CapabilitySet> capability_line(std::string_view status, std::string_view name) {
  std::size_t at = status.find(cat("\n", name, ":"));
  if (at != std::string_view::npos) {
    std::string_view line = status.substr(at + name.size() + 2);
    if (auto set = parse_number<CapabilitySet>(trimmed(line.substr(0, line.find('\n'))), 16)) return *set;
  }
  return fail(Code::kInternal, cat("self/status has no ", name));
}

Result<std::vector<std::uint32_t>> find_thermal_cpus(FdRef sys) {
  std::vector<std::uint32_t> cpus;
  auto folder = sys::open_dir(sys, "devices/system/cpu");
  if (!folder) {
    if (folder.error().is_not_found()) return cpus;
    return std::unexpected(std::move(folder.error()));
  }
  auto names = sys::list_dir(*folder);
  if (!names) return std::unexpected(std::move(names.error()));
  for (const std::string& name : *names) {
    if (!name.starts_with("cpu")) continue;
    auto cpu = parse_number<std::uint32_t>(std::string_view(name).substr(3));
    if (cpu && sys::fstatat(*folder, cat(name, "/thermal_throttle").c_str(), 0)) cpus.push_back(*cpu);
  }
  std::ranges::sort(cpus);
  return cpus;
}

}  // namespace

Result<HostFacts> read_host_facts(FdRef proc, FdRef sys) {
  HostFacts facts;
  auto status = sys::read_file(proc, "self/status", kMaxFactBytes);
  if (!status) return std::unexpected(std::move(status.error()));
  auto bounding = capability_line(*status, "CapBnd");
  if (!bounding) return std::unexpected(std::move(bounding.error()));
  auto effective = capability_line(*status, "CapEff");
  if (!effective) return std::unexpected(std::move(effective.error()));
  auto permitted = capability_line(*status, "CapPrm");
  if (!permitted) return std::unexpected(std::move(permitted.error()));
  facts.capabilities = *bounding & *permitted;
  facts.has_sys_resource = (*effective & capability_bit(CAP_SYS_RESOURCE)) != 0;

  auto score = read_number<std::int32_t>(proc, "self/oom_score_adj");
  if (!score) return std::unexpected(std::move(score.error()));
  facts.oom_score_adj = *score;
  auto open_files = read_number<std::uint64_t>(proc, "sys/fs/nr_open");
  if (!open_files) return std::unexpected(std::move(open_files.error()));
  facts.max_open_files = *open_files;

  for (std::size_t resource = 0; resource < kRlimitCount; ++resource) {
    rlimit limit{};
    if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) < 0) {
      return std::unexpected(Error::from_errno(errno, cat("getrlimit ", resource)));
    }
    facts.hard_limits[resource] = limit.rlim_max;
    if (resource == RLIMIT_NOFILE) facts.soft_open_files = limit.rlim_cur;
  }
  auto cpus = find_thermal_cpus(sys);
  if (!cpus) return std::unexpected(std::move(cpus.error()));
  facts.thermal_cpus = std::move(*cpus);
  auto apparmor = sys::read_file(sys, "module/apparmor/parameters/enabled", kMaxFactBytes);
  facts.has_apparmor = apparmor && apparmor->starts_with('Y');
  // Its file system exists only where it has been initialized.
  auto file_systems = sys::read_file(proc, "filesystems", kMaxFactBytes);
  facts.has_selinux = file_systems && file_systems->contains("selinuxfs");
  facts.in_user_namespace = is_in_user_namespace(proc);
  return facts;
}

bool is_in_user_namespace(FdRef proc) {
  auto user = sys::fstatat(proc, "self/ns/user", 0);
  return user && user->st_ino != kFirstUserNamespace;
}

Result<HostFacts> read_host_facts() {
  auto proc = sys::open_dir(sys::kCwd, "/proc");
  if (!proc) return std::unexpected(std::move(proc.error()));
  auto sysfs = sys::open_dir(sys::kCwd, "/sys");
  if (!sysfs) return std::unexpected(std::move(sysfs.error()));
  return read_host_facts(*proc, *sysfs);
}

}  // namespace gantry::runtime

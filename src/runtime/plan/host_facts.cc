// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/host_facts.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

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

// Not from /proc/self/status: to make that text takes longer than all of this.
Status read_capabilities(HostFacts& facts) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) < 0) return std::unexpected(Error::from_errno(errno, "capget"));
  auto set = [&](std::uint32_t __user_cap_data_struct::* which) {
    return CapabilitySet{data[1].*which} << 32 | data[0].*which;
  };
  CapabilitySet bounding = 0;
  for (unsigned capability = 0; capability < 64; ++capability) {
    int is_set = ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (is_set < 0) break;  // past the kernel's last one
    if (is_set > 0) bounding |= capability_bit(capability);
  }
  facts.capabilities = bounding & set(&__user_cap_data_struct::permitted);
  facts.has_sys_resource = (set(&__user_cap_data_struct::effective) & capability_bit(CAP_SYS_RESOURCE)) != 0;
  return {};
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

Result<HostFacts> read_facts(FdRef proc, FdRef sys, bool for_pods) {
  HostFacts facts;
  if (auto s = read_capabilities(facts); !s) return std::unexpected(std::move(s.error()));
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
  if (for_pods) {
    auto cpus = find_thermal_cpus(sys);
    if (!cpus) return std::unexpected(std::move(cpus.error()));
    facts.thermal_cpus = std::move(*cpus);
  }
  auto apparmor = sys::read_file(sys, "module/apparmor/parameters/enabled", kMaxFactBytes);
  facts.has_apparmor = apparmor && apparmor->starts_with('Y');
  // Made where it has been initialized, for its file system.
  facts.has_selinux = sys::fstatat(sys, "fs/selinux", 0).has_value();
  facts.in_user_namespace = is_in_user_namespace(proc);
  return facts;
}

Result<HostFacts> read_facts(bool for_pods) {
  auto proc = sys::open_dir(sys::kCwd, "/proc");
  if (!proc) return std::unexpected(std::move(proc.error()));
  auto sysfs = sys::open_dir(sys::kCwd, "/sys");
  if (!sysfs) return std::unexpected(std::move(sysfs.error()));
  return read_facts(*proc, *sysfs, for_pods);
}

}  // namespace

bool is_in_user_namespace(FdRef proc) {
  auto user = sys::fstatat(proc, "self/ns/user", 0);
  return user && user->st_ino != kFirstUserNamespace;
}

Result<HostFacts> read_host_facts() { return read_facts(true); }

Result<HostFacts> read_launch_facts() { return read_facts(false); }

}  // namespace gantry::runtime

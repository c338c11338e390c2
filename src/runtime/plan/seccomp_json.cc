// SPDX-License-Identifier: Apache-2.0
// Profiles as people write them: the OCI form (architectures, flags) and docker's (archMap, includes, excludes), which
// may mix.
#include <linux/seccomp.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <iterator>
#include <utility>

#include "runtime/plan/fields.h"
#include "runtime/plan/seccomp_profile.h"
#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 16;
constexpr std::uint32_t kMaxErrno = 4095;

// With the errno (or the tracer's message) that goes with it.
std::uint32_t read_action(const Fields& fields, const char* name, const char* number) {
  constexpr auto kNames = std::to_array<std::pair<std::string_view, std::uint32_t>>({
      {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
      {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0)},
      {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
      {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
      {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
      {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
      {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0)},
      {"SCMP_ACT_LOG", SCMP_ACT_LOG},
      {"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY},
  });
  std::uint32_t action = SCMP_ACT_KILL_PROCESS, data = EPERM;
  if (!fields.choice(name, kNames, action)) return action;
  fields.number(number, data, 0U, kMaxErrno);
  return action == SCMP_ACT_ERRNO(0) || action == SCMP_ACT_TRACE(0) ? action | data : action;
}

// Those of the specification; one that can't run here is kOther.
constexpr std::uint32_t kOther = 0;
constexpr auto kArchitectures =
    std::to_array<std::pair<std::string_view, std::uint32_t>>({{"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
                                                               {"SCMP_ARCH_X86", SCMP_ARCH_X86},
                                                               {"SCMP_ARCH_X32", SCMP_ARCH_X32},
                                                               {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
                                                               {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
                                                               {"SCMP_ARCH_MIPS", kOther},
                                                               {"SCMP_ARCH_MIPS64", kOther},
                                                               {"SCMP_ARCH_MIPS64N32", kOther},
                                                               {"SCMP_ARCH_MIPSEL", kOther},
                                                               {"SCMP_ARCH_MIPSEL64", kOther},
                                                               {"SCMP_ARCH_MIPSEL64N32", kOther},
                                                               {"SCMP_ARCH_PPC", kOther},
                                                               {"SCMP_ARCH_PPC64", kOther},
                                                               {"SCMP_ARCH_PPC64LE", kOther},
                                                               {"SCMP_ARCH_S390", kOther},
                                                               {"SCMP_ARCH_S390X", kOther},
                                                               {"SCMP_ARCH_PARISC", kOther},
                                                               {"SCMP_ARCH_PARISC64", kOther},
                                                               {"SCMP_ARCH_RISCV64", kOther},
                                                               {"SCMP_ARCH_LOONGARCH64", kOther},
                                                               {"SCMP_ARCH_M68K", kOther},
                                                               {"SCMP_ARCH_SH", kOther},
                                                               {"SCMP_ARCH_SHEB", kOther}});

bool runs_here(std::uint32_t architecture) {
  auto own = compatible_architectures();
  return architecture == seccomp_arch_native() || std::ranges::find(own, architecture) != own.end();
}

void read_architectures(const Fields& fields, SeccompProfile& profile) {
  auto add = [&](const Fields& list, const char* name) {
    std::vector<std::uint32_t> all;
    list.choices(name, kArchitectures, all);
    std::ranges::copy_if(all, std::back_inserter(profile.architectures), runs_here);
  };
  add(fields, "architectures");
  fields.objects("archMap", [&](const Fields& entry) {
    std::uint32_t architecture = kOther;
    if (entry.choice("architecture", kArchitectures, architecture) && architecture == seccomp_arch_native())
      add(entry, "subArchitectures");
  });
}

void read_flags(const Fields& fields, SeccompProfile& profile) {
  std::vector<std::string> names;
  if (!fields.texts("flags", names)) {
    profile.flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;  // as runc, when none are given; an empty list means none
    return;
  }
  for (const std::string& name : names) {
    if (name == "SECCOMP_FILTER_FLAG_TSYNC") continue;  // there is one thread
    if (name == "SECCOMP_FILTER_FLAG_LOG") {
      profile.flags |= SECCOMP_FILTER_FLAG_LOG;
    } else if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
      profile.flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    } else if (name == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") {
      profile.flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    } else {
      fields.refuse("flags", cat(quoted(name), " is not supported"), Code::kUnimplemented);
    }
  }
}

// "4.8"
Result<bool> is_at_least(std::string_view wanted) {
  std::string_view rest = wanted;
  auto major = parse_number<unsigned>(take_until(rest, '.'));
  auto minor = parse_number<unsigned>(rest);
  if (!major || !minor) return invalid_argument(cat(quoted(wanted), " is wrong: a form such as 4.8 was expected"));
  utsname name{};
  if (::uname(&name) < 0) return std::unexpected(Error::from_errno(errno, "uname"));
  std::string_view release = name.release;
  unsigned own_major = parse_number<unsigned>(take_until(release, '.')).value_or(0);
  unsigned own_minor = parse_number<unsigned>(release.substr(0, release.find_first_not_of("0123456789"))).value_or(0);
  return std::pair(own_major, own_minor) >= std::pair(*major, *minor);
}

// Docker's "includes" and "excludes": whether an entry counts for this container.
bool applies(const Fields& entry, const char* which, CapabilitySet bounding) {
  bool excludes = std::string_view(which) == "excludes";
  auto filter = entry.object(which);
  if (!filter) return true;
  std::vector<std::string> names, arches;
  filter->texts("caps", names);
  for (const std::string& name : names) {
    auto number = capability_number(name);
    if (!number) {
      filter->refuse("caps", number.error().message());
      return false;
    }
    bool has = (bounding & capability_bit(*number)) != 0;
    if (has == excludes) return false;
  }
  filter->texts("arches", arches);
  bool is_listed = std::ranges::find(arches, native_architecture_name()) != arches.end();
  if (!arches.empty() && is_listed == excludes) return false;
  std::string kernel;
  if (!filter->text("minKernel", kernel) || kernel.empty()) return true;
  auto is_new = is_at_least(kernel);
  if (!is_new) filter->refuse("minKernel", is_new.error().message());
  return is_new && *is_new != excludes;
}

std::vector<scmp_arg_cmp> read_conditions(const Fields& entry) {
  constexpr auto kNames = std::to_array<std::pair<std::string_view, scmp_compare>>({
      {"SCMP_CMP_NE", SCMP_CMP_NE},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_LE", SCMP_CMP_LE},
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_GE", SCMP_CMP_GE},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
  });
  std::vector<scmp_arg_cmp> out;
  entry.objects("args", [&](const Fields& fields) {
    scmp_arg_cmp condition{};
    if (!fields.number("index", condition.arg, 0U, 5U)) fields.missing("index", "a number from 0 to 5");
    fields.number("value", condition.datum_a);
    fields.number("valueTwo", condition.datum_b);
    if (fields.choice("op", kNames, condition.op)) out.push_back(condition);
  });
  return out;
}

// Conditions on different arguments hold together. Two on one argument are alternatives, as runc and docker have it.
std::vector<std::vector<scmp_arg_cmp>> alternatives(const std::vector<scmp_arg_cmp>& conditions) {
  std::array<int, 6> seen{};
  for (const auto& condition : conditions) ++seen[condition.arg];
  if (std::ranges::all_of(seen, [](int count) { return count <= 1; })) return {conditions};
  std::vector<std::vector<scmp_arg_cmp>> out;
  for (const auto& condition : conditions) out.push_back({condition});
  return out;
}

void read_entry(const Fields& entry, CapabilitySet bounding, SeccompProfile& profile) {
  for (const char* which : {"includes", "excludes"}) {
    if (!applies(entry, which, bounding)) return;
  }
  std::vector<std::string> names;
  std::string name;
  entry.texts("names", names);
  if (entry.text("name", name) && !name.empty()) names.push_back(name);
  if (names.empty()) entry.missing("names", "the names of system calls");
  if (std::ranges::find(names, "") != names.end()) entry.refuse("names", "has an empty name");
  std::uint32_t action = read_action(entry, "action", "errnoRet");
  for (const auto& alternative : alternatives(read_conditions(entry))) {
    for (const std::string& call : names) {
      if (profile.rules.size() >= kMaxSeccompRules) {
        return entry.refuse("", cat("makes it more than ", kMaxSeccompRules, " rules: no more are taken"),
                            Code::kResourceExhausted);
      }
      profile.rules.push_back({call, action, alternative});
    }
  }
}

// Whom calls are left to, and whether any are. The launch itself tells by write(2) that there is a listener: an agent
// that does not have it yet can't answer for that call.
void read_agent(const Fields& fields, SeccompProfile& profile) {
  fields.text("listenerPath", profile.agent.path);
  fields.text("listenerMetadata", profile.agent.metadata);
  if (profile.agent.path.empty() && !profile.agent.metadata.empty())
    fields.refuse("listenerMetadata", "goes with a listenerPath, which is missing");
  auto notifies = [](const SeccompRule& rule) { return rule.action == SCMP_ACT_NOTIFY; };
  constexpr std::string_view kWhy = ", by which the agent is told of the process: nobody could answer";
  if (profile.default_action == SCMP_ACT_NOTIFY)
    fields.refuse("defaultAction", cat("SCMP_ACT_NOTIFY would hold up write", kWhy));
  auto first = std::ranges::find_if(profile.rules, notifies);
  if (first == profile.rules.end()) {
    profile.flags &= ~static_cast<std::uint32_t>(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    profile.agent = {};
    return;
  }
  if (profile.agent.path.empty())
    fields.missing("listenerPath", cat("an agent's socket, for SCMP_ACT_NOTIFY of ", quoted(first->name), ","));
  for (const SeccompRule& rule : profile.rules) {
    if (notifies(rule) && rule.name == "write")
      fields.refuse("syscalls", cat("SCMP_ACT_NOTIFY would hold up write", kWhy));
  }
  profile.flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
}

}  // namespace

Result<SeccompProfile> parse_seccomp_profile(std::string_view text, CapabilitySet bounding) {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::error_code error;
  json::value document = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error) return invalid_argument(cat("not JSON: ", error.message()));
  if (!document.is_object()) return invalid_argument("it is not a JSON object");
  Status problem;
  Fields fields(document.get_object(), "", problem);
  SeccompProfile profile;
  profile.default_action = read_action(fields, "defaultAction", "defaultErrnoRet");
  read_architectures(fields, profile);
  read_flags(fields, profile);
  fields.objects("syscalls", [&](const Fields& entry) { read_entry(entry, bounding, profile); });
  read_agent(fields, profile);
  if (!problem) return std::unexpected(std::move(problem.error()));
  return profile;
}

}  // namespace gantry::runtime

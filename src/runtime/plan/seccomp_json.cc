// SPDX-License-Identifier: Apache-2.0
// Profiles as people write them: the OCI form (architectures, flags) and docker's (archMap, includes, excludes), which
// may mix.
#include <linux/seccomp.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <optional>
#include <utility>

#include "runtime/plan/seccomp_profile.h"
#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 16;
constexpr std::uint32_t kMaxErrno = 4095;

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

// A field that is absent or null is nullptr in `value`; one of another type is an error that names it.
Result<const json::array*> array_field(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr || value->is_null()) return nullptr;
  if (!value->is_array()) return invalid_argument(cat(name, " is not a list"));
  return &value->get_array();
}

Result<std::optional<std::string_view>> string_field(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr || value->is_null()) return std::nullopt;
  if (!value->is_string()) return invalid_argument(cat(name, " is not a string"));
  return view(value->get_string());
}

Result<std::optional<std::uint64_t>> number_field(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr || value->is_null()) return std::nullopt;
  if (value->is_uint64()) return value->get_uint64();
  if (value->is_int64() && value->get_int64() >= 0) return static_cast<std::uint64_t>(value->get_int64());
  return invalid_argument(cat(name, " is not a number from 0 to 18446744073709551615"));
}

Result<std::vector<std::string_view>> string_list(const json::object& object, const char* name) {
  auto list = array_field(object, name);
  if (!list) return std::unexpected(std::move(list.error()));
  std::vector<std::string_view> out;
  if (*list == nullptr) return out;
  for (const json::value& value : **list) {
    if (!value.is_string()) return invalid_argument(cat(name, " has an entry that is not a string"));
    out.push_back(view(value.get_string()));
  }
  return out;
}

// SCMP_ACT_*; with the errno (or the tracer's message) that goes with it.
Result<std::uint32_t> parse_action(std::string_view name, std::optional<std::uint64_t> number) {
  if (number && *number > kMaxErrno)
    return invalid_argument(cat("errno ", *number, " is out of range: 0 to ", kMaxErrno, " was expected"));
  auto data = static_cast<std::uint32_t>(number.value_or(EPERM));
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(data);
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(data);
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  if (name == "SCMP_ACT_NOTIFY") return SCMP_ACT_NOTIFY;
  return invalid_argument(cat("action ", quoted(name), " is unknown"));
}

Result<scmp_compare> parse_comparison(std::string_view name) {
  constexpr auto kNames = std::to_array<std::pair<std::string_view, scmp_compare>>({
      {"SCMP_CMP_NE", SCMP_CMP_NE},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_LE", SCMP_CMP_LE},
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_GE", SCMP_CMP_GE},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
  });
  for (auto [known, value] : kNames) {
    if (known == name) return value;
  }
  return invalid_argument(cat("op ", quoted(name), " is unknown"));
}

// Architectures of other machines can't run here and are left out.
std::optional<std::uint32_t> own_architecture(std::string_view name) {
  constexpr auto kNames = std::to_array<std::pair<std::string_view, std::uint32_t>>({
      {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
      {"SCMP_ARCH_X86", SCMP_ARCH_X86},
      {"SCMP_ARCH_X32", SCMP_ARCH_X32},
      {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
      {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
  });
  auto own = compatible_architectures();
  for (auto [known, value] : kNames) {
    if (known == name && (value == seccomp_arch_native() || std::ranges::find(own, value) != own.end())) return value;
  }
  return std::nullopt;
}

Status read_architectures(const json::object& object, SeccompProfile& profile) {
  auto names = string_list(object, "architectures");
  if (!names) return std::unexpected(std::move(names.error()));
  for (std::string_view name : *names) {
    if (auto arch = own_architecture(name)) profile.architectures.push_back(*arch);
  }
  auto map = array_field(object, "archMap");
  if (!map) return std::unexpected(std::move(map.error()));
  if (*map == nullptr) return {};
  for (const json::value& entry : **map) {
    if (!entry.is_object()) return invalid_argument("archMap has an entry that is not an object");
    auto name = string_field(entry.get_object(), "architecture");
    if (!name) return std::unexpected(std::move(name.error()));
    if (own_architecture(name->value_or("")) != seccomp_arch_native()) continue;
    auto others = string_list(entry.get_object(), "subArchitectures");
    if (!others) return std::unexpected(std::move(others.error()));
    for (std::string_view other : *others) {
      if (auto arch = own_architecture(other)) profile.architectures.push_back(*arch);
    }
  }
  return {};
}

Status read_flags(const json::object& object, SeccompProfile& profile) {
  auto list = array_field(object, "flags");
  if (!list) return std::unexpected(std::move(list.error()));
  if (*list == nullptr) {
    profile.flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;  // as runc, when none are given; an empty list means none
    return {};
  }
  auto names = string_list(object, "flags");
  if (!names) return std::unexpected(std::move(names.error()));
  for (std::string_view name : *names) {
    if (name == "SECCOMP_FILTER_FLAG_TSYNC") continue;  // there is one thread
    if (name == "SECCOMP_FILTER_FLAG_LOG") {
      profile.flags |= SECCOMP_FILTER_FLAG_LOG;
    } else if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
      profile.flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    } else if (name == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") {
      profile.flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    } else {
      return fail(Code::kUnimplemented, cat("flag ", quoted(name), " is not supported"));
    }
  }
  return {};
}

// "4.8"
Result<bool> is_at_least(std::string_view wanted) {
  std::string_view rest = wanted;
  auto major = parse_number<unsigned>(take_until(rest, '.'));
  auto minor = parse_number<unsigned>(rest);
  if (!major || !minor) return invalid_argument(cat("minKernel ", quoted(wanted), " is not of the form 4.8"));
  utsname name{};
  if (::uname(&name) < 0) return std::unexpected(Error::from_errno(errno, "uname"));
  std::string_view release = name.release;
  unsigned own_major = parse_number<unsigned>(take_until(release, '.')).value_or(0);
  unsigned own_minor = parse_number<unsigned>(release.substr(0, release.find_first_not_of("0123456789"))).value_or(0);
  return std::pair(own_major, own_minor) >= std::pair(*major, *minor);
}

// Docker's "includes" and "excludes": whether an entry counts for this container.
Result<bool> applies(const json::object& entry, const char* which, CapabilitySet bounding) {
  bool excludes = std::string_view(which) == "excludes";
  const json::value* value = entry.if_contains(which);
  if (value == nullptr || value->is_null()) return true;
  if (!value->is_object()) return invalid_argument(cat(which, " is not an object"));
  const json::object& filter = value->get_object();
  auto names = string_list(filter, "caps");
  if (!names) return std::unexpected(std::move(names.error()));
  for (std::string_view name : *names) {
    auto number = capability_number(name);
    if (!number) return std::unexpected(std::move(number.error()));
    bool has = (bounding & capability_bit(*number)) != 0;
    if (has == excludes) return false;
  }
  auto arches = string_list(filter, "arches");
  if (!arches) return std::unexpected(std::move(arches.error()));
  bool is_listed = std::ranges::find(*arches, native_architecture_name()) != arches->end();
  if (!arches->empty() && is_listed == excludes) return false;
  auto kernel = string_field(filter, "minKernel");
  if (!kernel) return std::unexpected(std::move(kernel.error()));
  if (!*kernel || (*kernel)->empty()) return true;
  auto is_new = is_at_least(**kernel);
  if (!is_new) return is_new;
  return *is_new != excludes;
}

Result<std::vector<scmp_arg_cmp>> read_conditions(const json::object& entry) {
  constexpr std::uint64_t kArguments = 6;
  std::vector<scmp_arg_cmp> out;
  auto list = array_field(entry, "args");
  if (!list) return std::unexpected(std::move(list.error()));
  if (*list == nullptr) return out;
  for (const json::value& value : **list) {
    if (!value.is_object()) return invalid_argument("args has an entry that is not an object");
    const json::object& object = value.get_object();
    auto index = number_field(object, "index");
    if (!index) return std::unexpected(std::move(index.error()));
    auto first = number_field(object, "value");
    if (!first) return std::unexpected(std::move(first.error()));
    auto second = number_field(object, "valueTwo");
    if (!second) return std::unexpected(std::move(second.error()));
    auto op = string_field(object, "op");
    if (!op) return std::unexpected(std::move(op.error()));
    if (!*index || **index >= kArguments)
      return invalid_argument("args index is missing or out of range: 0 to 5 was expected");
    auto comparison = parse_comparison(op->value_or(""));
    if (!comparison) return std::unexpected(std::move(comparison.error()));
    out.push_back({static_cast<unsigned>(**index), *comparison, first->value_or(0), second->value_or(0)});
  }
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

Status read_entry(const json::object& entry, CapabilitySet bounding, SeccompProfile& profile) {
  for (const char* which : {"includes", "excludes"}) {
    auto counts = applies(entry, which, bounding);
    if (!counts) return std::unexpected(std::move(counts.error()));
    if (!*counts) return {};
  }
  auto names = string_list(entry, "names");
  if (!names) return std::unexpected(std::move(names.error()));
  auto name = string_field(entry, "name");
  if (!name) return std::unexpected(std::move(name.error()));
  if (*name && !(*name)->empty()) names->push_back(**name);
  if (names->empty()) return invalid_argument("an entry of syscalls has no names");
  auto action_name = string_field(entry, "action");
  if (!action_name) return std::unexpected(std::move(action_name.error()));
  auto number = number_field(entry, "errnoRet");
  if (!number) return std::unexpected(std::move(number.error()));
  auto action = parse_action(action_name->value_or(""), *number);
  if (!action) return std::unexpected(std::move(action.error()));
  auto conditions = read_conditions(entry);
  if (!conditions) return std::unexpected(std::move(conditions.error()));
  for (const auto& alternative : alternatives(*conditions)) {
    for (std::string_view call : *names) {
      if (call.empty() || call.find('\0') != std::string_view::npos)
        return invalid_argument("names has an empty or malformed entry");
      if (profile.rules.size() >= kMaxSeccompRules) {
        return fail(Code::kResourceExhausted, cat("it has more than ", kMaxSeccompRules, " rules"));
      }
      profile.rules.push_back({std::string(call), *action, alternative});
    }
  }
  return {};
}

Status read_default(const json::object& object, SeccompProfile& profile) {
  auto name = string_field(object, "defaultAction");
  if (!name) return std::unexpected(std::move(name.error()));
  auto number = number_field(object, "defaultErrnoRet");
  if (!number) return std::unexpected(std::move(number.error()));
  auto action = parse_action(name->value_or(""), *number);
  if (!action) return fail_with(std::move(action.error()), "defaultAction");
  profile.default_action = *action;
  return {};
}

// Whom calls are left to, and whether any are. The launch itself tells by write(2) that there is a listener: an agent
// that does not have it yet can't answer for that call.
Status read_agent(const json::object& object, SeccompProfile& profile) {
  auto path = string_field(object, "listenerPath");
  if (!path) return std::unexpected(std::move(path.error()));
  auto metadata = string_field(object, "listenerMetadata");
  if (!metadata) return std::unexpected(std::move(metadata.error()));
  profile.agent.path = path->value_or("");
  profile.agent.metadata = metadata->value_or("");
  if (profile.agent.path.empty() && !profile.agent.metadata.empty())
    return invalid_argument("listenerMetadata goes with a listenerPath, which is missing");
  auto notifies = [](const SeccompRule& rule) { return rule.action == SCMP_ACT_NOTIFY; };
  constexpr std::string_view kWhy = ", by which the agent is told of the process: nobody could answer";
  if (profile.default_action == SCMP_ACT_NOTIFY)
    return invalid_argument(cat("defaultAction SCMP_ACT_NOTIFY would hold up write", kWhy));
  auto first = std::ranges::find_if(profile.rules, notifies);
  if (first == profile.rules.end()) {
    profile.flags &= ~static_cast<std::uint32_t>(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    profile.agent = {};
    return {};
  }
  if (profile.agent.path.empty())
    return invalid_argument(cat("action SCMP_ACT_NOTIFY for ", quoted(first->name), " needs an agent: a listenerPath"));
  for (const SeccompRule& rule : profile.rules) {
    if (notifies(rule) && rule.name == "write")
      return invalid_argument(cat("action SCMP_ACT_NOTIFY would hold up write", kWhy));
  }
  profile.flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
  return {};
}

}  // namespace

Result<SeccompProfile> parse_seccomp_profile(std::string_view text, CapabilitySet bounding) {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::error_code error;
  json::value document = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error) return invalid_argument(cat("not JSON: ", error.message()));
  if (!document.is_object()) return invalid_argument("it is not a JSON object");
  const json::object& object = document.get_object();
  SeccompProfile profile;
  if (auto s = read_default(object, profile); !s) return std::unexpected(std::move(s.error()));
  if (auto s = read_architectures(object, profile); !s) return std::unexpected(std::move(s.error()));
  if (auto s = read_flags(object, profile); !s) return std::unexpected(std::move(s.error()));
  auto entries = array_field(object, "syscalls");
  if (!entries) return std::unexpected(std::move(entries.error()));
  static const json::array kNone;
  for (const json::value& entry : *entries == nullptr ? kNone : **entries) {
    if (!entry.is_object()) return invalid_argument("syscalls has an entry that is not an object");
    if (auto s = read_entry(entry.get_object(), bounding, profile); !s) return std::unexpected(std::move(s.error()));
  }
  if (auto s = read_agent(object, profile); !s) return std::unexpected(std::move(s.error()));
  return profile;
}

}  // namespace gantry::runtime

// SPDX-License-Identifier: Apache-2.0
// Profiles in OCI's form, for another runtime: what docker's form leaves to the container and the machine is decided.
#include <linux/seccomp.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "runtime/plan/build_plan.h"
#include "runtime/plan/seccomp_profile.h"
#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

namespace json = boost::json;

const char* operator_name(scmp_compare op) {
  switch (op) {
    case SCMP_CMP_NE:
      return "SCMP_CMP_NE";
    case SCMP_CMP_LT:
      return "SCMP_CMP_LT";
    case SCMP_CMP_LE:
      return "SCMP_CMP_LE";
    case SCMP_CMP_EQ:
      return "SCMP_CMP_EQ";
    case SCMP_CMP_GE:
      return "SCMP_CMP_GE";
    case SCMP_CMP_GT:
      return "SCMP_CMP_GT";
    default:
      return "SCMP_CMP_MASKED_EQ";
  }
}

const char* architecture_name(std::uint32_t architecture) {
  switch (architecture) {
    case SCMP_ARCH_X86_64:
      return "SCMP_ARCH_X86_64";
    case SCMP_ARCH_X86:
      return "SCMP_ARCH_X86";
    case SCMP_ARCH_X32:
      return "SCMP_ARCH_X32";
    case SCMP_ARCH_ARM:
      return "SCMP_ARCH_ARM";
    default:
      return "SCMP_ARCH_AARCH64";
  }
}

// The name, and an errno or a tracer's message beside it.
void put_action(json::object& to, const char* name, const char* number, std::uint32_t action) {
  const std::uint32_t data = action & SECCOMP_RET_DATA;
  switch (action & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
      to[name] = "SCMP_ACT_ALLOW";
      return;
    case SECCOMP_RET_LOG:
      to[name] = "SCMP_ACT_LOG";
      return;
    case SECCOMP_RET_TRAP:
      to[name] = "SCMP_ACT_TRAP";
      return;
    case SECCOMP_RET_KILL_THREAD:
      to[name] = "SCMP_ACT_KILL_THREAD";
      return;
    case SECCOMP_RET_KILL_PROCESS:
      to[name] = "SCMP_ACT_KILL_PROCESS";
      return;
    case SECCOMP_RET_USER_NOTIF:
      to[name] = "SCMP_ACT_NOTIFY";
      return;
    case SECCOMP_RET_TRACE:
      to[name] = "SCMP_ACT_TRACE";
      break;
    default:
      to[name] = "SCMP_ACT_ERRNO";
  }
  to[number] = data;
}

std::string oci_json(const SeccompProfile& profile) {
  json::object out;
  put_action(out, "defaultAction", "defaultErrnoRet", profile.default_action);
  json::array architectures;
  architectures.emplace_back(architecture_name(seccomp_arch_native()));
  for (std::uint32_t each : profile.architectures) {
    if (each != seccomp_arch_native()) architectures.emplace_back(architecture_name(each));
  }
  out["architectures"] = std::move(architectures);
  json::array rules;
  for (const SeccompRule& rule : profile.rules) {
    json::object entry{{"names", json::array{rule.name}}};
    put_action(entry, "action", "errnoRet", rule.action);
    json::array conditions;
    for (const scmp_arg_cmp& each : rule.conditions) {
      conditions.push_back(
          {{"index", each.arg}, {"value", each.datum_a}, {"valueTwo", each.datum_b}, {"op", operator_name(each.op)}});
    }
    if (!conditions.empty()) entry["args"] = std::move(conditions);
    rules.push_back(std::move(entry));
  }
  out["syscalls"] = std::move(rules);
  return json::serialize(out);
}

}  // namespace

Result<std::string> seccomp_as_oci(const ContainerSpec& spec, const CapabilityPlan& capabilities) {
  if (spec.privileged || spec.seccomp.kind == SeccompKind::kUnconfined) return "";
  if (spec.seccomp.kind == SeccompKind::kRuntimeDefault)
    return oci_json(default_seccomp_profile(capabilities.bounding, SeccompForm::kAllowList));
  auto parsed = parse_seccomp_profile(spec.seccomp.profile, capabilities.bounding);
  if (!parsed) return fail_with(std::move(parsed.error()), cat("seccomp profile ", quoted(spec.seccomp.path)));
  return oci_json(*parsed);
}

}  // namespace gantry::runtime

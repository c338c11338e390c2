// SPDX-License-Identifier: Apache-2.0
#include "control/admission/pod_security/policy.h"

#include <google/protobuf/map.h>

#include <charconv>
#include <optional>

#include "base/text.h"

namespace gantry::control {

namespace {

using Labels = google::protobuf::Map<std::string, std::string>;

constexpr std::string_view kPrefix = "pod-security.kubernetes.io/";

std::string_view text_of(PodSecurityLevel level) {
  switch (level) {
    case PodSecurityLevel::kPrivileged:
      return "privileged";
    case PodSecurityLevel::kBaseline:
      return "baseline";
    case PodSecurityLevel::kRestricted:
      return "restricted";
  }
  return "";
}

std::optional<PodSecurityLevel> parse_level(std::string_view text) {
  using enum PodSecurityLevel;
  for (const PodSecurityLevel level : {kPrivileged, kBaseline, kRestricted}) {
    if (text == text_of(level)) return level;
  }
  return std::nullopt;
}

// "latest", or "v1." and a number without zeros before it.
std::optional<PodSecurityVersion> parse_version(std::string_view text) {
  if (text == "latest") return PodSecurityVersion();
  if (!text.starts_with("v1.")) return std::nullopt;
  text.remove_prefix(3);
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  int minor = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), minor);
  const bool is_whole = end == text.data() + text.size() && text.front() != '-';
  if (error != std::errc() || !is_whole || minor >= PodSecurityVersion::kLatest) return std::nullopt;
  return PodSecurityVersion{minor};
}

class Reader {
 public:
  Reader(const Labels& labels, api::FieldProblems* problems) : labels_(labels), problems_(problems) {}

  bool has(std::string_view mode) const { return labels_.contains(cat(kPrefix, mode)); }
  // What the label says; when it cannot be read, `instead`.
  bool read(std::string_view mode, PodSecurityLevel instead, PodSecurityLevel* level) {
    return take(mode, &parse_level, "must be one of privileged, baseline, restricted", instead, level);
  }
  void read(std::string_view mode, PodSecurityVersion* version) {
    take(mode, &parse_version, R"(must be "latest" or "v1.x")", PodSecurityVersion(), version);
  }

 private:
  // True when the label is there and can be read.
  template <typename T>
  bool take(std::string_view mode, std::optional<T> (*parse)(std::string_view), std::string_view rule, T instead,
            T* value) {
    const auto found = labels_.find(cat(kPrefix, mode));
    if (found == labels_.end()) return false;
    const std::optional<T> parsed = parse(found->second);
    *value = parsed.value_or(instead);
    if (parsed) return true;
    problems_->push_back({.kind = api::FieldProblem::Kind::kInvalid,
                          .path = cat("metadata.labels[", kPrefix, mode, "]"),
                          .detail = cat(quoted(found->second), ": ", rule)});
    return false;
  }

  const Labels& labels_;
  api::FieldProblems* problems_;
};

}  // namespace

std::string PodSecurityStandard::to_string() const {
  const std::string release = version.minor == PodSecurityVersion::kLatest ? "latest" : cat("v1.", version.minor);
  return cat(text_of(level), ":", release);
}

bool PodSecurityPolicy::allows_everything() const {
  using enum PodSecurityLevel;
  return enforce.level == kPrivileged && audit.level == kPrivileged && warn.level == kPrivileged;
}

PodSecurityPolicy pod_security_policy(const Labels& labels, api::FieldProblems* problems) {
  PodSecurityPolicy policy;
  Reader reader(labels, problems);
  const bool enforces = reader.read("enforce", PodSecurityLevel::kRestricted, &policy.enforce.level);
  reader.read("enforce-version", &policy.enforce.version);
  reader.read("audit", PodSecurityLevel::kPrivileged, &policy.audit.level);
  reader.read("audit-version", &policy.audit.version);
  reader.read("warn", PodSecurityLevel::kPrivileged, &policy.warn.level);
  reader.read("warn-version", &policy.warn.version);
  // Who makes a workload is told at once what its pods will be refused for.
  if (enforces && !reader.has("warn") && policy.enforce.level > policy.warn.level) {
    policy.warn.level = policy.enforce.level;
    if (!reader.has("warn-version")) policy.warn.version = policy.enforce.version;
  }
  return policy;
}

}  // namespace gantry::control

// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/routes.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/text.h"
#include "http/query.h"

namespace gantry::agent {
namespace {

using Kind = Route::Kind;

constexpr std::pair<std::string_view, Kind> kWhole[] = {
    {"/healthz", Kind::kHealth},
    {"/healthz/ping", Kind::kHealth},
    {"/healthz/log", Kind::kHealth},
    {"/healthz/syncloop", Kind::kHealth},
    {"/pods", Kind::kPods},
    {"/runningpods", Kind::kRunningPods},
    {"/configz", Kind::kConfiguration},
    {"/stats/summary", Kind::kSummary},
    {"/metrics", Kind::kAgentMetrics},
    {"/metrics/cadvisor", Kind::kCadvisorMetrics},
    {"/metrics/resource", Kind::kResourceMetrics},
    {"/metrics/probes", Kind::kProbeMetrics},
    {"/metrics/slis", Kind::kIndicators},
};
constexpr std::pair<std::string_view, Kind> kOfPods[] = {
    {"containerLogs", Kind::kLogs},
    {"exec", Kind::kExec},
    {"attach", Kind::kAttach},
    {"portForward", Kind::kPortForward},
};

constexpr std::size_t kMaxSegments = 8;

// Nothing for a path that has something in it that can be no name. A slash at the end is no segment.
std::optional<std::vector<std::string>> segments_of(std::string_view path) {
  if (!path.starts_with('/')) return std::nullopt;
  path.remove_prefix(1);
  if (path.ends_with('/')) path.remove_suffix(1);
  std::vector<std::string> segments;
  while (true) {
    auto slash = path.find('/');
    auto segment = http::decode_percent(path.substr(0, slash), false);
    if (!segment || segment->empty() || *segment == "." || *segment == "..") return std::nullopt;
    if (std::ranges::any_of(*segment, [](unsigned char c) { return c == '/' || c < 0x20 || c == 0x7f; }))
      return std::nullopt;
    segments.push_back(std::move(*segment));
    if (slash == std::string_view::npos) return segments;
    if (segments.size() == kMaxSegments) return std::nullopt;
    path.remove_prefix(slash + 1);
  }
}

// NS/POD/CONTAINER, NS/POD/UID/CONTAINER; of ports NS/POD, NS/POD/UID.
bool read_pod(Kind kind, std::vector<std::string> parts, PodPath& pod) {
  bool has_container = kind != Kind::kPortForward;
  bool may_have_uid = kind != Kind::kLogs;
  std::size_t least = has_container ? 3 : 2;
  if (parts.size() != least && !(may_have_uid && parts.size() == least + 1)) return false;
  pod.ns = std::move(parts[0]);
  pod.name = std::move(parts[1]);
  if (parts.size() > least) pod.uid = std::move(parts[2]);
  if (has_container) pod.container = std::move(parts.back());
  return true;
}

}  // namespace

std::optional<Route> parse_route(std::string_view path) {
  auto segments = segments_of(path);
  if (!segments) return std::nullopt;
  Route route;
  for (const std::string& segment : *segments) route.path += cat("/", segment);
  for (const auto& [whole, kind] : kWhole) {
    if (route.path != whole) continue;
    route.kind = kind;
    return route;
  }
  for (const auto& [root, kind] : kOfPods) {
    if (segments->front() != root) continue;
    route.kind = kind;
    segments->erase(segments->begin());
    if (!read_pod(kind, std::move(*segments), route.pod)) return std::nullopt;
    return route;
  }
  return std::nullopt;
}

}  // namespace gantry::agent

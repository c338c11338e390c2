// SPDX-License-Identifier: Apache-2.0
#include "control/server/request_metrics.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace gantry::control {

namespace {

constexpr double kSizes[] = {1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
constexpr std::array<std::string_view, 6> kPaths = {"/healthz", "/livez", "/readyz", "/metrics", "/version", "/api"};

struct Labels {
  std::string_view verb;
  std::string_view dry_run;
  std::string_view group, version, resource, subresource;
  std::string_view scope;
};

std::string_view verb_label(const RequestFacts& facts) {
  const std::string& verb = facts.info->verb;
  if (facts.is_long_running && verb != "watch" && facts.info->subresource != "log") return "CONNECT";
  if (verb == "get" || verb == "head") return "GET";
  if (verb == "list") return "LIST";
  if (verb == "watch") return "WATCH";
  if (verb == "create" || verb == "post") return "POST";
  if (verb == "update" || verb == "put") return "PUT";
  if (verb == "patch") return "PATCH";
  if (verb == "delete") return "DELETE";
  if (verb == "deletecollection") return "DELETECOLLECTION";
  return "other";
}

// Of what is no resource: its path, as far as that is a fixed one.
std::string_view path_label(std::string_view path) {
  if (path.starts_with("/openapi/v3")) return "/openapi/v3";
  if (path == "/openapi/v2") return "/openapi/v2";
  if (path == "/apis" || path.starts_with("/apis/")) return "/apis";
  for (const std::string_view known : kPaths) {
    if (path == known || (path.starts_with(known) && path[known.size()] == '/')) return known;
  }
  return "";
}

std::string_view scope_label(const RequestInfo& info) {
  if (!info.name.empty() || info.verb == "create") return "resource";
  return info.ns.empty() ? "cluster" : "namespace";
}

Labels labels_of(const RequestFacts& facts) {
  if (!facts.info) return {.verb = "other"};
  Labels labels{.verb = verb_label(facts)};
  if (!facts.info->is_resource) {
    labels.subresource = path_label(facts.info->path);
    return labels;
  }
  if (facts.kind == nullptr) return labels;
  labels.group = facts.kind->gvk.group;
  labels.version = facts.kind->gvk.version;
  labels.resource = facts.kind->plural;
  if (facts.sub != nullptr) labels.subresource = facts.sub->name;
  labels.scope = scope_label(*facts.info);
  if (!facts.info->query.text("dryRun").empty()) labels.dry_run = "All";
  return labels;
}

constexpr std::string_view kComponent = "apiserver";

}  // namespace

RequestMetrics::RequestMetrics(metrics::Registry& registry)
    : total_(registry.counters(
          "apiserver_request_total", "Requests that were answered, by what they asked for and the code of the answer.",
          {"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component", "code"})),
      duration_(registry.histograms(
          "apiserver_request_duration_seconds",
          "From the whole request to its answer; without watches, sessions and what else goes on.",
          {"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"})),
      sizes_(registry.histograms("apiserver_response_sizes", "Bytes of answers that came at once, uncompressed.",
                                 {"verb", "group", "version", "resource", "subresource", "scope", "component"},
                                 kSizes)),
      long_running_(registry.gauges("apiserver_longrunning_requests", "Watches, followed logs, sessions and proxies.",
                                    {"verb", "group", "version", "resource", "subresource", "scope", "component"})),
      watchers_(
          registry.gauges("apiserver_registered_watchers", "Watches under way.", {"group", "version", "resource"})),
      watch_events_(registry.counters("apiserver_watch_events_total", "Events that were sent to watchers.",
                                      {"group", "version", "resource"})) {}

void RequestMetrics::answered(const RequestFacts& facts, int code, std::size_t bytes,
                              std::chrono::steady_clock::duration took) {
  const Labels l = labels_of(facts);
  total_
      .at({l.verb, l.dry_run, l.group, l.version, l.resource, l.subresource, l.scope, kComponent, std::to_string(code)})
      .add();
  if (facts.is_long_running && code < 300) return;
  duration_.at({l.verb, l.dry_run, l.group, l.version, l.resource, l.subresource, l.scope, kComponent})
      .observe(std::chrono::duration<double>(took).count());
  sizes_.at({l.verb, l.group, l.version, l.resource, l.subresource, l.scope, kComponent})
      .observe(static_cast<double>(bytes));
}

std::shared_ptr<void> RequestMetrics::long_running(const RequestFacts& facts) {
  const Labels l = labels_of(facts);
  metrics::Gauge* all = &long_running_.at({l.verb, l.group, l.version, l.resource, l.subresource, l.scope, kComponent});
  metrics::Gauge* watchers = l.verb == "WATCH" ? &watchers_.at({l.group, l.version, l.resource}) : nullptr;
  all->add();
  if (watchers != nullptr) watchers->add();
  return std::shared_ptr<void>(nullptr, [all, watchers](void*) {
    all->add(-1);
    if (watchers != nullptr) watchers->add(-1);
  });
}

metrics::Counter& RequestMetrics::watch_events(const api::Kind& kind) {
  return watch_events_.at({kind.gvk.group, kind.gvk.version, kind.plural});
}

}  // namespace gantry::control

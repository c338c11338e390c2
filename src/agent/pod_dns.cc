// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_dns.h"

#include <algorithm>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

// What resolvers read. kubelet leaves out what is over it, too.
constexpr int kMaxNameservers = 3;
constexpr int kMaxSearches = 32;
constexpr std::size_t kMaxSearchCharacters = 2048;  // with a space between each two

void read_resolv_conf(std::string_view text, v1::DNSConfig& dns) {
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    std::vector<std::string> values;
    for (std::string word; words >> word && !word.starts_with('#') && !word.starts_with(';');) values.push_back(word);
    if (key == "nameserver" && !values.empty()) dns.add_servers(values.front());
    if (key == "search" || key == "domain") {
      dns.clear_searches();  // the last one counts
      for (const auto& value : values) dns.add_searches(value);
    }
    if (key == "options") {
      for (const auto& value : values) dns.add_options(value);
    }
  }
}

void add_once(google::protobuf::RepeatedPtrField<std::string>& list, const std::string& value) {
  if (std::ranges::find(list, value) == list.end()) *list.Add() = value;
}

// The pod's own options take the place of those with the same name.
void add_options(const core::PodDNSConfig& config, v1::DNSConfig& dns) {
  auto name_of = [](std::string_view option) { return option.substr(0, option.find(':')); };
  for (const auto& option : config.options()) {
    auto& options = *dns.mutable_options();
    auto same = std::ranges::remove_if(options, [&](const std::string& old) { return name_of(old) == option.name(); });
    options.erase(same.begin(), options.end());
    dns.add_options(option.value().empty() ? option.name() : absl::StrCat(option.name(), ":", option.value()));
  }
}

// Leaves out what is over the limits. Returns a sentence about it, or nothing.
std::string fit_dns(v1::DNSConfig& dns) {
  std::string omitted;
  auto cut = [&](google::protobuf::RepeatedPtrField<std::string>& list, int fits, const char* what) {
    if (list.size() <= fits) return;
    absl::StrAppend(&omitted, omitted.empty() ? "" : "; ", "of ", list.size(), " ", what,
                    ", the pod's with the node's, ", "the first ", fits, " are used");
    list.DeleteSubrange(fits, list.size() - fits);
  };
  cut(*dns.mutable_servers(), kMaxNameservers, "nameservers");
  int fits = 0;
  std::size_t length = 0;
  for (const auto& search : dns.searches()) {
    length += search.size() + (fits == 0 ? 0 : 1);
    if (length > kMaxSearchCharacters || fits == kMaxSearches) break;
    ++fits;
  }
  cut(*dns.mutable_searches(), fits, "search domains");
  return omitted;
}

// A name with fewer dots is looked for in the search domains first.
constexpr char kClusterOptions[] = "ndots:5";

bool asks_cluster(const core::PodSpec& spec) {
  return spec.dns_policy() == "ClusterFirstWithHostNet" ||
         (spec.dns_policy() == "ClusterFirst" && !spec.host_network());
}

// The cluster's servers know the node's, too.
void set_cluster(const core::Pod& pod, const ClusterDns& cluster, v1::DNSConfig& dns) {
  dns.mutable_servers()->Assign(cluster.servers.begin(), cluster.servers.end());
  dns.clear_options();
  dns.add_options(kClusterOptions);
  if (cluster.domain.empty()) return;
  google::protobuf::RepeatedPtrField<std::string> searches;
  for (const auto& name : {absl::StrCat(pod.metadata().namespace_(), ".svc.", cluster.domain),
                           absl::StrCat("svc.", cluster.domain), cluster.domain}) {
    add_once(searches, name);
  }
  for (const auto& name : dns.searches()) add_once(searches, name);
  dns.mutable_searches()->Swap(&searches);
}

}  // namespace

std::string set_dns(const core::Pod& pod, const ClusterDns& cluster, std::string_view host_resolv_conf,
                    v1::PodSandboxConfig& config) {
  const core::PodSpec& spec = pod.spec();
  const bool is_own = spec.dns_policy() == "None";
  const bool is_cluster = asks_cluster(spec) && !cluster.servers.empty();
  auto& dns = *config.mutable_dns_config();
  if (!is_own) read_resolv_conf(host_resolv_conf, dns);
  if (is_cluster) set_cluster(pod, cluster, dns);
  for (const auto& server : spec.dns_config().nameservers()) add_once(*dns.mutable_servers(), server);
  for (const auto& search : spec.dns_config().searches()) add_once(*dns.mutable_searches(), search);
  add_options(spec.dns_config(), dns);
  return fit_dns(dns);
}

}  // namespace gantry::agent

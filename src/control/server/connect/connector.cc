// SPDX-License-Identifier: Apache-2.0
#include "control/server/connect/connector.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"
#include "control/server/connect/forward.h"
#include "control/server/connect/node_server.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::string_view kDefaultContainer = "kubectl.kubernetes.io/default-container";

std::string encoded(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

class QueryWriter {
 public:
  void add(std::string_view name, std::string_view value) {
    text_ += cat(text_.empty() ? "?" : "&", name, "=", encoded(value));
  }
  // Passes on what the client said, under the node's name for it.
  void pass(const Query& query, std::string_view name, std::string_view as = {}) {
    for (const std::string& value : query.all(name)) add(as.empty() ? name : as, value);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// "1" where the client says true in whichever way.
Outcome<void> pass_flag(const Query& query, std::string_view name, std::string_view as, QueryWriter* writer) {
  Result<bool> flag = query.flag(name);
  if (!flag) return fail(bad_request(flag.error().message()));
  if (*flag) writer->add(as, "1");
  return {};
}

bool has_container(const core::Pod& pod, std::string_view name) {
  const auto named = [&](const auto& list) {
    return std::ranges::any_of(list, [&](const auto& container) { return container.name() == name; });
  };
  if (named(pod.spec().containers()) || named(pod.spec().init_containers())) return true;
  return std::ranges::any_of(pod.spec().ephemeral_containers(), [&](const core::EphemeralContainer& container) {
    return container.ephemeral_container_common().name() == name;
  });
}

Outcome<std::string> choose_container(const core::Pod& pod, const std::string& wanted) {
  const std::string& name = pod.metadata().name();
  if (!wanted.empty()) {
    if (has_container(pod, wanted)) return wanted;
    return fail(bad_request(cat("container ", wanted, " is not valid for pod ", name)));
  }
  if (pod.spec().containers_size() == 1) return pod.spec().containers(0).name();
  const auto& annotations = pod.metadata().annotations();
  if (const auto found = annotations.find(std::string(kDefaultContainer));
      found != annotations.end() && has_container(pod, found->second)) {
    return found->second;
  }
  std::string names;
  for (const core::Container& container : pod.spec().containers()) {
    names += cat(names.empty() ? "" : " ", container.name());
  }
  return fail(bad_request(cat("a container name must be specified for pod ", name, ", choose one of: [", names, "]")));
}

Outcome<std::string> log_query(const Query& query) {
  QueryWriter writer;
  for (const std::string_view name : {"follow", "previous", "timestamps"}) {
    Result<bool> flag = query.flag(name);
    if (!flag) return fail(bad_request(flag.error().message()));
    if (*flag) writer.add(name, "true");
  }
  for (const std::string_view name : {"sinceSeconds", "tailLines", "limitBytes"}) {
    Result<std::optional<int64_t>> number = query.number(name);
    if (!number) return fail(bad_request(number.error().message()));
    if (!*number) continue;
    const int64_t least = name == "tailLines" ? 0 : 1;
    if (**number < least) {
      return fail(bad_request(cat("the parameter ", name, " is ", **number, "; expected no less than ", least)));
    }
    writer.add(name, std::to_string(**number));
  }
  writer.pass(query, "sinceTime");
  writer.pass(query, "stream");
  return writer.text();
}

Outcome<std::string> exec_query(const Query& query, bool with_command) {
  QueryWriter writer;
  if (with_command) {
    if (query.find("command") == nullptr) return fail(bad_request("you must specify at least 1 command for the exec"));
    writer.pass(query, "command");
  }
  const std::array<std::pair<std::string_view, std::string_view>, 4> flags = {
      {{"stdin", "input"}, {"stdout", "output"}, {"stderr", "error"}, {"tty", "tty"}}};
  for (const auto& [name, as] : flags) {
    if (Outcome<void> passed = pass_flag(query, name, as, &writer); !passed) return fail(std::move(passed.error()));
  }
  return writer.text();
}

}  // namespace

bool Connector::knows(std::string_view subresource) {
  constexpr std::array<std::string_view, 5> kNames = {"log", "exec", "attach", "portforward", "proxy"};
  return std::ranges::find(kNames, subresource) != kNames.end();
}

Task<Outcome<Connector::Target>> Connector::node_target(Loop& here, std::string name) {
  const api::Kind& nodes = *objects_.kinds().find_resource("", "v1", "nodes");
  Result<std::optional<Object>> found = co_await objects_.find(here, nodes, "", name);
  if (!found) co_return fail(from_error(found.error()));
  if (!*found) co_return fail(object_not_found(nodes, name));
  Outcome<http::ClientOptions> server = node_server(static_cast<const core::Node&>(*(*found)->message), nodes_);
  if (!server) co_return fail(std::move(server.error()));
  co_return Target{.host = std::move(server->host),
                   .port = server->port,
                   .tls = std::move(server->tls),
                   .server_user = std::move(server->server_user),
                   .path = {},
                   .prefix = {}};
}

Task<Outcome<Connector::Target>> Connector::pod_target(Call& call) {
  Result<std::optional<Object>> found = co_await objects_.find(call.here, call.kind, call.info.ns, call.info.name);
  if (!found) co_return fail(from_error(found.error()));
  if (!*found) co_return fail(object_not_found(call.kind, call.info.name));
  const auto& pod = static_cast<const core::Pod&>(*(*found)->message);
  const std::string place = cat("/", encoded(call.info.ns), "/", encoded(call.info.name));
  const std::string& what = call.info.subresource;
  const Query& query = call.info.query;
  std::string path;
  if (what == "portforward") {
    QueryWriter writer;
    writer.pass(query, "ports", "port");
    path = cat("/portForward", place, writer.text());
  } else {
    Outcome<std::string> container = choose_container(pod, query.text("container"));
    if (!container) co_return fail(std::move(container.error()));
    Outcome<std::string> options = what == "log" ? log_query(query) : exec_query(query, what == "exec");
    if (!options) co_return fail(std::move(options.error()));
    const std::string_view root = what == "log" ? "/containerLogs" : what == "exec" ? "/exec" : "/attach";
    path = cat(root, place, "/", encoded(*container), *options);
  }
  if (pod.spec().node_name().empty()) {
    co_return fail(bad_request(cat("pod ", call.info.name, " does not have a host assigned")));
  }
  Outcome<Target> target = co_await node_target(call.here, pod.spec().node_name());
  if (target) target->path = std::move(path);
  co_return target;
}

Task<Outcome<http::Reply>> Connector::serve(Call& call, const http::Request& request) {
  const bool is_proxy = call.info.subresource == "proxy";
  Outcome<Target> target = is_proxy ? co_await proxy_target(call) : co_await pod_target(call);
  if (!target) co_return fail(std::move(target.error()));
  if (!is_proxy && call.info.subresource != "log" && !asks_for_upgrade(request)) {
    co_return fail(bad_request("Upgrade request required"));
  }
  ForwardTo to{
      .server = {.host = target->host,
                 .port = target->port,
                 .tls = target->tls,
                 .server_name = {},
                 .server_user = target->server_user},
      .target = target->path,
      .prefix = target->prefix,
      .fails_in_words = call.info.subresource == "log"};
  co_return co_await forward(call.here, request, std::move(to));
}

}  // namespace gantry::control

// SPDX-License-Identifier: Apache-2.0
#include "agent/hook_request.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/text.h"
#include "base/text.h"
#include "http/client.h"
#include "http/tls.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using IntOrString = k8s::io::apimachinery::pkg::util::intstr::IntOrString;

constexpr int kMaxPort = 65535;

// A number, or the name of one of the container's ports.
Result<std::uint16_t> port_of(const IntOrString& port, const core::Container& container) {
  int number = port.int_val();
  if (port.type() != 0) {
    const auto same = [&](const core::ContainerPort& known) { return known.name() == port.str_val(); };
    auto found = std::ranges::find_if(container.ports(), same);
    if (found != container.ports().end()) {
      number = found->container_port();
    } else if (!absl::SimpleAtoi(port.str_val(), &number)) {
      return not_found(absl::StrCat("couldn't find port: ", api::quoted(port.str_val())));
    }
  }
  if (number < 1 || number > kMaxPort) return invalid_argument(absl::StrCat("invalid port number: ", number));
  return static_cast<std::uint16_t>(number);
}

// As it may stand in a request line: without a fragment, and what can't be there as %XX.
std::string target_of(std::string_view path) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out = path.starts_with('/') ? "" : "/";
  for (char c : path.substr(0, path.find('#'))) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

}  // namespace

Task<Status> send_hook_request(Loop& loop, const core::HTTPGetAction& action, const core::Container& container,
                               std::string pod_ip, Duration limit) {
  auto port = port_of(action.port(), container);
  if (!port) co_return std::unexpected(std::move(port.error()));
  http::ClientOptions options{.host = action.host().empty() ? std::move(pod_ip) : action.host(),
                              .port = *port,
                              .connect_time = limit,
                              .response_time = limit,
                              .max_kept = 0};
  if (action.scheme() == "HTTPS") {
    auto tls = http::TlsClient::make({.verify = false});
    if (!tls) co_return std::unexpected(std::move(tls.error()));
    options.tls = std::move(*tls);
  }
  http::ClientRequest request{.target = target_of(action.path())};
  bool has_agent = false;
  bool has_accept = false;
  for (const auto& header : action.http_headers()) {
    const std::string name = lowered(header.name());
    has_agent |= name == "user-agent";
    has_accept |= name == "accept";
    request.headers.emplace_back(header.name(), header.value());
  }
  if (!has_agent) request.headers.emplace_back("User-Agent", "kube-lifecycle/1.37");
  if (!has_accept) request.headers.emplace_back("Accept", "*/*");
  http::Client client(loop, std::move(options));
  // Its body is nobody's concern.
  auto answer = co_await client.open(std::move(request));
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return Status();
}

}  // namespace gantry::agent

// SPDX-License-Identifier: Apache-2.0
// A GET: an answer of 200 to 399 is its success. Redirects are followed on the same host, ten times at most; one to
// another host is a success with a warning. HTTP/1.1, a connection for each; certificates are not verified.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/probe/probe_outcome.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "http/message.h"

namespace k8s::io::api::core::v1 {
class HTTPGetAction;
}

namespace gantry::agent {

struct ProbeUrl {
  bool tls = false;
  std::string host;  // IPv6 without brackets
  std::uint16_t port = 0;
  std::string target = "/";  // path and query, escaped

  std::string text() const;
  bool operator==(const ProbeUrl&) const = default;
};

// Where an answer's Location header leads that came from `base` (RFC 3986, 5.2).
Result<ProbeUrl> follow_location(const ProbeUrl& base, std::string_view location);

struct HttpProbe {
  ProbeUrl url;
  http::HeaderList headers;
};

// `port` is the action's, as a number. What the action says nothing of is as kubelet has it: the pod's address, Accept
// and User-Agent.
HttpProbe http_probe(const k8s::io::api::core::v1::HTTPGetAction& action, std::uint16_t port,
                     const std::string& pod_ip);

Task<ProbeOutcome> ask_http(ProbeMeans& means, HttpProbe probe, Duration limit);

}  // namespace gantry::agent

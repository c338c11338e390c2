// SPDX-License-Identifier: Apache-2.0
// RemoteTransport: requests to an API server over the network, with the credentials of a kubeconfig. On one loop.
#pragma once

#include <chrono>
#include <memory>
#include <set>

#include "api/client/kubeconfig.h"
#include "api/client/transport.h"

namespace gantry::http {
class BodyReader;
class Client;
class TlsClient;
}  // namespace gantry::http

namespace gantry::api {

struct ServerAddress {
  bool tls = true;
  std::string host;  // a name or a numeric address, IPv6 without brackets
  std::uint16_t port = 0;
};
// Of "https://HOST[:PORT]", with an IPv6 address in brackets.
Result<ServerAddress> parse_server(std::string_view text);

class RemoteTransport final : public Transport {
 public:
  // kInvalidArgument when the server's address or the certificates are no good; nothing is asked yet. An answer that is
  // not whole after `limit` is given up, and its connection with it.
  static Result<std::unique_ptr<RemoteTransport>> make(Loop& loop, const Kubeconfig& config,
                                                       Duration limit = std::chrono::seconds(60));
  ~RemoteTransport() override;

  // Other credentials of the same server, for what is sent from now on: no connection that was made with the ones
  // before is used again, and what is followed ends, as if the server had ended it, to be begun anew. With the same
  // ones nothing happens. On an error all stays as it was.
  Status replace(const Kubeconfig& config);

  Task<Result<http::Response>> call(Loop& here, http::Request request) override;
  Task<Result<http::Response>> follow(Loop& here, http::Request request, TakeLine take) override;

 private:
  struct Followed {
    std::set<http::BodyReader*> bodies;
    std::uint64_t replaced = 0;  // how often credentials were
  };
  RemoteTransport(std::unique_ptr<http::Client> client, std::shared_ptr<http::TlsClient> tls, const Kubeconfig& config);

  const std::unique_ptr<http::Client> client_;
  const std::shared_ptr<http::TlsClient> tls_;  // null: none
  http::TlsClientOptions credentials_;
  std::string token_;
  const std::shared_ptr<Followed> followed_;  // who follows may outlive this
};

}  // namespace gantry::api

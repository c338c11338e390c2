// SPDX-License-Identifier: Apache-2.0
#include "api/client/remote_transport.h"

#include <charconv>
#include <utility>

#include "base/text.h"
#include "http/client.h"

namespace gantry::api {

namespace {

http::ClientRequest to_send(http::Request request, const std::string& token) {
  http::ClientRequest sent{.method = std::move(request.method),
                           .target = std::move(request.target),
                           .headers = std::move(request.headers),
                           .body = std::move(request.body)};
  if (!token.empty()) sent.headers.emplace_back("Authorization", "Bearer " + token);
  return sent;
}

// What is followed, for as long as it is.
class Entry {
 public:
  Entry(std::set<http::BodyReader*>& all, http::BodyReader* one) : all_(all), one_(one) { all_.insert(one); }
  ~Entry() { all_.erase(one_); }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  bool is_there() const { return all_.contains(one_); }

 private:
  std::set<http::BodyReader*>& all_;
  http::BodyReader* const one_;
};

}  // namespace

Result<ServerAddress> parse_server(std::string_view text) {
  const std::string_view whole = text;
  const auto wrong = [whole] { return invalid_argument(cat(quoted(whole), " is no address of a server")); };
  ServerAddress address{.port = 443};
  if (text.starts_with("https://")) {
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
    address.tls = false;
    address.port = 80;
  } else {
    return wrong();
  }
  while (text.ends_with('/')) text.remove_suffix(1);
  const std::size_t bracket = text.find(']');
  const std::size_t colon = text.find(':', bracket == text.npos ? 0 : bracket);
  address.host = std::string(text.substr(0, colon));
  if (address.host.starts_with('[') && address.host.ends_with(']')) {
    address.host = address.host.substr(1, address.host.size() - 2);
  }
  if (address.host.empty() || address.host.find('/') != std::string::npos) return wrong();
  if (colon == text.npos) return address;
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size() || address.port == 0) return wrong();
  return address;
}

RemoteTransport::RemoteTransport(std::unique_ptr<http::Client> client, std::shared_ptr<http::TlsClient> tls,
                                 const Kubeconfig& config)
    : client_(std::move(client)),
      tls_(std::move(tls)),
      credentials_(config.tls),
      token_(config.token),
      followed_(std::make_shared<Followed>()) {}
RemoteTransport::~RemoteTransport() = default;

Result<std::unique_ptr<RemoteTransport>> RemoteTransport::make(Loop& loop, const Kubeconfig& config, Duration limit) {
  Result<ServerAddress> address = parse_server(config.server);
  if (!address) return std::unexpected(std::move(address.error()));
  http::ClientOptions options{
      .host = address->host, .port = address->port, .server_name = config.server_name, .response_time = limit};
  if (address->tls) {
    Result<std::shared_ptr<http::TlsClient>> tls = http::TlsClient::make(config.tls);
    if (!tls) return std::unexpected(std::move(tls.error()));
    options.tls = std::move(*tls);
  }
  std::shared_ptr<http::TlsClient> tls = options.tls;
  auto client = std::make_unique<http::Client>(loop, std::move(options));
  return std::unique_ptr<RemoteTransport>(new RemoteTransport(std::move(client), std::move(tls), config));
}

Status RemoteTransport::replace(const Kubeconfig& config) {
  if (config.tls == credentials_ && config.token == token_) return {};
  if (tls_ != nullptr) {
    if (Status replaced = tls_->replace(config.tls); !replaced) return replaced;
  }
  credentials_ = config.tls;
  token_ = config.token;
  client_->forget_kept();
  ++followed_->replaced;
  for (http::BodyReader* body : std::exchange(followed_->bodies, {})) body->close();
  return {};
}

Task<Result<http::Response>> RemoteTransport::call(Loop&, http::Request request) {
  co_return co_await client_->send(to_send(std::move(request), token_));
}

Task<Result<http::Response>> RemoteTransport::follow(Loop&, http::Request request, TakeLine take) {
  const std::shared_ptr<Followed> followed = followed_;
  const std::uint64_t before = followed->replaced;
  Result<http::StreamedResponse> opened = co_await client_->open(to_send(std::move(request), token_));
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  http::Response response{.status = opened->status, .headers = std::move(opened->headers)};
  if (followed->replaced != before) co_return response;  // it was asked with the ones before
  LineSplitter lines(std::move(take));
  const Entry entry(followed->bodies, opened->body.get());
  for (;;) {
    Result<std::string> bytes = co_await opened->body->read();
    if (!bytes && !entry.is_there()) co_return response;  // replace() closed it
    if (!bytes) co_return std::unexpected(std::move(bytes.error()));
    if (bytes->empty()) co_return response;
    if (response.status != 200) {
      constexpr std::size_t kMaxBody = 1 << 20;
      if (response.body.size() + bytes->size() <= kMaxBody) response.body += *bytes;
      continue;
    }
    if (Status taken = lines.add(*bytes); !taken) co_return std::unexpected(std::move(taken.error()));
  }
}

}  // namespace gantry::api

// SPDX-License-Identifier: Apache-2.0
#include "control/store/etcd/etcd_client.h"

#include <grpcpp/grpcpp.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <utility>

#include "control/store/answer.h"
#include "control/store/etcd/inside.h"
#include "etcd/rpc.grpc.pb.h"

namespace gantry::control {

using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

// etcd refuses pings that come more often than every five seconds.
constexpr int kKeepaliveMs = 6000;
constexpr int kKeepaliveTimeoutMs = 3500;
// As upstream: a lease is shared for a minute or 5 % of its time, by at most so many.
constexpr seconds kShared{60};
constexpr int kMaxShared = 1000;

Result<std::string> read_file(const std::string& path) {
  if (path.empty()) return std::string();
  std::ifstream file(path);
  if (!file) return not_found("etcd: cannot read " + path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Result<std::shared_ptr<grpc::ChannelCredentials>> credentials_of(const EtcdOptions& options) {
  grpc::SslCredentialsOptions ssl;
  for (auto [path, pem] :
       {std::pair(&options.ca_file, &ssl.pem_root_certs), std::pair(&options.certificate_file, &ssl.pem_cert_chain),
        std::pair(&options.key_file, &ssl.pem_private_key)}) {
    auto text = read_file(*path);
    if (!text) return std::unexpected(std::move(text.error()));
    *pem = std::move(*text);
  }
  return grpc::SslCredentials(ssl);
}

Result<EtcdEndpoint> endpoint_of(const std::string& url, const EtcdOptions& options) {
  bool secure = url.starts_with("https://");
  if (!secure && !url.starts_with("http://")) return invalid_argument("etcd: not an http(s) URL: " + url);
  std::string address = url.substr(url.find("//") + 2);
  if (address.ends_with('/')) address.pop_back();
  if (address.empty() || address.find('/') != std::string::npos) {
    return invalid_argument("etcd: not https://HOST:PORT: " + url);
  }
  auto credentials = grpc::InsecureChannelCredentials();
  if (secure) {
    auto made = credentials_of(options);
    if (!made) return std::unexpected(std::move(made.error()));
    credentials = std::move(*made);
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // lists are paged by us
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(address, credentials, arguments);
  // gRPC 1.51 drops its queue for callbacks with the last channel that used it, and a thread of its own may use that
  // once more (it aborts: ref_counted.h, "prior > 0"). So the first channel of the process stays.
  [[maybe_unused]] static const auto* const kept = new std::shared_ptr<grpc::Channel>(channel);
  return EtcdEndpoint{url, std::move(channel)};
}

enum class Retry { kNone, kEachEndpoint };

// One call of one endpoint; owned by gRPC's callback until it ends.
template <typename Request, typename Response>
struct Call {
  grpc::ClientContext context;
  Request request;
  Response response;
};

// `start(channel, context, request, response, done)` begins the call.
template <typename Response, typename Request, typename Start>
Reply<Response> call(std::shared_ptr<EtcdClient::Inside> inside, Loop& here, Request request, Retry retry,
                     Duration limit, Start start) {
  std::size_t tries = retry == Retry::kNone ? 1 : inside->endpoints.size();
  for (;;) {
    std::size_t at = inside->choose();
    const EtcdEndpoint& endpoint = inside->endpoints[at];
    auto made = std::make_shared<Call<Request, Response>>();
    made->request = request;
    require_leader(made->context);
    made->context.set_deadline(std::chrono::system_clock::now() +
                               std::chrono::duration_cast<std::chrono::microseconds>(limit));
    using Outcome = Result<std::shared_ptr<const Response>>;
    Answer<Outcome> answer(here);
    if (!inside->begin(made.get(), [made] { made->context.TryCancel(); })) {
      co_return fail(Code::kCancelled, "etcd: the store is being closed");
    }
    start(endpoint.channel, &made->context, &made->request, &made->response,
          [made, inside = inside.get(), url = endpoint.url, answer](grpc::Status status) {
            if (status.ok()) {
              answer.give(std::shared_ptr<const Response>(made, &made->response));
            } else {
              answer.give(std::unexpected(error_of(status, url)));
            }
            inside->end(made.get());
          });
    Outcome outcome = co_await answer.wait();
    if (outcome || outcome.error().code() != Code::kUnavailable) co_return outcome;
    inside->has_failed(at);
    if (--tries == 0) co_return outcome;
  }
}

}  // namespace

Result<std::shared_ptr<EtcdClient>> EtcdClient::make(EtcdOptions options) {
  if (options.endpoints.empty()) return invalid_argument("etcd: no endpoint is named");
  std::vector<EtcdEndpoint> endpoints;
  for (const std::string& url : options.endpoints) {
    auto endpoint = endpoint_of(url, options);
    if (!endpoint) return std::unexpected(std::move(endpoint.error()));
    endpoints.push_back(std::move(*endpoint));
  }
  return std::shared_ptr<EtcdClient>(
      new EtcdClient(std::make_shared<Inside>(std::move(options), std::move(endpoints))));
}

EtcdClient::EtcdClient(std::shared_ptr<Inside> inside) : inside_(std::move(inside)) {}
EtcdClient::~EtcdClient() { close(); }
void EtcdClient::close() { inside_->cancel_all(); }

Reply<etcdserverpb::RangeResponse> EtcdClient::range(Loop& here, etcdserverpb::RangeRequest request) {
  return call<etcdserverpb::RangeResponse>(
      inside_, here, std::move(request), Retry::kEachEndpoint, inside_->options.read_limit,
      [](const auto& channel, auto* context, const auto* q, auto* r, std::function<void(grpc::Status)> done) {
        etcdserverpb::KV::Stub(channel).async()->Range(context, q, r, std::move(done));
      });
}

Reply<etcdserverpb::TxnResponse> EtcdClient::txn(Loop& here, etcdserverpb::TxnRequest request) {
  return call<etcdserverpb::TxnResponse>(
      inside_, here, std::move(request), Retry::kNone, inside_->options.write_limit,
      [](const auto& channel, auto* context, const auto* q, auto* r, std::function<void(grpc::Status)> done) {
        etcdserverpb::KV::Stub(channel).async()->Txn(context, q, r, std::move(done));
      });
}

Reply<etcdserverpb::CompactionResponse> EtcdClient::compact(Loop& here, etcdserverpb::CompactionRequest request) {
  return call<etcdserverpb::CompactionResponse>(
      inside_, here, std::move(request), Retry::kEachEndpoint, inside_->options.write_limit,
      [](const auto& channel, auto* context, const auto* q, auto* r, std::function<void(grpc::Status)> done) {
        etcdserverpb::KV::Stub(channel).async()->Compact(context, q, r, std::move(done));
      });
}

Reply<etcdserverpb::StatusResponse> EtcdClient::status(Loop& here, etcdserverpb::StatusRequest request) {
  return call<etcdserverpb::StatusResponse>(
      inside_, here, std::move(request), Retry::kEachEndpoint, inside_->options.read_limit,
      [](const auto& channel, auto* context, const auto* q, auto* r, std::function<void(grpc::Status)> done) {
        etcdserverpb::Maintenance::Stub(channel).async()->Status(context, q, r, std::move(done));
      });
}

Task<Result<std::int64_t>> EtcdClient::lease(Loop& here, seconds ttl) {
  auto inside = inside_;
  auto shared = std::min(kShared, seconds(ttl.count() / 20));
  {
    std::lock_guard lock(inside->lease_mutex);
    auto& lease = inside->leases[ttl.count()];
    if (lease.id != 0 && lease.uses < kMaxShared && steady_clock::now() - lease.granted < shared) {
      ++lease.uses;
      co_return lease.id;
    }
    // Times to live are few; should they not be, nothing is lost with them.
    if (inside->leases.size() > kMaxShared) inside->leases.clear();
  }
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(std::max<std::int64_t>((ttl + shared).count(), 1));
  auto now = steady_clock::now();
  auto granted = co_await call<etcdserverpb::LeaseGrantResponse>(
      inside, here, std::move(request), Retry::kEachEndpoint, inside->options.write_limit,
      [](const auto& channel, auto* context, const auto* q, auto* r, std::function<void(grpc::Status)> done) {
        etcdserverpb::Lease::Stub(channel).async()->LeaseGrant(context, q, r, std::move(done));
      });
  if (!granted) co_return std::unexpected(std::move(granted.error()));
  std::lock_guard lock(inside->lease_mutex);
  inside->leases[ttl.count()] = {(*granted)->id(), now, 1};
  co_return (*granted)->id();
}

std::unique_ptr<Watcher> EtcdClient::watch(Loop& here, std::string prefix, std::int64_t after) {
  return watch_etcd(inside_, here, std::move(prefix), after);
}

}  // namespace gantry::control

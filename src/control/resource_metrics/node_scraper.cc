// SPDX-License-Identifier: Apache-2.0
#include "control/resource_metrics/node_scraper.h"

#include <deque>
#include <future>
#include <map>
#include <set>

#include "base/log.h"
#include "base/text.h"
#include "control/server/connect/node_server.h"
#include "http/client.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;
using std::chrono::milliseconds;

// Connections are made anew now and then, so that a certificate that was replaced is not used for ever.
constexpr int kRoundsOfConnection = 40;

milliseconds wall_now() {
  return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch());
}

struct Place {
  std::string name;
  http::ClientOptions server;
};

}  // namespace

struct NodeScraper::Impl {
  Impl(const api::Kinds& k, const Caches& c, std::shared_ptr<http::TlsClient> n, UsageBook& b, Options o,
       metrics::Family<metrics::Counter>* m)
      : nodes(*k.find_resource("", "v1", "nodes")), caches(c), tls(std::move(n)), book(b), options(o), counted(m) {}

  // A node's connections, and what was said of it last.
  struct Server {
    std::string host;
    std::uint16_t port = 0;
    std::unique_ptr<http::Client> client;
    std::string trouble;  // empty: it answered
  };

  // Nodes that wait to be asked, by at most so many at once.
  struct Lane {
    std::size_t most = 0;
    std::deque<Place> waiting = {};
    std::size_t working = 0;
  };

  Task<> run();
  void begin_round();
  // Takes one node after the other until there is none.
  Task<> work(Lane& lane);
  Task<> scrape(Place place);
  Task<Result<NodeReading>> ask(const Place& place);
  Server& server_of(const Place& place);
  std::deque<Place> places();

  Loop loop;
  const api::Kind& nodes;
  const Caches& caches;
  const std::shared_ptr<http::TlsClient> tls;
  UsageBook& book;
  const Options options;
  metrics::Family<metrics::Counter>* counted;
  std::map<std::string, Server> servers;
  std::set<std::string> asked;  // who waits, or has not answered yet
  // Who did not answer last time waits apart, so that many of those hold nobody else up.
  Lane good{.most = options.at_once}, bad{.most = options.at_once / 4};
  int rounds = 0;
};

NodeScraper::NodeScraper(const api::Kinds& kinds, const Caches& caches, std::shared_ptr<http::TlsClient> nodes,
                         UsageBook& book, Options options, metrics::Registry* metrics) {
  metrics::Family<metrics::Counter>* counted = nullptr;
  if (metrics != nullptr) {
    counted = &metrics->counters("metrics_server_kubelet_request_total",
                                 "Pages of resource metrics that nodes were asked for.", {"success"});
  }
  std::promise<Impl*> started;
  std::future<Impl*> impl = started.get_future();
  thread_ = std::thread([&kinds, &caches, nodes = std::move(nodes), &book, options, counted,
                         started = std::move(started)]() mutable {
    Impl impl(kinds, caches, std::move(nodes), book, options, counted);
    impl.loop.post([&impl] { impl.loop.spawn(impl.run()); });
    started.set_value(&impl);
    impl.loop.run();
  });
  impl_ = impl.get();
}

NodeScraper::~NodeScraper() {
  impl_->loop.stop();
  thread_.join();
}

Task<> NodeScraper::Impl::run() {
  for (;;) {
    begin_round();
    co_await loop.sleep_for(options.resolution);
  }
}

std::deque<Place> NodeScraper::Impl::places() {
  std::deque<Place> found;
  std::set<std::string> names;
  const Snapshot snapshot = caches.of(nodes).snapshot();
  snapshot.visit(storage_key(nodes, "", ""), "", [&](const ObjectPtr& object) {
    const ItemPtr item = as_item(object);
    if (item == nullptr) return true;
    Outcome<http::ClientOptions> server = node_server(static_cast<const core::Node&>(*item->message(nodes)), tls);
    if (!server) return true;
    names.insert(item->name());
    found.push_back({item->name(), std::move(*server)});
    return true;
  });
  book.keep(names);
  std::erase_if(servers, [&](const auto& entry) { return !names.contains(entry.first); });
  return found;
}

void NodeScraper::Impl::begin_round() {
  if (++rounds % kRoundsOfConnection == 0) {
    for (auto& [name, server] : servers) server.client->forget_kept();
  }
  for (Place& place : places()) {
    if (!asked.insert(place.name).second) continue;
    Lane& lane = server_of(place).trouble.empty() ? good : bad;
    lane.waiting.push_back(std::move(place));
  }
  for (Lane* lane : {&good, &bad}) {
    for (std::size_t i = lane->waiting.size(); i > 0 && lane->working < lane->most; --i) {
      ++lane->working;
      loop.spawn(work(*lane));
    }
  }
}

Task<> NodeScraper::Impl::work(Lane& lane) {
  while (!lane.waiting.empty()) {
    Place place = std::move(lane.waiting.front());
    lane.waiting.pop_front();
    const std::string name = place.name;
    co_await scrape(std::move(place));
    asked.erase(name);
  }
  --lane.working;
}

NodeScraper::Impl::Server& NodeScraper::Impl::server_of(const Place& place) {
  Server& server = servers[place.name];
  if (server.client == nullptr || server.host != place.server.host || server.port != place.server.port) {
    server.host = place.server.host;
    server.port = place.server.port;
    http::ClientOptions made = place.server;
    made.connect_time = made.response_time = options.limit;
    made.keep_time = 2 * options.resolution;
    made.max_kept = 1;
    made.max_body_bytes = options.max_bytes;
    server.client = std::make_unique<http::Client>(loop, std::move(made));
  }
  return server;
}

Task<Result<NodeReading>> NodeScraper::Impl::ask(const Place& place) {
  http::ClientRequest request{.target = "/metrics/resource",
                              .headers = {{"Accept", "text/plain;version=0.0.4"}, {"User-Agent", "gantry-control"}}};
  Result<http::Response> response = co_await server_of(place).client->send(std::move(request));
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (response->status != 200) {
    co_return fail(Code::kUnavailable, cat("the node answers ", response->status, ": ", quoted(response->body)));
  }
  co_return parse_resource_page(response->body);
}

Task<> NodeScraper::Impl::scrape(Place place) {
  Result<NodeReading> reading = co_await ask(place);
  if (counted != nullptr) counted->at({reading ? "true" : "false"}).add();
  std::string& trouble = server_of(place).trouble;
  if (reading) {
    if (!trouble.empty()) log::info("a node's metrics can be read again", {{"node", place.name}});
    trouble.clear();
    book.put(place.name, {std::move(*reading), wall_now()});
    co_return;
  }
  // Once, and not at each round.
  if (std::string now = reading.error().message(); trouble.empty()) {
    log::warning("a node's metrics can't be read, it has none meanwhile", {{"node", place.name}, {"error", now}});
    trouble = std::move(now);
  }
  book.miss(place.name);
}

}  // namespace gantry::control

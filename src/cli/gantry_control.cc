// SPDX-License-Identifier: Apache-2.0
// gantry-control: the control plane. All wiring is here, in the order in which things stand on each other.
//
// Threads: this one waits for signals and follows the store; one for each core serves connections; one has the
// controllers. SIGTERM and SIGINT are a clean stop.
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <future>
#include <thread>
#include <vector>

#include "api/kinds/all.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/random.h"
#include "base/text.h"
#include "control/admission/service_allocation.h"
#include "control/bootstrap/security.h"
#include "control/bootstrap/system_objects.h"
#include "control/controllers/manager.h"
#include "control/identity/cluster_identity.h"
#include "control/server/actions/pod_binding.h"
#include "control/server/actions/pod_eviction.h"
#include "control/server/api_server.h"
#include "control/server/local_transport.h"
#include "control/store/sqlite_store.h"
#include "http/listen.h"
#include "http/server.h"
#include "http/tls.h"
#include "sys/folders.h"

namespace gantry {
namespace {

constexpr char kVersion[] = GANTRY_VERSION;
constexpr int kBacklog = 1024;
// Of one thread.
constexpr http::Limits kLimits{.max_body_bytes = 3 << 20, .max_connections = 10'000};
// All that is stored is read once before the first answer.
constexpr Duration kReadTime = std::chrono::minutes(5);
constexpr Duration kCertificateCheck = std::chrono::hours(12);

struct Options {
  std::string data_dir = "/var/lib/gantry-control";
  std::string listen = "0.0.0.0:6443";
  std::string advertise_address;  // empty: the first of this host's
  std::vector<std::string> service_networks = {"10.96.0.0/12"};
  std::vector<std::string> cluster_networks = {"10.244.0.0/16"};
};

// Blocked before the first thread, so that no thread takes them.
Result<OwnFd> take_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) < 0) return std::unexpected(Error::from_errno(errno, "sigprocmask"));
  OwnFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.is_open()) return std::unexpected(Error::from_errno(errno, "signalfd"));
  return fd;
}

api::Timestamp wall_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return {now.tv_sec, static_cast<int32_t>(now.tv_nsec)};
}

// One thread that serves connections. All that belongs to its loop is made and ends on it.
class Worker {
 public:
  Worker(control::ApiServer& server, SocketFd listener, std::shared_ptr<http::TlsServer> tls, http::Limits limits) {
    std::promise<Loop*> started;
    std::future<Loop*> loop = started.get_future();
    thread_ = std::thread([&server, listener = std::move(listener), tls = std::move(tls), limits,
                           started = std::move(started)]() mutable {
      Loop loop;
      http::Server connections(
          loop, [&loop, &server](http::Request request) { return server.handle(loop, std::move(request)); }, limits);
      loop.post([&] { connections.serve(std::move(listener), std::move(tls)); });
      started.set_value(&loop);
      loop.run();
    });
    loop_ = loop.get();
  }
  ~Worker() {
    loop_->stop();
    thread_.join();
  }

 private:
  Loop* loop_ = nullptr;
  std::thread thread_;
};

// "0.0.0.0:6443", "[::]:6443".
struct ListenAddress {
  std::string host;
  std::uint16_t port = 0;
};
Result<ListenAddress> parse_listen(std::string_view text) {
  const size_t colon = text.rfind(':');
  ListenAddress address;
  if (colon != std::string_view::npos) {
    const std::string_view port = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
    address.host = text.substr(0, colon);
    if (address.host.starts_with('[') && address.host.ends_with(']')) {
      address.host = address.host.substr(1, address.host.size() - 2);
    }
    if (error == std::errc() && end == port.data() + port.size() && !address.host.empty()) return address;
  }
  return fail(Code::kInvalidArgument, cat("--listen is ", quoted(text), "; expected ADDRESS:PORT"));
}

// Where this host's own programs find what listens there.
std::string url_of(const http::Listener& listener) {
  std::string host = listener.host;
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "[::]") host = "[::1]";
  return cat("https://", host, ":", listener.port);
}

Result<std::vector<api::IpNetwork>> parse_networks(const std::vector<std::string>& texts) {
  std::vector<api::IpNetwork> networks;
  for (const std::string& text : texts) {
    Result<api::IpNetwork> network = api::parse_network(text);
    if (!network) return std::unexpected(std::move(network.error()));
    if (network->size() < 16) return invalid_argument(cat(text, " is too small"));
    networks.push_back(*network);
  }
  if (networks.empty() || networks.size() > 2 ||
      (networks.size() == 2 && networks[0].base.is_v6 == networks[1].base.is_v6)) {
    return invalid_argument("one network, or one of IPv4 and one of IPv6");
  }
  return networks;
}

// Where nodes reach what listens there. Endpoints cannot be loopback's: who listens there alone says this host's own
// address, as upstream does.
std::string advertised(const Options& options, const ListenAddress& address) {
  if (!options.advertise_address.empty()) return options.advertise_address;
  const bool is_any = address.host == "0.0.0.0" || address.host == "::";
  if (!is_any && !http::is_loopback(address.host)) return address.host;
  for (const std::string& own : control::host_addresses()) {
    if (own != "::1" && !own.starts_with("127.")) return own;
  }
  return {};
}

// Runs the loop until the task ended.
Status run_to_end(Loop& loop, Task<Status> task) {
  Status status;
  loop.spawn([](Loop& loop, Task<Status> task, Status& status) -> Task<> {
    status = co_await task;
    loop.stop();
  }(loop, std::move(task), status));
  loop.run();
  return status;
}

Task<Status> prepare(Loop& home, control::Objects objects, control::Caches& caches, control::Security& security) {
  if (Status made = co_await control::make_system_objects(home, objects, wall_clock); !made) co_return made;
  if (Status ready = co_await caches.wait_ready(home, kReadTime); !ready) co_return ready;
  co_await security.ready();
  co_return Status();
}

// Certificates are made anew before they end, also while nobody restarts this.
Task<> keep_certificates(Loop& home, control::IdentityOptions options, http::TlsServer& tls) {
  while (true) {
    co_await home.sleep_for(kCertificateCheck);
    Result<control::ClusterIdentity> identity = control::load_identity(options);
    Status replaced;
    if (identity) {
      replaced = tls.replace(identity->tls());
    } else {
      replaced = std::unexpected(std::move(identity.error()));
    }
    if (!replaced) log::error("certificates cannot be renewed, retrying later", {{"error", replaced.error()}});
  }
}

Status run(const Options& options) {
  Result<OwnFd> signals = take_signals();
  if (!signals) return std::unexpected(std::move(signals.error()));
  Result<ListenAddress> address = parse_listen(options.listen);
  if (!address) return std::unexpected(std::move(address.error()));
  Result<std::vector<api::IpNetwork>> service_networks = parse_networks(options.service_networks);
  if (!service_networks) return fail_with(std::move(service_networks.error()), "--service-cidr");
  Result<std::vector<api::IpNetwork>> cluster_networks = parse_networks(options.cluster_networks);
  if (!cluster_networks) return fail_with(std::move(cluster_networks.error()), "--cluster-cidr");
  if (Status made = sys::make_folders(options.data_dir, 0700); !made) return made;

  const control::IdentityOptions identity_options{
      .folder = options.data_dir + "/pki",
      .dns_names = control::host_names(),
      .addresses = control::host_addresses(),
      .service_address = to_string(control::kubernetes_address(service_networks->front()))};
  Result<control::ClusterIdentity> identity = control::load_identity(identity_options);
  if (!identity) return std::unexpected(std::move(identity.error()));
  Result<std::shared_ptr<http::TlsServer>> tls = http::TlsServer::make(identity->tls());
  if (!tls) return std::unexpected(std::move(tls.error()));

  Loop home;
  auto store = control::SqliteStore::open(options.data_dir + "/store.db");
  if (!store) return std::unexpected(std::move(store.error()));
  const api::Kinds kinds(api::all_kinds());
  const control::Objects objects(kinds, **store);
  control::Caches caches(home, kinds, **store);
  auto security = control::Security::make({home, kinds, **store, caches, identity->token_key, wall_clock});
  if (!security) return std::unexpected(std::move(security.error()));
  if (Status prepared = run_to_end(home, prepare(home, objects, caches, **security)); !prepared) return prepared;

  const control::AdmissionChain& admission = (*security)->admission();
  const control::ClusterView view(kinds, caches, **store);
  if (Status repaired = run_to_end(home, control::repair_node_ports(home, view)); !repaired) return repaired;
  control::ResourceWriter writer(objects, admission, wall_clock);
  control::PodBinding binding(kinds, writer, wall_clock);
  control::PodEviction eviction(objects, caches, writer, wall_clock);
  Result<std::shared_ptr<http::TlsClient>> to_nodes =
      http::TlsClient::make({.ca_pem = identity->authority.certificate_pem(),
                             .certificate_pem = identity->node_client.certificate_pem,
                             .key_pem = identity->node_client.key_pem});
  if (!to_nodes) return std::unexpected(std::move(to_nodes.error()));
  Result<std::shared_ptr<http::TlsClient>> to_pods = http::TlsClient::make({.verify = false});
  if (!to_pods) return std::unexpected(std::move(to_pods.error()));
  const auto connector = std::make_shared<control::Connector>(objects, caches, *to_nodes, *to_pods);
  control::Actions actions = (*security)->actions();
  actions.insert({{"bindings", &binding}, {"pods/binding", &binding}, {"pods/eviction", &eviction}});
  control::ApiServer server({.kinds = kinds,
                             .store = **store,
                             .caches = caches,
                             .admission = admission,
                             .authenticators = (*security)->authenticators(),
                             .authorizers = (*security)->authorizers(),
                             .actions = actions,
                             .connector = connector,
                             .now = wall_clock,
                             .version = {.git_version = std::string("v1.37.0-gantry.") + kVersion}});
  Result<http::Listener> listener = http::listen_tcp(address->host, address->port, kBacklog);
  if (!listener) return std::unexpected(std::move(listener.error()));

  bool is_ended = false;
  Watch watch(home, signals->ref());
  home.spawn([](Loop& home, Watch& watch, bool& is_ended) -> Task<> {
    (void)co_await watch.readable();
    is_ended = true;
    home.stop();
  }(home, watch, is_ended));
  // The controllers ask as any other user does; nobody else is answered until they have made what every cluster has.
  control::LocalTransport transport(
      server, control::User{.name = "system:kube-controller-manager", .groups = {std::string(control::kMastersGroup)}});
  Result<std::string> random = random_hex(8);
  if (!random) return std::unexpected(std::move(random.error()));
  const control::ControllerManager controllers(
      transport, kinds,
      {.bootstrap = {.service_networks = *service_networks,
                     .advertise_address = advertised(options, *address),
                     .port = listener->port},
       .root_ca = identity->authority.certificate_pem(),
       .identity = cat(control::host_names().empty() ? "" : control::host_names().front(), "_", *random),
       .cluster_networks = *cluster_networks,
       .now = wall_clock,
       .bootstrapped = [&home] { home.post([&home] { home.stop(); }); }});
  home.run();
  if (is_ended) return {};
  const std::string url = url_of(*listener);
  if (Status written = control::write_admin_kubeconfig(options.data_dir, control::admin_kubeconfig(*identity, url));
      !written) {
    return written;
  }
  std::vector<std::unique_ptr<Worker>> workers;
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < cores; ++i) {
    Result<OwnFd> copy = listener->socket.duplicate();
    if (!copy) return std::unexpected(std::move(copy.error()));
    workers.push_back(std::make_unique<Worker>(server, SocketFd(std::move(*copy)), *tls, kLimits));
  }
  log::info("serving the API", {{"url", url}, {"kubeconfig", options.data_dir + "/admin.kubeconfig"}});
  home.spawn(keep_certificates(home, identity_options, **tls));
  home.run();
  return {};
}

}  // namespace
}  // namespace gantry

int main(int argc, char** argv) {
  gantry::Options options;
  CLI::App app("gantry-control: the Kubernetes API, kept in one file");
  app.add_option("--data-dir", options.data_dir, "the folder for all that is kept")->capture_default_str();
  app.add_option("--listen", options.listen, "where the API is served, ADDRESS:PORT")->capture_default_str();
  app.add_option("--advertise-address", options.advertise_address,
                 "where nodes and pods reach the API; without it the first address of this host");
  app.add_option("--service-cidr", options.service_networks, "the addresses of services, one network a family")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--cluster-cidr", options.cluster_networks, "the addresses of pods, one network a family")
      ->delimiter(',')
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (gantry::Status done = gantry::run(options); !done) {
    gantry::log::error("gantry-control ends", {{"error", done.error()}});
    return 1;
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// gantry-control: the control plane. All wiring is here, in the order in which things stand on each other.
//
// Threads: this one waits for signals and follows the store; one for each core serves connections. SIGTERM and SIGINT
// are a clean stop.
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <thread>
#include <vector>

#include "api/kinds/all.h"
#include "base/log.h"
#include "base/loop.h"
#include "control/server/actions/pod_binding.h"
#include "control/server/actions/pod_eviction.h"
#include "control/server/api_server.h"
#include "control/store/sqlite_store.h"
#include "http/listen.h"
#include "http/server.h"
#include "sys/folders.h"

namespace gantry {
namespace {

constexpr char kVersion[] = GANTRY_VERSION;

struct Options {
  std::string data_dir = "/var/lib/gantry-control";
  std::string listen = "0.0.0.0:6443";
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

// One thread that serves connections.
class Worker {
 public:
  Worker(control::ApiServer& server, SocketFd listener, http::Limits limits)
      : server_(loop_,
                [this, &server](http::Request request) { return server.handle(loop_, std::move(request)); }, limits) {
    server_.serve(std::move(listener));
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Worker() {
    loop_.stop();
    thread_.join();
  }

 private:
  Loop loop_;
  http::Server server_;
  std::thread thread_;
};

Status run(const Options& options) {
  Result<OwnFd> signals = take_signals();
  if (!signals) return std::unexpected(std::move(signals.error()));
  Loop home;
  auto store = control::SqliteStore::open(options.data_dir + "/store.db");
  if (!store) return std::unexpected(std::move(store.error()));
  const api::Kinds kinds(api::all_kinds());
  const control::Caches caches(home, kinds, **store);
  const control::AdmissionChain admission({});
  const control::Objects objects(kinds, **store);
  control::ResourceWriter writer(objects, admission, wall_clock);
  control::PodBinding binding(kinds, writer, wall_clock);
  control::PodEviction eviction(objects, caches, writer, wall_clock);
  control::ApiServer server({.kinds = kinds,
                             .store = **store,
                             .caches = caches,
                             .admission = admission,
                             .authenticators = {},
                             .authorizers = {},
                             .actions = {{"bindings", &binding},
                                         {"pods/binding", &binding},
                                         {"pods/eviction", &eviction}},
                             .now = wall_clock,
                             .version = {.git_version = std::string("v1.37.0-gantry.") + kVersion}});
  Result<http::Listener> listener = http::listen_tcp("127.0.0.1", 18080);
  if (!listener) return std::unexpected(std::move(listener.error()));
  std::vector<std::unique_ptr<Worker>> workers;
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < cores; ++i) {
    Result<OwnFd> copy = listener->socket.duplicate();
    if (!copy) return std::unexpected(std::move(copy.error()));
    workers.push_back(std::make_unique<Worker>(server, SocketFd(std::move(*copy)), http::Limits{.max_body_bytes = 3 << 20}));
  }
  log::info("serving the API", {{"address", options.listen}});
  Watch watch(home, signals->ref());
  home.spawn([](Loop& home, Watch& watch) -> Task<> {
    (void)co_await watch.readable();
    home.stop();
  }(home, watch));
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
  CLI11_PARSE(app, argc, argv);
  if (gantry::Status done = gantry::run(options); !done) {
    gantry::log::error("gantry-control ends", {{"error", done.error()}});
    return 1;
  }
  return 0;
}

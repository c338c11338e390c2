// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/manager.h"

#include <future>
#include <thread>

#include "base/log.h"
#include "control/controllers/controller.h"
#include "control/controllers/fenced_transport.h"
#include "control/controllers/leader_election.h"
#include "control/controllers/namespace_controller.h"
#include "control/controllers/namespace_objects.h"
#include "control/controllers/node_ipam.h"
#include "control/controllers/volume_protection.h"

namespace gantry::control {

namespace {

constexpr char kProgram[] = "gantry-control";
constexpr Duration kPause = std::chrono::milliseconds(200);
constexpr Duration kLongestPause = std::chrono::seconds(5);

// What works while the lease is held, once.
struct Term {
  Term(Loop& here, api::Transport& transport, const api::Kinds& kinds, const ManagerOptions& options)
      : fence(transport), client(here, fence, kinds, kProgram), informers(client) {
    const ControllerParts parts{here, client, informers, options.now};
    const auto add = [this](std::unique_ptr<Controller> controller) { controllers.push_back(std::move(controller)); };
    add(std::make_unique<NamespaceController>(parts));
    add(std::make_unique<ServiceAccountController>(parts));
    add(std::make_unique<ClaimProtectionController>(parts));
    add(std::make_unique<VolumeProtectionController>(parts));
    const NodeNetworks networks{options.cluster_networks, options.node_prefix_v4, options.node_prefix_v6};
    add(std::make_unique<NodeIpamController>(parts, networks));
    if (!options.root_ca.empty()) add(std::make_unique<RootCaController>(parts, options.root_ca));
  }

  FencedTransport fence;
  api::Client client;
  api::Informers informers;
  std::vector<std::unique_ptr<Controller>> controllers;
};

}  // namespace

struct ControllerManager::Impl {
  Impl(api::Transport& transport, const api::Kinds& kinds, ManagerOptions o)
      : transport(transport),
        kinds(kinds),
        options(std::move(o)),
        client(loop, fence, kinds, kProgram),
        election(client, {.name = "kube-controller-manager", .identity = options.identity}, options.now) {}

  Task<> run();
  Task<> bootstrap();
  Task<> end();

  Loop loop;
  api::Transport& transport;
  const api::Kinds& kinds;
  ManagerOptions options;
  FencedTransport fence{transport};
  api::Client client;
  LeaderElection election;
  // The last one works; those before it wait for the end of what they asked.
  std::vector<std::unique_ptr<Term>> terms;
};

Task<> ControllerManager::Impl::bootstrap() {
  Duration pause = kPause;
  for (;;) {
    const Status done = co_await make_bootstrap_objects(client, options.bootstrap);
    if (done) break;
    log::warning("the objects that every cluster has could not be made, retrying", {{"error", done.error()}});
    co_await loop.sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
  if (options.bootstrapped) options.bootstrapped();
}

Task<> ControllerManager::Impl::run() {
  co_await bootstrap();
  for (;;) {
    co_await election.acquire();
    log::info("the controllers work here", {{"identity", options.identity}});
    terms.push_back(std::make_unique<Term>(loop, transport, kinds, options));
    Term& term = *terms.back();
    term.informers.start_all();
    // What is not known yet is waited for by nobody but the controllers.
    loop.spawn([](Term& started) -> Task<> {
      co_await started.informers.wait_synced();
      for (const auto& controller : started.controllers) controller->start();
    }(term));
    co_await election.hold();
    term.fence.close();
    log::warning("the lease of the controllers was lost: they have stopped", {{"identity", options.identity}});
  }
}

// Ends in order: nothing new is asked, the lease is given up, what is under way ends.
Task<> ControllerManager::Impl::end() {
  constexpr int kTries = 200;
  for (const auto& term : terms) term->fence.close();
  if (!terms.empty()) co_await election.release();
  fence.close();
  for (int i = 0; i < kTries; ++i) {
    std::size_t asked = fence.in_flight();
    for (const auto& term : terms) asked += term->fence.in_flight();
    if (asked == 0) break;
    co_await loop.sleep_for(std::chrono::milliseconds(10));
  }
  loop.stop();
}

ControllerManager::ControllerManager(api::Transport& transport, const api::Kinds& kinds, ManagerOptions options) {
  std::promise<Impl*> started;
  std::future<Impl*> impl = started.get_future();
  thread_ = std::thread([&transport, &kinds, options = std::move(options), started = std::move(started)]() mutable {
    Impl impl(transport, kinds, std::move(options));
    impl.loop.post([&impl] { impl.loop.spawn(impl.run()); });
    started.set_value(&impl);
    impl.loop.run();
  });
  impl_ = impl.get();
}

ControllerManager::~ControllerManager() {
  impl_->loop.post([impl = impl_] { impl->loop.spawn(impl->end()); });
  thread_.join();
}

}  // namespace gantry::control

// SPDX-License-Identifier: Apache-2.0
// gantryd: the node daemon. All wiring is here, in the order in which things stand on each other.
//
// SIGTERM and SIGINT are a clean stop: calls under way are told to come again, the sandboxes of the pool end, pods go
// on. SIGHUP reads again what is kept of the folder of registries, and the runtime handlers; a file that is wrong is
// logged, and the former stays.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <vector>

#include "agent/agent.h"
#include "agent/cgroup_driver.h"
#include "agent/counted_runtime.h"
#include "agent/kubelet_config.h"
#include "base/database.h"
#include "base/layout.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "cdi/folders.h"
#include "cgroups/driver.h"
#include "cgroups/hierarchy.h"
#include "cgroups/scopes.h"
#include "cli/credentials.h"
#include "cli/gantryd_config.h"
#include "cli/gantryd_options.h"
#include "cli/kubelet_settings.h"
#include "cli/membership.h"
#include "cli/node_api_server.h"
#include "cli/node_network.h"
#include "cli/service.h"
#include "cni/network.h"
#include "cri/checkpoint_worker.h"
#include "cri/remote/remote_runtime.h"
#include "cri/runtime.h"
#include "cri/server.h"
#include "cri/streaming.h"
#include "images/store.h"
#include "images/unpack_worker.h"
#include "netns/database_ledger.h"
#include "netns/links.h"
#include "netns/pod_network.h"
#include "nri/plugins.h"
#include "proxy/dns/node_dns.h"
#include "proxy/dns/worker.h"
#include "runtime/plan/host_facts.h"
#include "shim/client.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace gantry {
namespace {

constexpr char kVersion[] = GANTRY_VERSION;
// As nodes of a cluster have it.
constexpr char kKubernetesVersion[] = "v1.37.0-gantry." GANTRY_VERSION;

// Connections of clients that never close theirs, pipes and pidfds of a few hundred pods: as many as the hard limit
// gives, which needs no privilege.
void raise_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

// Blocked before the first thread, so that no thread takes them.
Result<OwnFd> take_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) < 0) return std::unexpected(Error::from_errno(errno, "sigprocmask"));
  OwnFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.is_open()) return std::unexpected(Error::from_errno(errno, "signalfd"));
  return fd;
}

// A program of ours, from beside this one, as a memfd that nobody can write.
Result<OwnFd> load_program(const char* name) {
  auto own = sys::readlinkat(sys::kCwd, "/proc/self/exe");
  if (!own) return std::unexpected(std::move(own.error()));
  std::string path = own->substr(0, own->rfind('/') + 1) + name;
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY);
  if (!file) return std::unexpected(std::move(file.error()));
  return sys::sealed_memfd(name, *file);
}

struct Serving {
  Loop& loop;
  cli::GantrydOptions& options;
  const NodeFolders& folders;
  cri::RuntimeService& runtime;
  cri::ImageService& images;
  // Null beneath an agent alone, whose runtime is another's.
  cri::NodeRuntime* own_runtime;
  images::Keyring* keyring;
  Pool& disk;
  const runtime::HostFacts& host;
  const cgroups::Hierarchy* hierarchy;  // null: beneath another's runtime, on a host without cgroup v2
  std::string instance;                 // empty beneath another's runtime
  netns::PodNetwork* pods;              // null: the pods' network is somebody else's
  Pool* network_pool;                   // null: beneath another's runtime
  std::string node_ip;
  agent::KubeletSettings settings;
  std::string configuration;  // what is in force of KubeletConfiguration, as JSON
  bool run_agent;
  cli::KeptSockets kept;
  agent::CountedRuntime counted = {runtime, images};  // the runtime as the agent has it
  std::unique_ptr<cri::Server> server;
  std::unique_ptr<cli::Membership> member;  // null: it stands alone
  std::unique_ptr<cli::NodeNetwork> network;  // null: of no cluster
  std::unique_ptr<agent::Agent> agent;
  std::unique_ptr<agent::HealthServer> health;  // null: not served, or not yet
  bool failed = false;
};

// The one that an earlier gantryd kept has the callers that came meanwhile; it is of no use when its file is gone.
Result<SocketFd> listen_for_cri(const NodeFolders& folders, cli::KeptSockets& kept) {
  constexpr char kSocket[] = "gantryd.sock";
  SocketFd listener = kept.take("cri");
  if (listener.is_open() && sys::fstatat(folders.run(), kSocket, AT_SYMLINK_NOFOLLOW)) return listener;
  auto fresh = sys::listen_unix(folders.run(), kSocket, SOCK_STREAM, 128);
  if (fresh) cli::keep_socket("cri", *fresh);
  return fresh;
}

// Recovery comes before the socket: whoever connects finds all that there is.
Task<Status> start_runtime(Serving& serving) {
  auto recovered = co_await serving.own_runtime->recover();
  if (!recovered) co_return recovered;
  auto listener = listen_for_cri(serving.folders, serving.kept);
  if (!listener) co_return std::unexpected(std::move(listener.error()));
  serving.server = cri::Server::start(serving.loop, std::move(*listener), serving.runtime, serving.images);
  co_return Status();
}

// An agent alone has no instance of its own: what it makes is its node's.
std::string network_mark(const Serving& serving) {
  return serving.instance.empty() ? serving.options.node_name : serving.instance;
}

// Of an earlier gantryd, which had it.
void end_dns(const Serving& serving) {
  auto ended = dns::NodeDns::end(serving.folders.run(), network_mark(serving));
  if (!ended) log::error("an address of the cluster's DNS stays on this node", {{"error", ended.error()}});
}

// The agent comes last, and its pods after it.
Task<Status> start_agent(Serving& serving) {
  if (serving.own_runtime == nullptr) {
    auto driver = co_await agent::cgroup_driver_of(serving.counted, *serving.options.cgroup_driver);
    if (!driver) co_return std::unexpected(std::move(driver.error()));
    serving.options.cgroup_driver = *driver;
  }
  auto read = cli::read_kubelet_settings(serving.options, serving.node_ip, kKubernetesVersion, serving.host);
  if (!read) co_return std::unexpected(std::move(read.error()));
  serving.settings = std::move(read->settings);
  serving.configuration = std::move(read->document);
  serving.settings.agent.hierarchy = serving.hierarchy;
  serving.settings.agent.instance = serving.instance;
  if (!serving.options.kubeconfig.empty()) {
    auto member = cli::Membership::open({.loop = serving.loop,
                                         .options = serving.options,
                                         .runtime = serving.counted,
                                         .disk = serving.disk,
                                         .kept = serving.kept,
                                         .settings = serving.settings,
                                         .configuration = serving.configuration});
    if (!member) co_return std::unexpected(std::move(member.error()));
    serving.member = std::move(*member);
    serving.network = std::make_unique<cli::NodeNetwork>(cli::NodeNetwork::Parts{
        .loop = serving.loop,
        .options = serving.options,
        .cluster = serving.member->cluster(),
        .pods = serving.pods,
        .pool = serving.network_pool,
        .folders = serving.folders,
        .instance = network_mark(serving),
        .hierarchy = serving.own_runtime == nullptr ? nullptr : serving.hierarchy,
        .disk = serving.disk,
        .settings = serving.settings.agent,
        .use_cluster_dns =
            [&serving](std::vector<std::string> servers) { serving.agent->use_cluster_dns(std::move(servers)); }});
  }
  if (serving.member == nullptr || !serving.options.dns) end_dns(serving);
  if (serving.network) {
    serving.member->set_more_metrics([&network = *serving.network] { return network.metrics(); });
    serving.member->on_range([&network = *serving.network] { network.look_again(); });
  }
  serving.agent =
      std::make_unique<agent::Agent>(serving.loop, serving.counted, serving.counted, serving.settings.agent,
                                     serving.member == nullptr ? nullptr : &serving.member->cluster());
  auto started = co_await serving.agent->start();
  if (!started) co_return fail_with(std::move(started.error()), "start the agent");
  serving.loop.spawn(cli::serve_health(serving.loop, serving.settings.server, serving.kept, serving.health));
  if (serving.member == nullptr) co_return Status();
  if (auto joined = serving.member->start(*serving.agent); !joined) co_return joined;
  if (serving.network) serving.network->start();
  co_return Status();
}

Task<> start_serving(Serving& serving) {
  Status done;
  if (serving.own_runtime != nullptr) done = co_await start_runtime(serving);
  if (done && !serving.run_agent) end_dns(serving);
  if (done && serving.run_agent) done = co_await start_agent(serving);
  if (!done) {
    log::error("gantryd can't start", {{"error", done.error()}});
    serving.failed = true;
    serving.loop.stop();
    co_return;
  }
  serving.kept.drop_rest();
  serving.loop.spawn(cli::feed_watchdog(serving.loop));
  log::info("serving", {{"socket", serving.folders.layout().socket()}, {"version", kVersion}});
  (void)::sd_notify(0, "READY=1");
}

// hosts.toml files and CDI specifications are read whenever they are needed: they are only looked at here, for the log.
Task<> reload(Serving& serving) {
  struct Read {
    Result<images::KeyringOptions> keys;
    Result<cli::GantrydConfig> config;
    std::vector<std::string> problems;
  };
  auto read = co_await serving.disk.run([&options = serving.options] {
    return Read{cli::keyring_options(options), cli::read_gantryd_config(options), cdi::problems(options.cdi_folders)};
  });
  if (read.config) {
    serving.own_runtime->set_handlers(std::move(read.config->handlers));
  } else {
    log::error("runtime handlers stay as they were", {{"error", read.config.error()}});
  }
  if (read.keys) {
    serving.keyring->set_providers(std::move(read.keys->providers));
  } else {
    log::error("credential providers stay as they were", {{"error", read.keys.error()}});
  }
  for (const auto& problem : read.problems) log::error("a CDI specification is wrong", {{"problem", problem}});
  log::info("reloaded");
}

Task<> stop_on_signal(Serving& serving, OwnFd signals) {
  Watch watch(serving.loop, signals);
  for (;;) {
    signalfd_siginfo info{};
    auto size = sys::read(signals, reinterpret_cast<char*>(&info), sizeof(info));
    if (size && info.ssi_signo != SIGHUP) break;
    if (size) {
      if (serving.own_runtime != nullptr) co_await reload(serving);
    } else if (!size.error().is_would_block() || !co_await watch.readable()) {
      co_return;
    }
  }
  log::info("stopping; pods go on");
  (void)::sd_notify(0, "STOPPING=1");
  if (serving.network) serving.network->stop();
  if (serving.member) serving.member->stop();
  if (serving.agent) serving.agent->stop();
  serving.health.reset();
  if (serving.server) co_await serving.server->stop();
  if (serving.own_runtime != nullptr) co_await serving.own_runtime->drain();
  serving.loop.stop();
}

[[noreturn]] void serve(Serving& serving, OwnFd signals) {
  serving.loop.spawn(start_serving(serving));
  serving.loop.spawn(stop_on_signal(serving, std::move(signals)));
  serving.loop.run();
  log::info("stopped");
  // What is recorded is recorded, and tasks that wait for pods hold references to each other: nothing to take apart in
  // order.
  std::_Exit(serving.failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

// An agent alone: the pods are run by containerd, CRI-O or another gantryd. Nothing of a runtime's own is opened.
Status run_agent(cli::GantrydOptions options, OwnFd signals, cli::KeptSockets kept, const runtime::HostFacts& host,
                 const NodeFolders& folders) {
  if (options.node_ip.empty()) {
    auto found = netns::default_source();
    if (!found) return fail_with(std::move(found.error()), "address of the node");
    if (!*found)
      return fail(Code::kFailedPrecondition, "address of the node: there is no default route; say --node-ip");
    options.node_ip = (*found)->to_string();
  }
  auto hierarchy = cgroups::Hierarchy::find();
  if (!hierarchy) log::warning("no limits are set above those of pods", {{"error", hierarchy.error()}});
  Loop loop;
  Pool disk(loop, 2);
  cri::RemoteRuntime runtime(loop,
                             {.runtime_socket = options.runtime_endpoint, .image_socket = options.image_endpoint});
  runtime.start();
  Serving serving{.loop = loop,
                  .options = options,
                  .folders = folders,
                  .runtime = runtime,
                  .images = runtime,
                  .own_runtime = nullptr,
                  .keyring = nullptr,
                  .disk = disk,
                  .host = host,
                  .hierarchy = hierarchy ? &*hierarchy : nullptr,
                  .instance = "",
                  .pods = nullptr,
                  .network_pool = nullptr,
                  .node_ip = options.node_ip,
                  .run_agent = true,
                  .kept = std::move(kept)};
  serve(serving, std::move(signals));
}

// Where the addresses of pods come from: as whoever set up this node said, or as it was told while it ran. Nothing: its
// cluster will tell.
Result<std::optional<netns::Cidr>> pod_range(const cli::GantrydOptions& options, netns::AddressLedger& ledger) {
  if (options.pod_cidr) return options.pod_cidr;
  if (!options.uses_cni) {
    auto told = ledger.range();
    if (!told) return told;
    if (*told && (!options.cluster_cidr || options.cluster_cidr->contains(**told))) return told;
    if (options.agent && !options.kubeconfig.empty()) return std::optional<netns::Cidr>();
  }
  return netns::Cidr::parse(cli::kAlonePodCidr);
}

// Runs until a signal; the error is what kept it from serving.
Status run(cli::GantrydOptions options) {
  cli::KeptSockets kept;
  auto signals = take_signals();
  if (!signals) return std::unexpected(std::move(signals.error()));
  auto config = cli::read_gantryd_config(options);
  if (!config) return std::unexpected(std::move(config.error()));
  if (options.kubeconfig.empty()) options.kubeconfig = config->kubeconfig;
  if (options.kubeconfig.empty()) options.kubeconfig = cli::joined_kubeconfig(options);
  if (auto taken = cli::take_runtime_settings(&options); !taken) return taken;
  // First: its limits are those that containers have, the daemon's own are not.
  auto host = runtime::read_host_facts();
  if (!host) return fail_with(std::move(host.error()), "facts of this host");
  raise_open_files();

  auto folders = NodeFolders::open(Layout(options.run, options.root));
  if (!folders) return std::unexpected(std::move(folders.error()));
  if (auto locked = folders->lock(); !locked) return locked;
  if (!options.runtime_endpoint.empty()) {
    return run_agent(std::move(options), std::move(*signals), std::move(kept), *host, *folders);
  }
  auto instance = folders->instance();
  if (!instance) return fail_with(std::move(instance.error()), "the instance id");

  auto shim_program = load_program("gantry-shim");
  if (!shim_program) return fail_with(std::move(shim_program.error()), "gantry-shim");
  auto init_program = load_program("gantry-init");
  if (!init_program) return fail_with(std::move(init_program.error()), "gantry-init");

  auto hierarchy = cgroups::Hierarchy::find();
  if (!hierarchy) return std::unexpected(std::move(hierarchy.error()));
  log::info(hierarchy->describe());
  cgroups::CgroupfsDriver cgroup_driver(*hierarchy, instance->id, options.cgroup_root);

  Loop loop;
  // Of the network several: the end of a link takes some 30 ms, in which others come and go.
  // CNI's plugins are waited for on them.
  Pool disk(loop, 2), network_threads(loop, options.uses_cni ? 16 : 4);
  cgroups::PodScopes scopes(loop, *hierarchy, instance->id, *init_program);
  std::vector<db::Schema> schemas = cri::schemas();
  auto database = db::Database::open(loop, folders->layout().database(), schemas);
  if (!database) return fail_with(std::move(database.error()), "the database");
  auto images = images::ImageStore::open(options.root);
  if (!images) return fail_with(std::move(images.error()), "the image store");

  auto ledger = netns::DatabaseLedger::open(folders->layout().database());
  if (!ledger) return fail_with(std::move(ledger.error()), "the record of addresses");
  auto range = pod_range(options, *ledger);
  if (!range) return fail_with(std::move(range.error()), "the record of addresses");
  auto network = netns::PodNetwork::open(
      {.pod_cidr = *range, .cluster_cidr = options.cluster_cidr, .instance = instance->id}, *ledger);
  if (!network) return fail_with(std::move(network.error()), "the pod network");
  std::optional<Error> network_problem;
  if (auto prepared = options.uses_cni ? Status() : (*network)->prepare_node(); !prepared) {
    log::error("pods can't have a network", {{"error", prepared.error()}});
    network_problem = std::move(prepared.error());
  }
  std::string node_ip = options.node_ip;
  if (node_ip.empty()) {
    auto found = (*network)->node_address();
    if (!found) return std::unexpected(std::move(found.error()));
    node_ip = found->to_string();
  }

  auto shims = shim::Template::launch(loop, *shim_program);
  if (!shims) return std::unexpected(std::move(shims.error()));
  if (!options.systemd_scope.empty()) {
    auto scope = cgroups::enter_systemd_scope(*hierarchy, options.systemd_scope, (*shims)->pid());
    if (!scope) return std::unexpected(std::move(scope.error()));
    options.cgroup_root = std::move(*scope);
  }
  cni::Network cni(loop, network_threads, **database, cgroup_driver, options.cgroup_root + "/cni", *shim_program,
                   options.cni);
  auto stream_listener =
      cli::kept_or_new_tcp(kept, "streaming", options.streaming_address, options.streaming_port);
  if (!stream_listener) return fail_with(std::move(stream_listener.error()), "the streaming server");
  auto streaming = cri::StreamingServer::start(loop, std::move(*stream_listener));
  if (!streaming) return fail_with(std::move(streaming.error()), "the streaming server");

  options.plugins.version = kVersion;
  nri::Plugins plugins(loop, options.plugins);
  cri::Node node{.loop = loop,
                 .folders = *folders,
                 .instance = *instance,
                 .database = **database,
                 .images = **images,
                 .cgroups = cgroup_driver,
                 .cgroup_driver = *options.cgroup_driver,
                 .scopes = scopes,
                 .cgroup_root = options.cgroup_root,
                 .network = **network,
                 .network_problem = std::move(network_problem),
                 .cni = &cni,
                 .uses_cni = options.uses_cni,
                 .pod_range = *range ? (*range)->to_string() : "",
                 .takes_range = !options.pod_cidr,
                 .shims = **shims,
                 .init_program = *init_program,
                 .host = *host,
                 .disk = disk,
                 .network_thread = network_threads,
                 .streaming = **streaming,
                 .plugins = plugins,
                 .require_controllers = options.require_controllers,
                 .cdi_folders = options.cdi_folders,
                 .owns_devices = options.owns_devices,
                 .restores_images = options.restores_images,
                 .handlers = std::move(config->handlers),
                 .pool_size = options.pool_size,
                 .version = kVersion};
  auto runtime = cri::make_runtime(node);
  images::RegistryOptions registries;
  registries.folder = options.registries;
  registries.patience = std::chrono::seconds(options.pull_patience);
  auto keys = cli::keyring_options(options);
  if (!keys) return fail_with(std::move(keys.error()), "credentials");
  images::Keyring keyring(std::move(*keys));
  registries.keyring = &keyring;
  auto image_service = cri::make_image_service(loop, **images, disk, std::move(registries));

  // With another node's store the runtime changes nothing; an agent would take the other's pods for its own old ones.
  bool run_agent = options.agent && instance->stranger.empty();
  Serving serving{.loop = loop,
                  .options = options,
                  .folders = *folders,
                  .runtime = *runtime,
                  .images = *image_service,
                  .own_runtime = runtime.get(),
                  .keyring = &keyring,
                  .disk = disk,
                  .host = *host,
                  .hierarchy = &*hierarchy,
                  .instance = instance->id,
                  .pods = options.uses_cni ? nullptr : network->get(),
                  .network_pool = &network_threads,
                  .node_ip = std::move(node_ip),
                  .run_agent = run_agent,
                  .kept = std::move(kept)};
  serve(serving, std::move(*signals));
}

}  // namespace
}  // namespace gantry

int main(int argc, char** argv) {
  using namespace gantry;
  // The confined worker that unpacks layers is this same program, run by itself.
  if (argc > 1 && std::string_view(argv[1]) == images::kUnpackWorkerCommand)
    return images::unpack_worker_main(argc, argv);
  if (argc > 1 && std::string_view(argv[1]) == cri::kCheckpointWorkerCommand) return cri::checkpoint_worker_main();
  if (argc > 1 && std::string_view(argv[1]) == dns::kWorkerCommand) return dns::worker_main(argc, argv);
  if (!sys::fill_standard_streams()) return EXIT_FAILURE;
  int exit_code = 0;
  auto options = cli::parse_gantryd_options(argc, argv, exit_code);
  if (!options) return exit_code;
  log::set_level(options->log_level);
  auto ended = run(std::move(*options));
  if (!ended) log::error("gantryd can't start", {{"error", ended.error()}});
  return EXIT_FAILURE;
}

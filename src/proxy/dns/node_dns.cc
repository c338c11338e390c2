// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/node_dns.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "netns/local_address.h"
#include "proxy/dns/records.h"
#include "proxy/dns/worker.h"
#include "sys/file.h"
#include "sys/given_files.h"
#include "sys/inotify.h"
#include "sys/socket.h"

namespace gantry::dns {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kService[] = "kube-system/kube-dns";
// Of a worker that does not answer for others yet. It gets the name when it does.
constexpr char kFreshSocket[] = "dns-new.sock";
constexpr char kIndex[] = "dns-service";
constexpr char kServiceLabel[] = "kubernetes.io/service-name";
constexpr std::size_t kAskUdp = 512, kAskTcp = 32;  // of each family
constexpr seconds kAnswers{30};                     // a worker that says nothing for so long is none
constexpr milliseconds kFirstRest{50};
constexpr seconds kLongestRest{10};
constexpr std::size_t kMaxResolvConf = 64 << 10;

// Which program this is: its file, as long as that is not replaced.
std::string own_identity() {
  struct stat file{};
  if (::stat("/proc/self/exe", &file) < 0) return "unknown";
  return cat(file.st_dev, ":", file.st_ino, ":", file.st_mtim.tv_sec, ".", file.st_mtim.tv_nsec, ":", file.st_size);
}

std::string slice_service(const api::Message& object) {
  const auto& slice = static_cast<const proxy::ClusterObjects::EndpointSlice&>(object);
  auto label = slice.metadata().labels().find(kServiceLabel);
  return label == slice.metadata().labels().end() ? ""
                                                  : api::object_key(slice.metadata().namespace_(), label->second);
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == path.npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Task<> reap(Loop& loop, Process process) { (void)co_await process.wait(loop); }

// Ends the worker at this name, if there is one. What is under way there it answers first.
bool drain_at(FdRef run, const char* name) {
  auto socket = sys::connect_unix(run, name, SOCK_SEQPACKET);
  if (!socket) return false;
  std::size_t sent = 0;
  return send_feed(*socket, Feed::kDrain, "", {}, &sent).has_value();
}

}  // namespace

// A worker.
struct NodeDns::Link {
  Link(Loop& loop, SocketFd connected) : socket(std::move(connected)), watch(loop, socket), event(loop) {}

  SocketFd socket;
  Watch watch;
  FeedReader reader;
  bool gone = false;
  std::optional<Hello> hello;
  std::vector<OwnFd> sockets;  // that came with it
  std::string applied;
  Event event;  // something of the above is new
};

struct NodeDns::State : std::enable_shared_from_this<NodeDns::State> {
  using LinkPtr = std::shared_ptr<Link>;

  State(Loop& on, Pool& blocking, proxy::ClusterObjects& of, Options with)
      : loop(on), pool(blocking), objects(of), options(std::move(with)), wake(on), identity(own_identity()) {}

  Slices slices_of(const std::string& key) const { return objects.endpoint_slices().by(kIndex, key); }
  void hear_service(const std::string& key);
  std::vector<IpAddress> service_addresses() const;

  Task<> keep();
  Task<> watch_resolv_conf();
  Task<> read_all(LinkPtr link);
  Task<Result<LinkPtr>> find_or_start();
  Task<Result<LinkPtr>> find(const char* name);
  Task<Result<LinkPtr>> greeted(SocketFd socket);
  Task<Result<LinkPtr>> start_worker();
  Task<Status> say(LinkPtr link, Feed kind, std::string body, std::span<const FdRef> fds = {});
  Task<Status> say_sockets(LinkPtr link, Feed kind, const std::vector<std::pair<FdRef, SocketKind>>& sockets);
  Task<Status> commit(LinkPtr link);
  Task<Status> equip(LinkPtr link);
  Task<Status> tell_settings(LinkPtr link, bool always);
  Task<Status> tell_everything(LinkPtr link);
  Task<Status> tell_changes(LinkPtr link);
  Task<Status> tell_service(LinkPtr link, const std::string& key, bool always);
  Task<Status> listen(LinkPtr link);
  Task<Status> serve(LinkPtr link);
  Status make_numbers();
  void adopt(Link& link);

  Loop& loop;
  Pool& pool;
  proxy::ClusterObjects& objects;
  const Options options;
  Event wake;
  const std::string identity;
  bool stopped = false;
  std::set<std::string> dirty;
  bool service_changed = false, resolv_conf_changed = false, retry_listen = false;
  std::vector<IpAddress> servers_told;
  // What the worker has: of each service the hash of its record.
  std::unordered_map<std::string, std::size_t> told;
  Settings settings;
  std::uint64_t version = 0;
  // The sockets that are answered at, of which the worker has copies.
  std::vector<KindOfSocket> listening;
  std::vector<IpAddress> local;
  bool listens = false;
  OwnFd numbers_fd;
  const Numbers* numbers = nullptr;
};

void NodeDns::State::hear_service(const std::string& key) {
  if (key.empty()) return;
  dirty.insert(key);
  if (key == kService) {
    service_changed = true;
    if (auto service = objects.services().find_key(kService)) {
      auto servers = cluster_addresses(*service);
      if (servers != servers_told && options.on_servers) options.on_servers(servers);
      servers_told = std::move(servers);
    }
  }
  wake.set();
}

// Where this node answers: nowhere while somebody else serves the Service.
std::vector<IpAddress> NodeDns::State::service_addresses() const {
  auto service = objects.services().find_key(kService);
  if (!service || has_endpoints(slices_of(kService))) return {};
  return cluster_addresses(*service);
}

Task<> NodeDns::State::keep() {
  auto self = shared_from_this();
  co_await objects.services().wait_synced();
  co_await objects.endpoint_slices().wait_synced();
  milliseconds rest = kFirstRest;
  while (!stopped) {
    const auto began = std::chrono::steady_clock::now();
    auto link = co_await find_or_start();
    Status ended = link ? co_await serve(*link) : std::unexpected(std::move(link.error()));
    if (stopped) co_return;
    if (std::chrono::steady_clock::now() - began > kLongestRest) rest = kFirstRest;
    log::warning("the node's DNS worker is replaced", {{"error", ended.error()}});
    // A worker that can't live is not started again and again without a breath.
    co_await loop.sleep_for(rest);
    rest = std::min<milliseconds>(rest * 2, kLongestRest);
  }
}

Task<> NodeDns::State::read_all(LinkPtr link) {
  auto self = shared_from_this();
  while (!link->gone) {
    auto packet = link->reader.next(link->socket);
    if (packet && !*packet) {
      if (!co_await link->watch.readable()) co_return;
      continue;
    }
    if (!packet) {
      link->gone = true;
    } else if ((*packet)->kind == Feed::kHello) {
      auto hello = decode_hello((*packet)->body);
      if (hello && hello->kinds.size() == (*packet)->fds.size()) {
        link->hello = std::move(*hello);
        link->sockets = std::move((*packet)->fds);
      } else {
        link->gone = true;
      }
    } else if ((*packet)->kind == Feed::kApplied) {
      link->applied = std::move((*packet)->body);
    }
    link->event.set();
    wake.set();
  }
}

Task<Result<NodeDns::State::LinkPtr>> NodeDns::State::greeted(SocketFd socket) {
  auto link = std::make_shared<Link>(loop, std::move(socket));
  loop.spawn(read_all(link));
  if (!co_await link->event.wait_for(kAnswers) || !link->hello) {
    link->gone = true;
    link->watch.cancel();
    co_return fail(Code::kUnavailable, "the worker does not answer");
  }
  co_return link;
}

Task<Result<NodeDns::State::LinkPtr>> NodeDns::State::start_worker() {
  auto listener = sys::listen_unix(options.run, kFreshSocket, SOCK_SEQPACKET, 4);
  if (!listener) co_return std::unexpected(std::move(listener.error()));
  Command command;
  command.path = "/proc/self/exe";
  command.argv = {options.log_name, kWorkerCommand, identity};
  command.error = FdRef(STDERR_FILENO);
  command.fds = {*listener};
  auto process = spawn(command);
  if (!process) co_return fail_with(std::move(process.error()), "start the DNS worker");
  listener->close();
  const pid_t pid = process->pid();
  if (options.place) {
    auto placed = co_await pool.run([place = options.place, pid] { return place(pid); });
    if (!placed) log::warning("the DNS worker ends with gantryd's service", {{"error", placed.error()}});
  }
  loop.spawn(reap(loop, std::move(*process)));
  auto socket = sys::connect_unix(options.run, kFreshSocket, SOCK_SEQPACKET);
  if (!socket) co_return fail_with(std::move(socket.error()), "the DNS worker");
  co_return co_await greeted(std::move(*socket));
}

Task<Result<NodeDns::State::LinkPtr>> NodeDns::State::find(const char* name) {
  auto socket = sys::connect_unix(options.run, name, SOCK_SEQPACKET);
  if (!socket) co_return std::unexpected(std::move(socket.error()));
  co_return co_await greeted(std::move(*socket));
}

// The worker that is there, if it is of this program; else a new one, with the sockets of the former.
Task<Result<NodeDns::State::LinkPtr>> NodeDns::State::find_or_start() {
  listens = false;
  Result<LinkPtr> link = co_await find(kWorkerSocket);
  if (link && !(*link)->hello->is_draining) {
    // What a gantryd that was killed had begun.
    drain_at(options.run, kFreshSocket);
  } else {
    // It was killed when the new one was about to take the place of the former.
    auto fresh = co_await find(kFreshSocket);
    if (fresh && (*fresh)->hello->has_records) {
      (void)::renameat(options.run.get(), kFreshSocket, options.run.get(), kWorkerSocket);
      link = std::move(fresh);
    } else if (fresh) {
      drain_at(options.run, kFreshSocket);
    }
  }
  if (link) {
    adopt(**link);
    if ((*link)->hello->identity == identity && !(*link)->hello->is_draining) co_return link;
  } else if (options.clear_place) {
    // Nobody can be reached: what lives there hangs, and would only be in the way. Its sockets are here, or lost.
    co_await pool.run([clear = options.clear_place] { clear(); });
  }
  co_return co_await start_worker();
}

// What a worker of an earlier gantryd has.
void NodeDns::State::adopt(Link& link) {
  const bool has_none = listening.empty();
  for (std::size_t i = 0; i < link.sockets.size(); ++i) {
    const auto kind = static_cast<SocketKind>(link.hello->kinds[i]);
    if (kind == SocketKind::kNumbers) {
      if (numbers == nullptr) numbers_fd = std::move(link.sockets[i]);
    } else if (has_none) {
      listening.emplace_back(SocketFd(std::move(link.sockets[i])), kind);
    }
  }
  link.sockets.clear();
}

Task<Status> NodeDns::State::say(LinkPtr link, Feed kind, std::string body, std::span<const FdRef> fds) {
  std::size_t sent = 0;
  for (;;) {
    if (link->gone || stopped) co_return fail(Code::kUnavailable, "it has ended");
    auto done = send_feed(link->socket, kind, body, fds, &sent);
    if (done || !done.error().is_would_block()) co_return done;
    if (auto ready = co_await link->watch.writable(); !ready) co_return ready;
  }
}

Task<Status> NodeDns::State::say_sockets(LinkPtr link, Feed kind,
                                         const std::vector<std::pair<FdRef, SocketKind>>& sockets) {
  // More than a packet takes are more to ask with: those may come bit by bit.
  std::size_t at = 0;
  do {
    std::string kinds;
    std::vector<FdRef> fds;
    for (; at < sockets.size() && fds.size() < sys::kMaxPacketFds; ++at) {
      fds.push_back(sockets[at].first);
      kinds.push_back(static_cast<char>(sockets[at].second));
    }
    if (auto said = co_await say(link, kind, std::move(kinds), fds); !said) co_return said;
  } while (at < sockets.size());
  co_return Status();
}

Status NodeDns::State::make_numbers() {
  if (numbers != nullptr) return {};
  if (!numbers_fd.is_open()) {
    numbers_fd = OwnFd(::memfd_create("gantry-dns", MFD_CLOEXEC));
    if (!numbers_fd.is_open() || ::ftruncate(numbers_fd.get(), sizeof(Numbers)) < 0) {
      return std::unexpected(Error::from_errno(errno, "memfd_create"));
    }
  }
  void* memory = ::mmap(nullptr, sizeof(Numbers), PROT_READ, MAP_SHARED, numbers_fd.get(), 0);
  if (memory == MAP_FAILED) return std::unexpected(Error::from_errno(errno, "mmap"));
  numbers = static_cast<const Numbers*>(memory);
  return {};
}

// What a worker needs before it can do anything.
Task<Status> NodeDns::State::equip(LinkPtr link) {
  if (auto made = make_numbers(); !made) co_return made;
  if (link->hello->has_pool) co_return Status();
  auto made = asking_sockets(kAskUdp, kAskTcp);
  if (!made) co_return fail_with(std::move(made.error()), "sockets to ask with");
  std::vector<std::pair<FdRef, SocketKind>> sockets = {{numbers_fd, SocketKind::kNumbers}};
  for (const auto& [socket, kind] : *made) sockets.emplace_back(socket, kind);
  co_return co_await say_sockets(link, Feed::kPool, sockets);
}

Task<Status> NodeDns::State::tell_settings(LinkPtr link, bool always) {
  resolv_conf_changed = false;
  auto text = co_await pool.run([path = options.resolv_conf] { return sys::read_given(path, kMaxResolvConf); });
  Settings now{.domain = options.domain, .addresses = servers_told, .resolvers = {}};
  // While there is no such file the former counts: it may be on its way.
  if (text) {
    now.resolvers.push_back({"", servers_of(*text, servers_told)});
  } else {
    now.resolvers = settings.resolvers;
  }
  if (now == settings && !always) co_return Status();
  settings = now;
  co_return co_await say(link, Feed::kConfigure, encode(settings));
}

Task<Status> NodeDns::State::tell_service(LinkPtr link, const std::string& key, bool always) {
  auto service = objects.services().find_key(key);
  auto record = service ? make_record(*service, slices_of(key)) : std::nullopt;
  if (!record) {
    if (told.erase(key) == 0) co_return Status();
    co_return co_await say(link, Feed::kRemove, key);
  }
  std::string body = encode(*record);
  const std::size_t hash = std::hash<std::string>()(body);
  auto [at, is_new] = told.try_emplace(key, hash);
  if (!is_new && at->second == hash && !always) co_return Status();
  at->second = hash;
  co_return co_await say(link, Feed::kService, std::move(body));
}

Task<Status> NodeDns::State::commit(LinkPtr link) {
  const std::string wanted = std::to_string(++version);
  if (auto said = co_await say(link, Feed::kCommit, wanted); !said) co_return said;
  while (link->applied != wanted) {
    if (link->gone) co_return fail(Code::kUnavailable, "it has ended");
    link->event.reset();
    if (!co_await link->event.wait_for(kAnswers)) co_return fail(Code::kUnavailable, "the worker does not answer");
  }
  co_return Status();
}

Task<Status> NodeDns::State::tell_everything(LinkPtr link) {
  dirty.clear();
  told.clear();
  if (auto said = co_await say(link, Feed::kBegin, "w"); !said) co_return said;
  std::vector<std::string> keys;
  for (const auto& [key, object] : objects.services().all()) keys.push_back(key);
  for (const std::string& key : keys) {
    if (auto said = co_await tell_service(link, key, true); !said) co_return said;
  }
  co_return co_await commit(link);
}

Task<Status> NodeDns::State::tell_changes(LinkPtr link) {
  if (dirty.empty()) co_return Status();
  const std::set<std::string> keys = std::exchange(dirty, {});
  if (auto said = co_await say(link, Feed::kBegin, ""); !said) co_return said;
  for (const std::string& key : keys) {
    if (auto said = co_await tell_service(link, key, false); !said) co_return said;
  }
  co_return co_await commit(link);
}

// The node has the addresses before the worker has their sockets, and the worker lets them go before the node does.
Task<Status> NodeDns::State::listen(LinkPtr link) {
  service_changed = retry_listen = false;
  const std::vector<IpAddress> wanted = service_addresses();
  if (wanted == local && listens) co_return Status();
  std::vector<KindOfSocket> sockets;
  if (!wanted.empty()) {
    auto held = co_await pool.run([wanted, instance = options.instance] {
      return netns::hold_local_addresses(wanted, instance);
    });
    if (!held) {
      log::error("the node can't answer for the cluster's DNS", {{"error", held.error()}});
      retry_listen = true;
    }
  }
  for (const IpAddress& address : wanted) {
    bool has_all = false;
    for (auto& socket : listening) {
      if (!socket.first.is_open() || !is_at(socket.first, address)) continue;
      sockets.push_back(std::move(socket));
      has_all = true;
    }
    if (has_all) continue;
    auto made = answering_sockets(address);
    if (made) {
      for (auto& socket : *made) sockets.push_back(std::move(socket));
    } else {
      log::error("the node can't answer for the cluster's DNS", {{"error", made.error()}});
      retry_listen = true;
    }
  }
  // Ours, whatever becomes of the worker meanwhile.
  listening = std::move(sockets);
  std::vector<std::pair<FdRef, SocketKind>> copies;
  for (const auto& [socket, kind] : listening) copies.emplace_back(socket, kind);
  if (auto said = co_await say_sockets(link, Feed::kListen, copies); !said) co_return said;
  local = wanted;
  listens = true;
  if (wanted.empty()) {
    auto let_go =
        co_await pool.run([instance = options.instance] { return netns::hold_local_addresses({}, instance); });
    if (!let_go) log::error("an address of the cluster's DNS stays on this node", {{"error", let_go.error()}});
  }
  co_return Status();
}

Task<Status> NodeDns::State::serve(LinkPtr link) {
  if (auto done = co_await equip(link); !done) co_return done;
  if (auto done = co_await tell_settings(link, true); !done) co_return done;
  if (auto done = co_await tell_everything(link); !done) co_return done;
  if (auto done = co_await listen(link); !done) co_return done;
  if (!link->hello->has_records) {
    // It answers: from here on it is the one that the next gantryd finds. The former goes.
    const bool had_former = drain_at(options.run, kWorkerSocket);
    (void)::renameat(options.run.get(), kFreshSocket, options.run.get(), kWorkerSocket);
    log::info(had_former ? "the node's DNS is answered by a new worker" : "the node's DNS is answered");
  } else {
    log::info("the node's DNS is answered by the worker that was there");
  }
  while (!stopped) {
    wake.reset();
    if (link->gone) co_return fail(Code::kUnavailable, "it has ended");
    Status done = co_await tell_changes(link);
    if (done && (resolv_conf_changed || settings.addresses != servers_told)) done = co_await tell_settings(link, false);
    if (done && (service_changed || retry_listen)) done = co_await listen(link);
    if (!done) co_return done;
    if (link->gone || !dirty.empty() || service_changed || resolv_conf_changed) continue;
    if (retry_listen) {
      (void)co_await wake.wait_for(kLongestRest);
      listens = false;
    } else {
      co_await wake.wait();
    }
  }
  co_return fail(Code::kCancelled, "stopped");
}

// The file, and what it leads to, are looked at whenever something changes in their folders.
Task<> NodeDns::State::watch_resolv_conf() {
  auto self = shared_from_this();
  auto inotify = sys::inotify_init();
  if (!inotify) co_return;
  std::set<std::string> folders = {folder_of(options.resolv_conf)};
  std::string target;
  char resolved[PATH_MAX];
  if (::realpath(options.resolv_conf.c_str(), resolved) != nullptr) {
    target = resolved;
    folders.insert(folder_of(target));
  }
  for (const std::string& folder : folders) {
    auto open = sys::openat(sys::kCwd, folder.c_str(), O_PATH | O_DIRECTORY);
    if (open) (void)sys::inotify_add_watch(*inotify, *open, IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE);
  }
  const std::string names[] = {options.resolv_conf.substr(options.resolv_conf.rfind('/') + 1),
                               target.substr(target.rfind('/') + 1)};
  Watch watch(loop, *inotify);
  while (!stopped) {
    if (!co_await watch.readable()) co_return;
    auto events = sys::inotify_read(*inotify);
    if (!events) co_return;
    const bool is_it = std::ranges::any_of(*events, [&](const sys::InotifyEvent& event) {
      return event.name == names[0] || event.name == names[1] || (event.mask & IN_Q_OVERFLOW) != 0;
    });
    if (!is_it) continue;
    resolv_conf_changed = true;
    wake.set();
  }
}

NodeDns::NodeDns(Loop& loop, Pool& pool, proxy::ClusterObjects& objects, Options options)
    : state_(std::make_shared<State>(loop, pool, objects, std::move(options))) {
  objects.endpoint_slices().add_index(kIndex, [](const api::Message& object) {
    return std::vector<std::string>{slice_service(object)};
  });
  objects.services().on_change([state = state_](const api::Informer::Change& change) {
    const auto& service = static_cast<const proxy::ClusterObjects::Service&>(change.object());
    state->hear_service(api::object_key(service.metadata().namespace_(), service.metadata().name()));
  });
  objects.endpoint_slices().on_change([state = state_](const api::Informer::Change& change) {
    state->hear_service(slice_service(change.object()));
    if (change.before != nullptr && change.now != nullptr) state->hear_service(slice_service(*change.before));
  });
}

NodeDns::~NodeDns() = default;

void NodeDns::start() {
  state_->loop.spawn(state_->keep());
  state_->loop.spawn(state_->watch_resolv_conf());
}

void NodeDns::stop() {
  state_->stopped = true;
  state_->wake.set();
}

bool NodeDns::is_answered_here(const std::string& service) const {
  return service == kService && !has_endpoints(state_->slices_of(kService));
}

void NodeDns::write_metrics(metrics::Page* page) const {
  const Numbers* numbers = state_->numbers;
  if (numbers == nullptr) return;
  auto read = [](const std::uint64_t& value) {
    return static_cast<double>(__atomic_load_n(&value, __ATOMIC_RELAXED));
  };
  page->begin("coredns_dns_requests_total", "Queries that came to the node's DNS.", "counter");
  page->sample("coredns_dns_requests_total", {{"proto", "udp"}}, read(numbers->udp_requests));
  page->sample("coredns_dns_requests_total", {{"proto", "tcp"}}, read(numbers->tcp_requests));
  constexpr std::string_view kCodes[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
  page->begin("coredns_dns_responses_total", "Answers of the node's DNS, by their code.", "counter");
  for (std::size_t i = 0; i < std::size(kCodes); ++i) {
    page->sample("coredns_dns_responses_total", {{"rcode", kCodes[i]}}, read(numbers->responses[i]));
  }
  page->single("coredns_cache_hits_total", "Answers from what was remembered of other servers.", "counter",
               read(numbers->cache_hits));
  page->single("coredns_cache_misses_total", "Questions for others that nothing was remembered of.", "counter",
               read(numbers->cache_misses));
  page->single("gantry_dns_forwarded_total", "Queries to other servers.", "counter", read(numbers->asked));
  page->single("gantry_dns_unanswered_total", "Questions that no other server answered in time.", "counter",
               read(numbers->unanswered));
}

Status NodeDns::end(FdRef run, std::string_view instance) {
  bool had_any = false;
  for (const char* name : {kWorkerSocket, kFreshSocket}) {
    (void)drain_at(run, name);
    had_any = had_any || sys::fstatat(run, name, AT_SYMLINK_NOFOLLOW).has_value();
  }
  if (!had_any) return {};
  if (auto let_go = netns::hold_local_addresses({}, instance); !let_go) return let_go;
  // Last: the names tell that an address may be there, also when the worker has died, or this is killed.
  for (const char* name : {kWorkerSocket, kFreshSocket}) (void)::unlinkat(run.get(), name, 0);
  return {};
}

}  // namespace gantry::dns

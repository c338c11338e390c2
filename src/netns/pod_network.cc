// SPDX-License-Identifier: Apache-2.0
#include "netns/pod_network.h"

#include <linux/netlink.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/records.h"
#include "netns/address_pool.h"
#include "netns/links.h"
#include "netns/netlink.h"
#include "netns/nft_table.h"
#include "netns/node_routes.h"
#include "sys/file.h"

namespace gantry::netns {
namespace {

constexpr std::uint32_t kDefaultMtu = 1500;
constexpr std::uint32_t kMinMtu = 1280;  // IPv6's least
constexpr std::uint32_t kMaxMtu = 65535;
constexpr std::size_t kMaxInstance =
    48;  // with sandbox ids of 128 and an address of each family an alias fits its 255 bytes
constexpr std::uint32_t kLoopback = 1;  // the first link of every network namespace
// How many free addresses of the pool may turn out to be somebody else's before attach() gives up.
constexpr int kMaxStrangers = 1024;

Status check_range(const Cidr& range, const std::optional<Cidr>& cluster) {
  if (range.family() != Family::kV4 || range.prefix() < 8) {
    return invalid_argument(absl::StrCat("pod range ", range.to_string(), " is not an IPv4 range of /8 to /30"));
  }
  if (cluster && !cluster->contains(range)) {
    return invalid_argument(
        absl::StrCat("cluster range ", cluster->to_string(), " does not contain pod range ", range.to_string()));
  }
  return {};
}

Status check_config(const PodNetworkConfig& config) {
  if (config.pod_cidr) {
    if (auto good = check_range(*config.pod_cidr, config.cluster_cidr); !good) return good;
  }
  if (auto name = check_name(config.instance, "instance id"); !name) return name;
  if (config.instance.size() > kMaxInstance) {
    return invalid_argument(
        absl::StrCat("instance id of ", config.instance.size(), " characters; at most ", kMaxInstance, " are allowed"));
  }
  if (config.mtu != 0 && (config.mtu < kMinMtu || config.mtu > kMaxMtu)) {
    return invalid_argument(
        absl::StrCat("MTU ", config.mtu, " is not 0 (that of the default route) or from ", kMinMtu, " to ", kMaxMtu));
  }
  return {};
}

// A setting below /proc/sys/net of the calling thread's network namespace.
Status set_sysctl(const std::string& path, std::string_view value) {
  return sys::write_file(sys::kCwd, absl::StrCat("/proc/sys/net/", path).c_str(), value);
}

Status enable_forwarding() {
  // Read first: writing it, even its own value, resets other settings of every link.
  auto value = sys::read_file(sys::kCwd, "/proc/sys/net/ipv4/ip_forward", 16);
  if (!value) return fail_with(std::move(value.error()), "enable IPv4 forwarding");
  if (value->starts_with('1')) return {};
  if (auto set = set_sysctl("ipv4/ip_forward", "1"); !set) {
    return fail_with(std::move(set.error()), "enable IPv4 forwarding");
  }
  return {};
}

// The gateway's, unless another one is given. Of a range without one it is none that a pool takes.
IpAddress first_host(const Cidr& range) { return range.network().plus(1).value_or(IpAddress()); }

// By its index: should the pod's namespace end at this moment and take the link along, nobody else's is hit.
Status delete_by(NetlinkSocket& socket, const Link& link) {
  auto removed = socket.send(delete_link(link.index));
  if (!removed && !removed.error().is_not_found()) return removed;
  return {};
}

}  // namespace

struct PodNetwork::Impl {
  Impl(PodNetworkConfig c, AddressLedger& l, NetlinkSocket s, std::optional<AddressPool> p, std::uint32_t m)
      : config(std::move(c)),
        marks(config.instance),
        mtu(m),
        routes(config.instance, m),
        ledger(l),
        socket(std::move(s)),
        pool(std::move(p)) {}

  Status adopt_live_links();
  Result<AddressPool> pool_of(const Cidr& range);
  Status take_range(const Cidr& range);
  Status fill_table();
  TableNodes table_nodes() const;
  std::uint32_t pod_mtu() const;
  void find_routes();
  Result<std::vector<RefusedNode>> reach_nodes();
  Result<std::vector<Link>> veths();
  Result<std::optional<Link>> find_link(std::string_view sandbox_id);
  Status remove_link(std::string_view sandbox_id);
  Status free_addresses(std::string_view sandbox_id);
  std::optional<IpAddress> address_of(std::string_view sandbox_id) const;
  Result<IpAddress> free_address();
  Result<IpAddress> reserve(std::string_view sandbox_id, std::optional<IpAddress> wanted);
  Status give_back(const IpAddress& address);
  Result<Link> make_link(std::string_view sandbox_id, const IpAddress& address, FdRef netns);
  Status wire_pod(std::string_view sandbox_id, const Link& host, const IpAddress& address, FdRef route_socket);
  Status wire_host(std::string_view sandbox_id, const Link& host, const IpAddress& address);
  Status wire(std::string_view sandbox_id, const IpAddress& address, FdRef netns, FdRef route_socket);
  std::vector<PortTarget> targets_of(std::string_view sandbox_id) const;
  Status release_ports(std::string_view sandbox_id);

  const PodNetworkConfig config;
  const LinkMarks marks;
  const std::uint32_t mtu;                    // of the links to other hosts
  std::atomic<std::uint32_t> overlay_mtu{0};  // 0: nobody is reached by the overlay
  // Held for what is asked of the routes, and taken before the other one.
  std::mutex routes_mutex;
  NodeRoutes routes;
  // What set_nodes() said last; nothing: nobody has.
  struct Nodes {
    RouteMode mode;
    OwnNode own;
    std::vector<PeerNode> peers;
  };
  std::optional<Nodes> nodes;
  // For what is below, and held by whoever calls a function above.
  std::mutex mutex;
  AddressLedger& ledger;
  NetlinkSocket socket;
  std::optional<AddressPool> pool;  // nothing: there is no range yet
  TableNodes known;                 // of other nodes, as the routes are
  // What the ledger says.
  std::map<IpAddress, std::string> holders;
  std::map<std::string, std::vector<HostPort>, std::less<>> ports;
};

Result<std::vector<Link>> PodNetwork::Impl::veths() {
  auto replies = socket.dump(list_veths(), [](const nlmsghdr&) { return true; });
  if (!replies) return std::unexpected(std::move(replies.error()));
  std::vector<Link> links;
  for (const std::string& reply : *replies) {
    auto link = parse_link(reply);
    if (!link) return std::unexpected(std::move(link.error()));
    links.push_back(std::move(*link));
  }
  return links;
}

// Whoever's alias names an address of our range, it is in use: another node's daemon beside us, or our own pods when
// the ledger was lost. The latter are put into the ledger again.
Status PodNetwork::Impl::adopt_live_links() {
  auto links = veths();
  if (!links) return std::unexpected(std::move(links.error()));
  for (const Link& link : *links) {
    auto parts = parse_alias(link.alias);
    if (!parts) continue;
    for (const IpAddress& address : parts->addresses) {
      if (pool) (void)pool->take(address);
      if (parts->instance != config.instance || holders.contains(address)) continue;
      if (auto recorded = ledger.record(address, parts->sandbox_id); !recorded) return recorded;
      holders.emplace(address, parts->sandbox_id);
    }
  }
  return {};
}

// The sandbox's link, if there is one. A link of its name that is not ours is an error and never touched.
Result<std::optional<Link>> PodNetwork::Impl::find_link(std::string_view sandbox_id) {
  auto replies = socket.exchange(get_link(marks.host_name(sandbox_id)));
  if (!replies) {
    if (replies.error().is_not_found()) return std::nullopt;
    return std::unexpected(std::move(replies.error()));
  }
  if (replies->empty()) return std::nullopt;
  auto link = parse_link(replies->front());
  if (!link) return std::unexpected(std::move(link.error()));
  auto parts = parse_alias(link->alias);
  bool marked = parts && parts->instance == config.instance && parts->sandbox_id == sandbox_id;
  if (!marked && !marks.is_unmarked(*link, sandbox_id)) {
    return fail(Code::kAlreadyExists,
                absl::StrCat("link ", link->name, " of alias \"", link->alias, "\" is not this pod's"));
  }
  return std::move(*link);
}

Status PodNetwork::Impl::remove_link(std::string_view sandbox_id) {
  auto link = find_link(sandbox_id);
  if (!link) return std::unexpected(std::move(link.error()));
  return *link ? delete_by(socket, **link) : Status();
}

std::optional<IpAddress> PodNetwork::Impl::address_of(std::string_view sandbox_id) const {
  for (const auto& [address, holder] : holders) {
    if (holder == sandbox_id && (!pool || pool->range().contains(address))) return address;
  }
  return std::nullopt;
}

Result<IpAddress> PodNetwork::Impl::free_address() {
  for (int i = 0; i < kMaxStrangers; ++i) {
    auto address = pool->take();
    if (!address) return address;
    auto routed = is_routed(socket, *address);
    if (!routed) {
      pool->release(*address);
      return std::unexpected(std::move(routed.error()));
    }
    // Somebody whose mark we don't know has it. It stays taken until we start anew.
    if (!*routed) return address;
  }
  return fail(Code::kResourceExhausted, absl::StrCat("pod range ", pool->range().to_string(), ": ", kMaxStrangers,
                                                     " addresses in a row are routed by somebody else on this host"));
}

Result<IpAddress> PodNetwork::Impl::reserve(std::string_view sandbox_id, std::optional<IpAddress> wanted) {
  if (!pool) return fail(Code::kUnavailable, "the pods have no range of addresses yet");
  auto mine = address_of(sandbox_id);
  if (mine && (!wanted || *wanted == *mine)) return *mine;
  if (mine) {
    return fail(Code::kAlreadyExists, absl::StrCat("the pod has address ", mine->to_string(), " and can't get ",
                                                   wanted->to_string(), " as well; detach it first"));
  }
  Result<IpAddress> address = wanted ? Result<IpAddress>(*wanted) : free_address();
  if (!address) return address;
  if (wanted) {
    if (auto taken = pool->take(*wanted); !taken) return std::unexpected(std::move(taken.error()));
  }
  if (auto recorded = ledger.record(*address, sandbox_id); !recorded) {
    pool->release(*address);
    return std::unexpected(std::move(recorded.error()));
  }
  holders.emplace(*address, sandbox_id);
  return address;
}

// An address that the ledger can't forget stays taken: it is lost until the next start, and never in two pods.
Status PodNetwork::Impl::give_back(const IpAddress& address) {
  if (auto forgotten = ledger.forget(address); !forgotten) return forgotten;
  holders.erase(address);
  if (pool) pool->release(address);
  return {};
}

Status PodNetwork::Impl::free_addresses(std::string_view sandbox_id) {
  std::vector<IpAddress> addresses;
  for (const auto& [address, holder] : holders) {
    if (holder == sandbox_id) addresses.push_back(address);
  }
  for (const IpAddress& address : addresses) {
    if (auto freed = give_back(address); !freed) return freed;
  }
  return {};
}

Result<Link> PodNetwork::Impl::make_link(std::string_view sandbox_id, const IpAddress& address, FdRef netns) {
  std::string name = marks.host_name(sandbox_id);
  // One system call: no kill can come between the making and the marking.
  std::array<Request, 4> requests{make_veth({.host_name = name,
                                             .host_mac = marks.host_mac(sandbox_id),
                                             .pod_mac = marks.pod_mac(sandbox_id),
                                             .mtu = pod_mtu(),
                                             .group = marks.group(),
                                             .pod_netns = netns}),
                                  set_alias(name, marks.alias(sandbox_id, {address})), set_host_policy(name),
                                  get_link(name)};
  auto replies = socket.exchange(requests);
  if (!replies) return std::unexpected(std::move(replies.error()));
  if (replies->empty()) return fail(Code::kInternal, absl::StrCat("no description of link ", name));
  return parse_link(replies->back());
}

Status PodNetwork::Impl::wire_pod(std::string_view sandbox_id, const Link& host, const IpAddress& address,
                                  FdRef route_socket) {
  const IpAddress& gateway = pool->gateway();
  std::uint32_t eth0 = host.peer_index;
  std::array<Request, 7> requests{set_up(kLoopback),
                                  set_no_auto_address(eth0),
                                  set_up(eth0),
                                  add_address(eth0, address),
                                  add_neighbour(eth0, gateway, marks.host_mac(sandbox_id)),
                                  add_link_route(eth0, gateway, address),
                                  add_default_route(eth0, gateway, address)};
  if (auto sent = NetlinkSocket::borrow(route_socket).send(requests); !sent) {
    return fail_with(std::move(sent.error()), "inside the pod");
  }
  return {};
}

Status PodNetwork::Impl::wire_host(std::string_view sandbox_id, const Link& host, const IpAddress& address) {
  if (auto closed = close_ipv6(host.name); !closed) return closed;
  // Up comes last of what list() can see of a link, and the rest of it with the same system call.
  std::array<Request, 4> requests{set_up(host.index), add_address(host.index, pool->gateway()),
                                  add_neighbour(host.index, address, marks.pod_mac(sandbox_id)),
                                  add_link_route(host.index, address, pool->gateway())};
  return socket.send(requests);
}

Status PodNetwork::Impl::wire(std::string_view sandbox_id, const IpAddress& address, FdRef netns, FdRef route_socket) {
  auto host = make_link(sandbox_id, address, netns);
  if (!host) return std::unexpected(std::move(host.error()));
  if (auto wired = wire_pod(sandbox_id, *host, address, route_socket); !wired) return wired;
  if (auto wired = wire_host(sandbox_id, *host, address); !wired) return wired;
  // The end that came up first sends nothing before the kernel has noticed that the other one is up, which it may put
  // off; being asked for the link's state it notices at once (since 6.8).
  auto noticed = NetlinkSocket::borrow(route_socket).send(get_link("eth0"));
  if (!noticed) return fail_with(std::move(noticed.error()), "inside the pod");
  return {};
}

std::vector<PortTarget> PodNetwork::Impl::targets_of(std::string_view sandbox_id) const {
  std::vector<PortTarget> targets;
  auto held = ports.find(sandbox_id);
  auto address = address_of(sandbox_id);
  if (held == ports.end() || !address) return targets;
  for (const HostPort& port : held->second) targets.push_back({port, *address});
  return targets;
}

Status PodNetwork::Impl::release_ports(std::string_view sandbox_id) {
  auto held = ports.find(sandbox_id);
  if (held == ports.end()) return {};
  if (auto targets = targets_of(sandbox_id); !targets.empty()) {
    NftTable table(config.instance);
    if (auto removed = table.remove_ports(targets); !removed) return removed;
  }
  if (auto forgotten = ledger.forget_ports(sandbox_id); !forgotten) return forgotten;
  ports.erase(held);
  return {};
}

// As it has to be for those who hold addresses.
Result<AddressPool> PodNetwork::Impl::pool_of(const Cidr& range) {
  auto last = ledger.last();
  if (!last) return std::unexpected(std::move(last.error()));
  auto made = AddressPool::make(range, first_host(range), *last);
  if (!made) return made;
  for (const auto& [address, sandbox_id] : holders) {
    if (made->take(address)) continue;
    return fail(Code::kFailedPrecondition, absl::StrCat("pod sandbox ", sandbox_id, " has address ",
                                                        address.to_string(), ", which is none of this range's"));
  }
  auto links = veths();
  if (!links) return std::unexpected(std::move(links.error()));
  for (const Link& link : *links) {
    auto parts = parse_alias(link.alias);
    if (!parts) continue;
    for (const IpAddress& address : parts->addresses) (void)made->take(address);
  }
  return made;
}

// Precondition: there is a range.
Status PodNetwork::Impl::fill_table() {
  const Cidr& range = pool->range();
  NftTable table(config.instance);
  std::vector<PortTarget> targets;
  for (const auto& [sandbox_id, ports] : ports) {
    auto of_pod = targets_of(sandbox_id);
    targets.insert(targets.end(), of_pod.begin(), of_pod.end());
  }
  return table.ensure(range, table_nodes(), targets);
}

TableNodes PodNetwork::Impl::table_nodes() const {
  TableNodes all = known;
  if (config.cluster_cidr) all.ranges.push_back(*config.cluster_cidr);
  return all;
}

std::uint32_t PodNetwork::Impl::pod_mtu() const {
  const std::uint32_t overlay = overlay_mtu;
  return overlay == 0 ? mtu : std::min(mtu, overlay);
}

// What an earlier process left goes on as it is: a table that is made anew must not know less.
void PodNetwork::Impl::find_routes() {
  auto present = routes.present();
  if (!present) return;  // set_nodes() meets the same
  known.ranges = std::move(present->ranges);
  if (present->overlay_nodes && !present->overlay_nodes->empty()) {
    overlay_mtu = routes.overlay_mtu(present->overlay_nodes->front().family());
  }
  known.overlay_nodes = std::move(present->overlay_nodes);
}

// Precondition: routes_mutex is held. The table first: what is sent by a new route has its own source address from the
// first packet on, and a node's VXLAN is taken when it comes.
Result<std::vector<RefusedNode>> PodNetwork::Impl::reach_nodes() {
  if (!nodes) return std::vector<RefusedNode>();
  std::vector<IpAddress> gateways;
  {
    std::lock_guard lock(mutex);
    if (pool) gateways.push_back(pool->gateway());
  }
  auto paths = routes.plan(nodes->mode, nodes->own, gateways, nodes->peers);
  if (!paths) return std::unexpected(std::move(paths.error()));
  std::vector<RefusedNode> unreached = std::move(paths->unreached);
  {
    std::lock_guard lock(mutex);
    known = {};
    for (const PeerNode& peer : nodes->peers) {
      known.ranges.insert(known.ranges.end(), peer.ranges.begin(), peer.ranges.end());
    }
    overlay_mtu = paths->overlay ? paths->overlay->mtu : 0;
    if (paths->overlay) known.overlay_nodes = paths->overlay_nodes();
    if (pool) {
      auto set = NftTable(config.instance).set_nodes(pool->range(), table_nodes());
      if (!set) return std::unexpected(std::move(set.error()));
    }
  }
  if (auto applied = routes.apply(std::move(*paths)); !applied) return std::unexpected(std::move(applied.error()));
  return unreached;
}

Result<std::unique_ptr<PodNetwork>> PodNetwork::open(PodNetworkConfig config, AddressLedger& ledger) {
  if (auto checked = check_config(config); !checked) return fail_with(std::move(checked.error()), "pod network");
  auto held = ledger.load();
  if (!held) return fail_with(std::move(held.error()), "pod network");
  auto ports = ledger.load_ports();
  if (!ports) return fail_with(std::move(ports.error()), "pod network");
  auto last = ledger.last();
  if (!last) return fail_with(std::move(last.error()), "pod network");
  std::optional<AddressPool> pool;
  if (config.pod_cidr) {
    auto made = AddressPool::make(*config.pod_cidr, config.gateway.value_or(first_host(*config.pod_cidr)), *last);
    if (!made) return fail_with(std::move(made.error()), "pod network");
    pool = std::move(*made);
  }
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return fail_with(std::move(socket.error()), "pod network");
  std::uint32_t mtu = config.mtu;
  if (mtu == 0) {
    auto found = default_route_mtu(*socket);
    if (!found) return fail_with(std::move(found.error()), "pod network: MTU of the default route");
    mtu = std::clamp(found->value_or(kDefaultMtu), kMinMtu, kMaxMtu);
  }
  auto impl = std::make_unique<Impl>(std::move(config), ledger, std::move(*socket), std::move(pool), mtu);
  for (auto& [address, sandbox_id] : *held) {
    if (impl->pool)
      (void)impl->pool->take(address);  // of another range, when the configuration changed: kept, to be detached
    impl->holders.emplace(address, std::move(sandbox_id));
  }
  for (auto& [sandbox_id, port] : *ports) impl->ports[sandbox_id].push_back(port);
  if (auto adopted = impl->adopt_live_links(); !adopted) return fail_with(std::move(adopted.error()), "pod network");
  impl->find_routes();
  return std::unique_ptr<PodNetwork>(new PodNetwork(std::move(impl)));
}

PodNetwork::PodNetwork(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PodNetwork::~PodNetwork() = default;

Status PodNetwork::prepare_node() {
  if (auto enabled = enable_forwarding(); !enabled) return fail_with(std::move(enabled.error()), "pod network");
  std::lock_guard lock(impl_->mutex);
  if (!impl_->pool) return {};
  if (auto made = impl_->fill_table(); !made) return fail_with(std::move(made.error()), "pod network");
  return {};
}

Status PodNetwork::set_range(const Cidr& range) {
  if (auto good = check_range(range, impl_->config.cluster_cidr); !good) return good;
  std::string what = absl::StrCat("pod range ", range.to_string());
  std::lock_guard routes_lock(impl_->routes_mutex);
  if (auto set = impl_->take_range(range); !set) return fail_with(std::move(set.error()), what);
  // The overlay's address is of the range. What fails here the next set_nodes() meets, which whoever
  // knows the nodes calls.
  (void)impl_->reach_nodes();
  return {};
}

Status PodNetwork::Impl::take_range(const Cidr& range) {
  std::lock_guard lock(mutex);
  auto recorded = ledger.range();
  if (!recorded) return std::unexpected(std::move(recorded.error()));
  if (pool && pool->range() == range) {
    return *recorded == range ? Status() : ledger.record_range(range);
  }
  auto made = pool_of(range);
  if (!made) return std::unexpected(std::move(made.error()));
  std::optional<AddressPool> former = std::exchange(pool, std::move(*made));
  // The table comes first: without addresses of the range it changes nothing, and a start that finds the former range
  // recorded puts it back.
  Status done = fill_table();
  if (done) {
    done = ledger.record_range(range);
    if (done) return {};
  }
  pool = std::move(former);
  if (pool) (void)fill_table();
  return done;
}

Result<std::vector<RefusedNode>> PodNetwork::set_nodes(RouteMode mode, OwnNode own, std::vector<PeerNode> nodes) {
  std::lock_guard lock(impl_->routes_mutex);
  impl_->nodes = Impl::Nodes{.mode = mode, .own = std::move(own), .peers = std::move(nodes)};
  auto unreached = impl_->reach_nodes();
  if (!unreached) return fail_with(std::move(unreached.error()), "routes to other nodes");
  return unreached;
}

Status PodNetwork::release_node() {
  {
    std::lock_guard lock(impl_->routes_mutex);
    impl_->nodes.reset();
    if (auto removed = impl_->routes.apply({}); !removed) return fail_with(std::move(removed.error()), "pod network");
  }
  NftTable table(impl_->config.instance);
  if (auto removed = table.remove(); !removed) return fail_with(std::move(removed.error()), "pod network");
  return {};
}

Result<PodInterface> PodNetwork::attach(std::string_view sandbox_id, FdRef netns, FdRef route_socket,
                                        std::optional<IpAddress> wanted) {
  if (auto name = check_name(sandbox_id, "sandbox id"); !name) return std::unexpected(std::move(name.error()));
  std::string what = absl::StrCat("attach sandbox ", std::string(sandbox_id), " to the pod network");
  std::lock_guard lock(impl_->mutex);
  // What a crash left of this sandbox goes first: its route would make its own address look like a stranger's.
  if (auto removed = impl_->remove_link(sandbox_id); !removed) return fail_with(std::move(removed.error()), what);
  auto address = impl_->reserve(sandbox_id, wanted);
  if (!address) return fail_with(std::move(address.error()), what);
  if (auto wired = impl_->wire(sandbox_id, *address, netns, route_socket); !wired) {
    // The address is free again only when no link can have it any more.
    if (impl_->remove_link(sandbox_id)) (void)impl_->give_back(*address);
    return fail_with(std::move(wired.error()), what);
  }
  return PodInterface{
      .addresses = {*address}, .host_ifname = impl_->marks.host_name(sandbox_id), .mtu = impl_->pod_mtu()};
}

namespace {

Status check_ports(const std::vector<HostPort>& ports) {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].host_port == 0 || ports[i].pod_port == 0)
      return invalid_argument(absl::StrCat(ports[i].name(), ": ports are 1 to 65535"));
    if (ports[i].host_address && ports[i].host_address->family() != Family::kV4)
      return invalid_argument(absl::StrCat(ports[i].name(), ": the pod network is IPv4's"));
    for (std::size_t j = 0; j < i; ++j) {
      if (ports[i].takes_place_of(ports[j])) return invalid_argument(absl::StrCat(ports[i].name(), " is given twice"));
    }
  }
  return {};
}

}  // namespace

Status PodNetwork::map_ports(std::string_view sandbox_id, const std::vector<HostPort>& ports) {
  if (ports.empty()) return {};
  std::string what = absl::StrCat("lead ports of the host to sandbox ", std::string(sandbox_id));
  if (auto good = check_ports(ports); !good) return good;
  std::lock_guard lock(impl_->mutex);
  auto address = impl_->address_of(sandbox_id);
  if (!address) return fail(Code::kFailedPrecondition, absl::StrCat(what, ": it is not attached"));
  NftTable table(impl_->config.instance);
  if (auto recorded = impl_->ledger.record_ports(sandbox_id, ports); !recorded)
    return fail_with(std::move(recorded.error()), what);
  impl_->ports[std::string(sandbox_id)] = ports;
  // A connection from 127.0.0.1 leaves by this link before its source address is replaced.
  auto made = set_sysctl(absl::StrCat("ipv4/conf/", impl_->marks.host_name(sandbox_id), "/route_localnet"), "1");
  if (made) made = table.add_ports(impl_->targets_of(sandbox_id));
  if (made) return {};
  (void)impl_->release_ports(sandbox_id);
  return fail_with(std::move(made.error()), what);
}

Status PodNetwork::close_ports(std::string_view sandbox_id) {
  std::lock_guard lock(impl_->mutex);
  if (auto released = impl_->release_ports(sandbox_id); !released) {
    return fail_with(std::move(released.error()), absl::StrCat("host ports of sandbox ", std::string(sandbox_id)));
  }
  return {};
}

Status PodNetwork::detach(std::span<const std::string> sandbox_ids) {
  Status first;
  std::vector<std::string> ending;
  std::vector<Request> requests;
  auto note = [&first](const std::string& sandbox_id, Error error) {
    if (!first) return;
    first = fail_with(std::move(error), absl::StrCat("detach sandbox ", sandbox_id, " from the pod network"));
  };
  {
    std::lock_guard lock(impl_->mutex);
    for (const std::string& sandbox_id : sandbox_ids) {
      if (auto released = impl_->release_ports(sandbox_id); !released) {
        note(sandbox_id, std::move(released.error()));
        continue;
      }
      auto link = impl_->find_link(sandbox_id);
      if (!link) {
        note(sandbox_id, std::move(link.error()));
        continue;
      }
      ending.push_back(sandbox_id);
      // By its index: should the pod's namespace end at this moment and take the link along, nobody else's is hit.
      if (*link) requests.push_back(set_group((*link)->index, impl_->marks.ending_group()));
    }
  }
  if (!requests.empty()) {
    // The slow part, on a socket of its own and with nobody waiting.
    requests.push_back(delete_group(impl_->marks.ending_group()));
    auto socket = NetlinkSocket::open(NETLINK_ROUTE);
    if (!socket) return fail_with(std::move(socket.error()), "pod network");
    for (Request& request : requests) {
      auto done = socket->send(std::move(request));
      if (!done && !done.error().is_not_found()) return fail_with(std::move(done.error()), "pod network");
    }
  }
  std::lock_guard lock(impl_->mutex);
  for (const std::string& sandbox_id : ending) {
    if (auto freed = impl_->free_addresses(sandbox_id); !freed) note(sandbox_id, std::move(freed.error()));
  }
  return first;
}

Result<std::vector<PodLink>> PodNetwork::list() {
  Result<std::vector<Link>> links;
  {
    std::lock_guard lock(impl_->mutex);
    links = impl_->veths();
  }
  if (!links) return fail_with(std::move(links.error()), "pod network");
  std::vector<PodLink> ours;
  for (Link& link : *links) {
    auto parts = parse_alias(link.alias);
    if (!parts || parts->instance != impl_->config.instance) continue;
    ours.push_back({.sandbox_id = std::move(parts->sandbox_id),
                    .host_ifname = std::move(link.name),
                    .addresses = std::move(parts->addresses),
                    .mtu = link.mtu,
                    .complete = link.up});
  }
  return ours;
}

std::vector<HeldAddress> PodNetwork::held() const {
  std::lock_guard lock(impl_->mutex);
  std::vector<HeldAddress> held;
  for (const auto& [address, sandbox_id] : impl_->holders) held.push_back({address, sandbox_id});
  return held;
}

std::optional<Cidr> PodNetwork::range() const {
  std::lock_guard lock(impl_->mutex);
  if (!impl_->pool) return std::nullopt;
  return impl_->pool->range();
}

IpAddress PodNetwork::gateway() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->pool->gateway();
}

Result<IpAddress> PodNetwork::node_address() const {
  auto source = default_source();
  if (!source) return fail_with(std::move(source.error()), "address of the node");
  if (*source) return **source;
  if (range()) return gateway();
  return fail(Code::kFailedPrecondition, "address of the node: there is no default route; say --node-ip");
}

std::uint32_t PodNetwork::mtu() const { return impl_->pod_mtu(); }

}  // namespace gantry::netns

// SPDX-License-Identifier: Apache-2.0
// The nftables backend alone, in a network namespace of its own: all of N services with 10 endpoints each put into the
// kernel, put there again (a restart), and changed by one endpoint. With a packet's cost beside it: a connection to the
// last service, from the node to itself. --runs: how many changes and connections.
#include <arpa/inet.h>
#include <linux/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "bench/measure.h"
#include "proxy/nftables/backend.h"
#include "sys/process.h"

namespace gantry::bench {
namespace {

using netns::IpAddress;

constexpr int kEndpoints = 10;
constexpr std::uint16_t kPort = 8080;

IpAddress address(const char* base, std::uint64_t offset) {
  return *must(IpAddress::parse(base)).plus(offset);
}

std::string name_of(int service) { return "bench/service-" + std::to_string(service) + ":/IPv4"; }

proxy::ServiceRule rule_of(int service, int skipped = -1) {
  proxy::ServiceRule rule;
  rule.frontends.push_back({.address = address("10.96.0.1", static_cast<std::uint64_t>(service)), .port = 80});
  for (int i = 0; i <= kEndpoints; ++i) {
    auto offset = static_cast<std::uint64_t>(service) * (kEndpoints + 1) + static_cast<std::uint64_t>(i);
    if (i == skipped || (i == kEndpoints && skipped < 0)) continue;
    rule.cluster.push_back({address("10.128.0.1", offset), kPort});
  }
  return rule;
}

void set_loopback_up() {
  OwnFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) give_up("lo up");
}

sockaddr_in socket_address(const char* text, std::uint16_t port) {
  sockaddr_in out{.sin_family = AF_INET, .sin_port = htons(port)};
  ::inet_pton(AF_INET, text, &out.sin_addr);
  return out;
}

// Connections of UDP, each from another port: its first packet passes the rules, and comes back when it is sent.
Times first_packets(int runs, const sockaddr_in& to) {
  Times times;
  for (int i = 0; i < runs; ++i) {
    OwnFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    std::int64_t start = now();
    if (::sendto(fd.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 1) give_up("send");
    times.push_back(now() - start);
  }
  return times;
}

void measure(int services, int runs) {
  auto backend = must(proxy::nftables::NftablesBackend::open("bench"));
  proxy::ServiceRules rules;
  for (int i = 0; i < services; ++i) rules.emplace(name_of(i), rule_of(i));
  // One that answers: of UDP, by an address of this machine.
  proxy::ServiceRule own;
  own.protocol = netns::Protocol::kUdp;
  own.frontends.push_back({.address = address("127.0.0.2", 0), .port = 53});
  own.cluster.push_back({address("127.0.0.1", 0), kPort});
  rules.emplace("bench/own:/IPv4", own);
  auto replace = [&] {
    std::int64_t start = now();
    if (auto done = backend->replace(rules, {}); !done) give_up(done.error().message());
    return static_cast<double>(now() - start) / 1e6;
  };
  double first = replace(), again = replace();
  Times changes;
  for (int i = 0; i < runs; ++i) {
    int service = static_cast<int>(static_cast<std::int64_t>(i) * 7919 % services);
    proxy::RuleChanges change{.set = {{name_of(service), rule_of(service, i % kEndpoints)}}, .removed = {}};
    std::int64_t start = now();
    if (auto done = backend->apply(change); !done) give_up(done.error().message());
    changes.push_back(now() - start);
  }
  OwnFd server(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in here = socket_address("127.0.0.1", kPort);
  if (::bind(server.get(), reinterpret_cast<sockaddr*>(&here), sizeof(here)) != 0) give_up("bind");
  Times packets = first_packets(runs, socket_address("127.0.0.2", 53));
  Times plain = first_packets(runs, socket_address("127.0.0.3", 54));
  std::printf("| %d | %.0f | %.0f | %.3f | %.3f | %.4f | %.4f |\n", services, first, again, median(changes),
              quantile(changes, 0.99), median(packets), median(plain));
  if (auto done = backend->remove(); !done) give_up(done.error().message());
}

}  // namespace
}  // namespace gantry::bench

int main(int argc, char** argv) {
  using namespace gantry;
  bench::Options options = bench::read_options(argc, argv);
  if (auto alone = sys::unshare(sys::CloneFlag::kNewNet); !alone) bench::give_up(alone.error().message());
  bench::set_loopback_up();
  double before[3] = {}, after[3] = {};
  (void)::getloadavg(before, 3);
  std::printf("\n| services | all, ms | all again, ms | one endpoint, p50 ms | p99 ms | first packet, p50 ms |");
  std::printf(" no service |\n");
  std::printf("| --- | --- | --- | --- | --- | --- | --- |\n");
  for (int services : {1'000, 10'000, 30'000}) bench::measure(services, options.runs);
  (void)::getloadavg(after, 3);
  std::printf("\nLoad average %.2f before and %.2f after on %ld processors.\n", before[0], after[0],
              ::sysconf(_SC_NPROCESSORS_ONLN));
}

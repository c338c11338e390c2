// SPDX-License-Identifier: Apache-2.0
// The names of a cluster, as the Kubernetes DNS specification 1.1.0 has them and CoreDNS answers them: services, their
// endpoints, pods' addresses, and the names of addresses. What it is made of changes by a service at a time; every
// answer is of what is there at that moment. Owner: one thread.
//
//   SERVICE.NS.svc.DOMAIN                  its address; a headless one's ready endpoints; an external one's CNAME
//   HOSTNAME.SERVICE.NS.svc.DOMAIN         an endpoint; one without a hostname has its pod's address, 10-0-0-7
//   _PORT._PROTOCOL.SERVICE.NS.svc.DOMAIN  SRV
//   10-0-0-7.NS.pod.DOMAIN                 that address, whoever has it (CoreDNS' `pods insecure`)
//   dns-version.DOMAIN                     TXT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "netns/address.h"
#include "proxy/dns/message.h"

namespace gantry::dns {

using netns::IpAddress;

struct ServicePort {
  std::string name;      // may be empty
  std::string protocol;  // "tcp", "udp", "sctp"
  std::uint16_t port = 0;
  bool operator==(const ServicePort&) const = default;
};

// One service with its endpoints, as the zone is told of it.
struct ServiceRecord {
  enum class Kind : std::uint8_t { kAddress, kHeadless, kExternal };
  struct Endpoint {
    IpAddress address;
    std::string hostname;  // the one that was given to it; empty: none
    std::uint16_t ports = 0;  // of its slice: an index into endpoint_ports
    bool operator==(const Endpoint&) const = default;
  };
  std::string ns, name;
  Kind kind = Kind::kAddress;
  std::vector<IpAddress> addresses;  // of kAddress
  std::string external_name;         // of kExternal; text
  std::vector<ServicePort> ports;
  std::vector<std::vector<ServicePort>> endpoint_ports;
  std::vector<Endpoint> endpoints;  // those that are ready

  std::string key() const { return ns + "/" + name; }
  bool operator==(const ServiceRecord&) const = default;
};
// Bounded: what is larger than a message of the feed is refused by who reads it.
std::string encode(const ServiceRecord& record);
Result<ServiceRecord> decode_service(std::string_view bytes);

struct ZoneAnswer {
  // False: the name belongs to others, who are to be asked.
  bool is_ours = true;
  Rcode rcode = Rcode::kNoError;
  std::vector<Record> answers, authorities, additionals;
  // The answers end with a CNAME that leads here; in wire form. Empty: they are whole.
  std::string follow;
};

class Zone {
 public:
  // `domain` is text ("cluster.local").
  static std::optional<Zone> make(std::string_view domain);

  // Where this node's DNS is, for ns.dns.DOMAIN.
  void set_addresses(std::vector<IpAddress> addresses) { addresses_ = std::move(addresses); }
  void put(ServiceRecord record);
  void remove(const std::string& key);
  std::size_t size() const { return services_.size(); }
  const std::string& domain() const { return domain_; }

  // `turn` grows with each question: of several records each is the first one in turn.
  ZoneAnswer answer(const Question& question, std::uint32_t turn) const;

  // Seconds that askers keep an answer for. Upstream's Corefile says 30; five is what a change waits for at most.
  static constexpr std::uint32_t kTtl = 5;

 private:
  using ServicePtr = std::shared_ptr<const ServiceRecord>;
  using Labels = std::vector<std::string_view>;
  Zone() = default;

  struct Hit {
    const IpAddress* address;
    std::string target;  // the name that has it
    std::uint16_t port = 0;
  };
  ZoneAnswer answer_here(const Labels& labels, const Question& question, std::uint32_t turn) const;
  ZoneAnswer answer_service(const Labels& labels, const Question& question, std::uint32_t turn) const;
  ZoneAnswer answer_pod(const Labels& labels, const Question& question) const;
  ZoneAnswer answer_reverse(const IpAddress& address, const Question& question) const;
  ZoneAnswer answer_addresses(const std::vector<const IpAddress*>& addresses, const Question& question,
                              std::uint32_t turn) const;
  ZoneAnswer answer_ports(const std::vector<Hit>& hits, const Question& question, std::uint32_t turn) const;
  ZoneAnswer nothing(Rcode rcode) const;
  Record soa() const;
  std::string service_name(const ServiceRecord& service) const;
  void index(const ServiceRecord& service, const std::string& key, bool add);

  std::string domain_;  // in wire form, lower case
  std::vector<std::string> domain_labels_;
  std::vector<IpAddress> addresses_;
  std::unordered_map<std::string, ServicePtr> services_;
  std::map<std::string, std::size_t, std::less<>> namespaces_;  // how many services each has
  std::unordered_map<IpAddress, std::set<std::string>> by_address_;
  std::uint32_t serial_ = 1;
};

}  // namespace gantry::dns

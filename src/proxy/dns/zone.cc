// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/zone.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/bytes.h"
#include "base/text.h"

namespace gantry::dns {
namespace {

constexpr char kSpecification[] = "1.1.0";
// How often who has a copy of the zone would look again; nobody has one. As CoreDNS says it.
constexpr std::uint32_t kRefresh = 7200, kRetry = 1800, kExpire = 86400;

bool is(std::string_view label, std::string_view word) { return label == word; }

std::string address_data(const IpAddress& address) {
  auto bytes = address.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Type type_of(const IpAddress& address) { return address.is_v4() ? Type::kA : Type::kAaaa; }

// "10-0-0-7", "fd00--7": what an endpoint without a hostname is called, as CoreDNS does.
std::string dashed(const IpAddress& address) {
  std::string text = address.to_string();
  std::ranges::replace(text, address.is_v4() ? '.' : ':', '-');
  return text;
}

std::optional<IpAddress> undashed(std::string_view label) {
  std::string text(label);
  const bool is_v4 = std::ranges::count(text, '-') == 3 && !label.contains("--");
  std::ranges::replace(text, '-', is_v4 ? '.' : ':');
  auto address = IpAddress::parse(text);
  if (!address && is_v4) {
    text = label;
    std::ranges::replace(text, '-', ':');
    address = IpAddress::parse(text);
  }
  return address ? std::optional(*address) : std::nullopt;
}

// "7.0.0.10.in-addr.arpa", "7.0...0.d.f.ip6.arpa"; labels in lower case.
std::optional<IpAddress> reversed(const std::vector<std::string_view>& labels) {
  const std::size_t count = labels.size();
  if (count < 2 || !is(labels[count - 1], "arpa")) return std::nullopt;
  std::uint8_t bytes[16] = {};
  if (count == 6 && is(labels[4], "in-addr")) {
    for (std::size_t i = 0; i < 4; ++i) {
      const std::string_view label = labels[3 - i];
      auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), bytes[i]);
      if (error != std::errc() || end != label.data() + label.size()) return std::nullopt;
    }
    return *IpAddress::from_bytes(std::span(bytes, 4));
  }
  if (count == 34 && is(labels[32], "ip6")) {
    for (std::size_t i = 0; i < 32; ++i) {
      const std::string_view label = labels[31 - i];
      std::uint8_t digit = 0;
      auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), digit, 16);
      if (error != std::errc() || label.size() != 1) return std::nullopt;
      bytes[i / 2] = static_cast<std::uint8_t>(bytes[i / 2] << 4 | digit);
    }
    return *IpAddress::from_bytes(std::span(bytes, 16));
  }
  return std::nullopt;
}

std::string endpoint_label(const ServiceRecord::Endpoint& endpoint) {
  return endpoint.hostname.empty() ? dashed(endpoint.address) : lowered(endpoint.hostname);
}

void put_label(std::string& name, std::string_view label) {
  label = label.substr(0, kMaxLabel);
  name.push_back(static_cast<char>(label.size()));
  name += label;
}

// "_http", "_tcp" of a question for a port; without them, all ports.
struct PortChoice {
  std::string_view port, protocol;
  bool takes(const ServicePort& other) const {
    return protocol.empty() || ((port.empty() || port == lowered(other.name)) && protocol == other.protocol);
  }
};

template <typename T>
void rotate_by(std::vector<T>& list, std::uint32_t turn) {
  if (list.size() > 1) std::ranges::rotate(list, list.begin() + static_cast<std::ptrdiff_t>(turn % list.size()));
}

void write_ports(ByteWriter& out, const std::vector<ServicePort>& ports) {
  out.integer(static_cast<std::uint32_t>(ports.size()));
  for (const ServicePort& port : ports) {
    out.string(port.name);
    out.string(port.protocol);
    out.integer(port.port);
  }
}
void write_address(ByteWriter& out, const IpAddress& address) { out.string(address_data(address)); }

// A count of things of `least` bytes each, which the rest must be able to hold.
std::uint32_t read_count(ByteReader& in, std::size_t least) {
  const auto count = in.integer<std::uint32_t>();
  return in.rest().size() / least < count ? ~0U : count;
}
bool read_ports(ByteReader& in, std::vector<ServicePort>* ports) {
  const std::uint32_t count = read_count(in, 10);
  if (count == ~0U) return false;
  ports->reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    ServicePort port;
    port.name = in.string();
    port.protocol = in.string();
    port.port = in.integer<std::uint16_t>();
    ports->push_back(std::move(port));
  }
  return in.ok();
}
bool read_address(ByteReader& in, IpAddress* address) {
  const std::string_view bytes = in.string();
  auto read = IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  if (read) *address = *read;
  return in.ok() && read.has_value();
}

}  // namespace

std::string encode(const ServiceRecord& record) {
  ByteWriter out;
  out.string(record.ns);
  out.string(record.name);
  out.integer(record.kind);
  out.string(record.external_name);
  out.integer(static_cast<std::uint32_t>(record.addresses.size()));
  for (const IpAddress& address : record.addresses) write_address(out, address);
  write_ports(out, record.ports);
  out.integer(static_cast<std::uint32_t>(record.endpoint_ports.size()));
  for (const auto& ports : record.endpoint_ports) write_ports(out, ports);
  out.integer(static_cast<std::uint32_t>(record.endpoints.size()));
  for (const auto& endpoint : record.endpoints) {
    write_address(out, endpoint.address);
    out.string(endpoint.hostname);
    out.integer(endpoint.ports);
  }
  return std::move(out).take();
}

Result<ServiceRecord> decode_service(std::string_view bytes) {
  constexpr char kNone[] = "no record of a service";
  ByteReader in(bytes);
  ServiceRecord record;
  record.ns = in.string();
  record.name = in.string();
  record.kind = in.integer<ServiceRecord::Kind>();
  record.external_name = in.string();
  if (record.kind > ServiceRecord::Kind::kExternal) return invalid_argument(kNone);
  std::uint32_t count = read_count(in, 8);
  if (count == ~0U) return invalid_argument(kNone);
  record.addresses.resize(count);
  for (IpAddress& address : record.addresses) {
    if (!read_address(in, &address)) return invalid_argument(kNone);
  }
  if (!read_ports(in, &record.ports)) return invalid_argument(kNone);
  if (count = read_count(in, 4); count == ~0U) return invalid_argument(kNone);
  record.endpoint_ports.resize(count);
  for (auto& ports : record.endpoint_ports) {
    if (!read_ports(in, &ports)) return invalid_argument(kNone);
  }
  if (count = read_count(in, 14); count == ~0U) return invalid_argument(kNone);
  record.endpoints.resize(count);
  for (auto& endpoint : record.endpoints) {
    if (!read_address(in, &endpoint.address)) return invalid_argument(kNone);
    endpoint.hostname = in.string();
    endpoint.ports = in.integer<std::uint16_t>();
    if (!in.ok() || endpoint.ports >= record.endpoint_ports.size()) return invalid_argument(kNone);
  }
  if (!in.at_end()) return invalid_argument(kNone);
  return record;
}

std::optional<Zone> Zone::make(std::string_view domain) {
  auto name = name_of(lowered(domain));
  if (!name) return std::nullopt;
  Zone zone;
  zone.domain_ = std::move(*name);
  for (std::string_view label : labels_of(zone.domain_)) zone.domain_labels_.emplace_back(label);
  return zone;
}

void Zone::index(const ServiceRecord& service, const std::string& key, bool add) {
  auto each = [&](const IpAddress& address) {
    if (add) {
      by_address_[address].insert(key);
    } else if (auto found = by_address_.find(address); found != by_address_.end()) {
      found->second.erase(key);
      if (found->second.empty()) by_address_.erase(found);
    }
  };
  for (const IpAddress& address : service.addresses) each(address);
  for (const auto& endpoint : service.endpoints) each(endpoint.address);
}

void Zone::put(ServiceRecord record) {
  std::string key = record.key();
  remove(key);
  ++namespaces_[record.ns];
  index(record, key, true);
  services_.insert_or_assign(std::move(key), std::make_shared<const ServiceRecord>(std::move(record)));
}

void Zone::remove(const std::string& key) {
  ++serial_;
  auto found = services_.extract(key);
  if (found.empty()) return;
  const ServiceRecord& service = *found.mapped();
  index(service, key, false);
  auto ns = namespaces_.find(service.ns);
  if (ns != namespaces_.end() && --ns->second == 0) namespaces_.erase(ns);
}

Record Zone::soa() const {
  std::string data;
  put_label(data, "ns");
  put_label(data, "dns");
  data += domain_;
  put_label(data, "hostmaster");
  data += domain_;
  for (std::uint32_t value : {serial_, kRefresh, kRetry, kExpire, kTtl}) {
    for (int shift = 24; shift >= 0; shift -= 8) data.push_back(static_cast<char>(value >> shift & 0xff));
  }
  return {domain_, Type::kSoa, kTtl, std::move(data)};
}

ZoneAnswer Zone::nothing(Rcode rcode) const {
  ZoneAnswer answer;
  answer.rcode = rcode;
  answer.authorities.push_back(soa());
  return answer;
}

std::string Zone::service_name(const ServiceRecord& service) const {
  std::string name;
  put_label(name, service.name);
  put_label(name, service.ns);
  put_label(name, "svc");
  return name + domain_;
}

ZoneAnswer Zone::answer(const Question& question, std::uint32_t turn) const {
  const std::string name = lowered_name(question.name);
  Labels labels = labels_of(name);
  const std::size_t above = domain_labels_.size();
  if (labels.size() >= above &&
      std::equal(domain_labels_.begin(), domain_labels_.end(), labels.end() - static_cast<std::ptrdiff_t>(above))) {
    labels.resize(labels.size() - above);
    return answer_here(labels, question, turn);
  }
  if (auto address = reversed(labels)) return answer_reverse(*address, question);
  ZoneAnswer others;
  others.is_ours = false;
  return others;
}

ZoneAnswer Zone::answer_here(const Labels& labels, const Question& question, std::uint32_t turn) const {
  if (labels.empty()) {
    ZoneAnswer answer;
    if (question.type == Type::kSoa) {
      answer.answers.push_back(soa());
    } else if (question.type == Type::kNs) {
      std::string data;
      put_label(data, "ns");
      put_label(data, "dns");
      answer.answers.push_back({question.name, Type::kNs, kTtl, data + domain_});
    } else {
      answer = nothing(Rcode::kNoError);
    }
    return answer;
  }
  const std::string_view top = labels.back();
  if (is(top, "svc")) return answer_service(labels, question, turn);
  if (is(top, "pod")) return answer_pod(labels, question);
  if (is(top, "dns-version") && labels.size() == 1) {
    if (question.type != Type::kTxt) return nothing(Rcode::kNoError);
    ZoneAnswer answer;
    answer.answers.push_back({question.name, Type::kTxt, kTtl, text_data(kSpecification)});
    return answer;
  }
  if (is(top, "dns")) {
    if (labels.size() == 1) return nothing(Rcode::kNoError);
    if (labels.size() == 2 && is(labels[0], "ns")) {
      std::vector<const IpAddress*> addresses;
      for (const IpAddress& address : addresses_) addresses.push_back(&address);
      return answer_addresses(addresses, question, 0);
    }
  }
  return nothing(Rcode::kNameError);
}

ZoneAnswer Zone::answer_service(const Labels& labels, const Question& question, std::uint32_t turn) const {
  std::size_t left = labels.size() - 1;
  if (left == 0) return nothing(Rcode::kNoError);
  const std::string_view ns = labels[--left];
  if (!namespaces_.contains(ns)) return nothing(Rcode::kNameError);
  if (left == 0) return nothing(Rcode::kNoError);
  const std::string_view name = labels[--left];
  auto found = services_.find(std::string(ns).append("/").append(name));
  if (found == services_.end() || left > 2) return nothing(Rcode::kNameError);
  const ServiceRecord& service = *found->second;

  PortChoice choice;
  std::string_view host;
  if (left > 0 && labels[left - 1].starts_with('_')) {
    choice.protocol = labels[left - 1].substr(1);
    if (left == 2) {
      if (!labels[0].starts_with('_')) return nothing(Rcode::kNameError);
      choice.port = labels[0].substr(1);
    }
  } else if (left == 1) {
    host = labels[0];
  } else if (left == 2) {
    return nothing(Rcode::kNameError);
  }

  if (service.kind == ServiceRecord::Kind::kExternal) {
    auto target = name_of(service.external_name);
    if (!host.empty() || !choice.protocol.empty() || !target) return nothing(Rcode::kNameError);
    ZoneAnswer answer;
    answer.answers.push_back({question.name, Type::kCname, kTtl, *target});
    if (question.type != Type::kCname) answer.follow = std::move(*target);
    return answer;
  }

  std::vector<Hit> hits;
  const std::string own_name = service_name(service);
  if (service.kind == ServiceRecord::Kind::kHeadless || !host.empty()) {
    for (const auto& endpoint : service.endpoints) {
      const std::string label = endpoint_label(endpoint);
      if (!host.empty() && host != label) continue;
      std::string target;
      put_label(target, label);
      target += own_name;
      const auto& ports = service.endpoint_ports[endpoint.ports];
      // Without ports it has an address all the same.
      if (ports.empty() && choice.protocol.empty()) hits.push_back({&endpoint.address, target, 0});
      for (const ServicePort& port : ports) {
        if (choice.takes(port)) hits.push_back({&endpoint.address, target, port.port});
      }
    }
  } else {
    for (const IpAddress& address : service.addresses) {
      if (service.ports.empty() && choice.protocol.empty()) hits.push_back({&address, own_name, 0});
      for (const ServicePort& port : service.ports) {
        if (choice.takes(port)) hits.push_back({&address, own_name, port.port});
      }
    }
  }
  if (hits.empty()) return nothing(Rcode::kNameError);
  if (question.type == Type::kSrv) return answer_ports(hits, question, turn);
  std::vector<const IpAddress*> addresses;
  for (const Hit& hit : hits) addresses.push_back(hit.address);
  return answer_addresses(addresses, question, turn);
}

ZoneAnswer Zone::answer_addresses(const std::vector<const IpAddress*>& addresses, const Question& question,
                                  std::uint32_t turn) const {
  ZoneAnswer answer;
  std::set<IpAddress> seen;
  for (const IpAddress* address : addresses) {
    if (type_of(*address) != question.type || !seen.insert(*address).second) continue;
    answer.answers.push_back({question.name, question.type, kTtl, address_data(*address)});
  }
  if (answer.answers.empty()) return nothing(Rcode::kNoError);
  rotate_by(answer.answers, turn);
  return answer;
}

ZoneAnswer Zone::answer_ports(const std::vector<Hit>& hits, const Question& question, std::uint32_t turn) const {
  ZoneAnswer answer;
  std::set<std::pair<std::string, std::uint16_t>> seen;
  std::set<std::pair<std::string, IpAddress>> told;
  std::vector<std::pair<std::string_view, std::uint16_t>> targets;
  for (const Hit& hit : hits) {
    if (hit.port != 0 && seen.insert({hit.target, hit.port}).second) targets.emplace_back(hit.target, hit.port);
  }
  if (targets.empty()) return nothing(Rcode::kNoError);
  const auto weight = static_cast<std::uint16_t>(std::max<std::size_t>(100 / targets.size(), 1));
  for (const auto& [target, port] : targets) {
    answer.answers.push_back({question.name, Type::kSrv, kTtl, service_data(0, weight, port, target)});
  }
  rotate_by(answer.answers, turn);
  for (const Hit& hit : hits) {
    if (!told.insert({hit.target, *hit.address}).second) continue;
    answer.additionals.push_back({hit.target, type_of(*hit.address), kTtl, address_data(*hit.address)});
  }
  return answer;
}

ZoneAnswer Zone::answer_pod(const Labels& labels, const Question& question) const {
  if (labels.size() <= 2) return nothing(Rcode::kNoError);
  auto address = labels.size() == 3 ? undashed(labels[0]) : std::nullopt;
  if (!address) return nothing(Rcode::kNameError);
  return answer_addresses({&*address}, question, 0);
}

ZoneAnswer Zone::answer_reverse(const IpAddress& address, const Question& question) const {
  ZoneAnswer answer;
  auto found = by_address_.find(address);
  if (found == by_address_.end()) {
    answer.is_ours = false;
    return answer;
  }
  std::set<std::string> hostnames, others;
  for (const std::string& key : found->second) {
    const ServiceRecord& service = *services_.at(key);
    if (std::ranges::find(service.addresses, address) != service.addresses.end()) {
      hostnames = {service_name(service)};
      break;
    }
    for (const auto& endpoint : service.endpoints) {
      if (endpoint.address != address) continue;
      std::string name;
      put_label(name, endpoint_label(endpoint));
      name += service_name(service);
      if (!endpoint.hostname.empty()) {
        hostnames.insert(std::move(name));
      } else if (service.kind == ServiceRecord::Kind::kHeadless) {
        others.insert(std::move(name));
      }
    }
  }
  // One that was named counts more than one that only has its address for a name.
  for (const std::string& name : hostnames.empty() ? others : hostnames) {
    answer.answers.push_back({question.name, Type::kPtr, kTtl, name});
  }
  if (answer.answers.empty()) {
    answer.is_ours = false;
  } else if (question.type != Type::kPtr) {
    answer.answers.clear();
  }
  return answer;
}

}  // namespace gantry::dns

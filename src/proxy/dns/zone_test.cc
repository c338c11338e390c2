// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/zone.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gantry::dns {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

class ZoneTest : public testing::Test {
 protected:
  ZoneTest() {
    ServiceRecord web;
    web.ns = "default", web.name = "web";
    web.addresses = {ip("10.96.0.20"), ip("fd00::20")};
    web.ports = {{"http", "tcp", 80}, {"dns", "udp", 53}};
    web.endpoint_ports = {{{"http", "tcp", 8080}}};
    web.endpoints = {{ip("10.88.0.9"), "", 0}};
    zone.put(web);
    ServiceRecord db;
    db.ns = "default", db.name = "db", db.kind = ServiceRecord::Kind::kHeadless;
    db.endpoint_ports = {{{"sql", "tcp", 5432}}};
    db.endpoints = {{ip("10.88.0.7"), "db-0", 0}, {ip("10.88.0.8"), "db-1", 0}, {ip("10.88.0.10"), "", 0}};
    zone.put(db);
    ServiceRecord out;
    out.ns = "other", out.name = "out", out.kind = ServiceRecord::Kind::kExternal, out.external_name = "Example.org";
    zone.put(out);
    ServiceRecord empty;
    empty.ns = "other", empty.name = "empty", empty.kind = ServiceRecord::Kind::kHeadless;
    zone.put(empty);
    zone.set_addresses({ip("10.96.0.10")});
  }

  ZoneAnswer ask(const std::string& name, Type type = Type::kA, std::uint32_t turn = 0) {
    return zone.answer({*name_of(name), type, kClassIn}, turn);
  }
  // "NXDOMAIN", "NODATA", "not ours", or what the answers say.
  std::vector<std::string> say(const std::string& name, Type type = Type::kA, std::uint32_t turn = 0) {
    const ZoneAnswer answer = ask(name, type, turn);
    if (!answer.is_ours) return {"not ours"};
    if (answer.rcode == Rcode::kNameError) {
      EXPECT_THAT(answer.authorities, SizeIs(1));
      return {"NXDOMAIN"};
    }
    if (answer.answers.empty()) return {"NODATA"};
    std::vector<std::string> said;
    for (const Record& record : answer.answers) {
      EXPECT_EQ(record.name, *name_of(name));
      switch (record.type) {
        case Type::kA:
        case Type::kAaaa:
          said.push_back(
              IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(record.data.data()), record.data.size()})
                  ->to_string());
          break;
        case Type::kSrv: {
          auto byte = [&](std::size_t at) { return static_cast<unsigned char>(record.data[at]); };
          said.push_back(std::to_string(byte(4) << 8 | byte(5)) + " " + text_of(record.data.substr(6)));
          break;
        }
        case Type::kTxt: said.push_back(record.data.substr(1)); break;
        default: said.push_back(text_of(record.data)); break;
      }
    }
    return said;
  }

  Zone zone = *Zone::make("Cluster.Local");
};

TEST_F(ZoneTest, Services) {
  EXPECT_THAT(say("web.default.svc.cluster.local"), ElementsAre("10.96.0.20"));
  EXPECT_THAT(say("WEB.Default.SVC.cluster.LOCAL"), ElementsAre("10.96.0.20"));
  EXPECT_THAT(say("web.default.svc.cluster.local", Type::kAaaa), ElementsAre("fd00::20"));
  EXPECT_THAT(say("web.default.svc.cluster.local", Type::kMx), ElementsAre("NODATA"));
  EXPECT_THAT(say("none.default.svc.cluster.local"), ElementsAre("NXDOMAIN"));
  EXPECT_THAT(say("web.none.svc.cluster.local"), ElementsAre("NXDOMAIN"));
  EXPECT_THAT(say("a.b.web.default.svc.cluster.local"), ElementsAre("NXDOMAIN"));
  EXPECT_THAT(say("default.svc.cluster.local"), ElementsAre("NODATA"));
  EXPECT_THAT(say("svc.cluster.local"), ElementsAre("NODATA"));
  EXPECT_THAT(say("none.cluster.local"), ElementsAre("NXDOMAIN"));
  EXPECT_THAT(say("example.org"), ElementsAre("not ours"));
  EXPECT_THAT(say("notcluster.local"), ElementsAre("not ours"));
  // What the search path of a pod makes of a name outside.
  EXPECT_THAT(say("example.org.default.svc.cluster.local"), ElementsAre("NXDOMAIN"));
  EXPECT_THAT(say("example.org.svc.cluster.local"), ElementsAre("NXDOMAIN"));
  EXPECT_THAT(say("example.org.cluster.local"), ElementsAre("NXDOMAIN"));
}

TEST_F(ZoneTest, HeadlessServicesAndTheirEndpoints) {
  EXPECT_THAT(say("db.default.svc.cluster.local"), UnorderedElementsAre("10.88.0.7", "10.88.0.8", "10.88.0.10"));
  EXPECT_THAT(say("db.default.svc.cluster.local", Type::kAaaa), ElementsAre("NODATA"));
  EXPECT_THAT(say("db-0.db.default.svc.cluster.local"), ElementsAre("10.88.0.7"));
  EXPECT_THAT(say("10-88-0-10.db.default.svc.cluster.local"), ElementsAre("10.88.0.10"));
  EXPECT_THAT(say("10-88-0-7.db.default.svc.cluster.local"), ElementsAre("NXDOMAIN"));
  EXPECT_THAT(say("10-88-0-9.web.default.svc.cluster.local"), ElementsAre("10.88.0.9"));
  EXPECT_THAT(say("db-9.db.default.svc.cluster.local"), ElementsAre("NXDOMAIN"));
  EXPECT_THAT(say("empty.other.svc.cluster.local"), ElementsAre("NXDOMAIN"));
}

TEST_F(ZoneTest, EachIsTheFirstInTurn) {
  std::set<std::string> firsts;
  for (std::uint32_t turn = 0; turn < 3; ++turn) firsts.insert(say("db.default.svc.cluster.local", Type::kA, turn)[0]);
  EXPECT_THAT(firsts, SizeIs(3));
}

TEST_F(ZoneTest, Ports) {
  EXPECT_THAT(say("_http._tcp.web.default.svc.cluster.local", Type::kSrv),
              ElementsAre("80 web.default.svc.cluster.local."));
  EXPECT_THAT(say("_dns._udp.web.default.svc.cluster.local", Type::kSrv),
              ElementsAre("53 web.default.svc.cluster.local."));
  EXPECT_THAT(say("_dns._tcp.web.default.svc.cluster.local", Type::kSrv), ElementsAre("NXDOMAIN"));
  EXPECT_THAT(say("_http._tcp.web.default.svc.cluster.local"), ElementsAre("10.96.0.20"));
  EXPECT_THAT(say("_tcp.web.default.svc.cluster.local", Type::kTxt), ElementsAre("NODATA"));
  EXPECT_THAT(say("_sql._tcp.db.default.svc.cluster.local", Type::kSrv),
              UnorderedElementsAre("5432 db-0.db.default.svc.cluster.local.", "5432 db-1.db.default.svc.cluster.local.",
                                   "5432 10-88-0-10.db.default.svc.cluster.local."));
  const ZoneAnswer answer = ask("_sql._tcp.db.default.svc.cluster.local", Type::kSrv);
  EXPECT_THAT(answer.additionals, SizeIs(3));
}

TEST_F(ZoneTest, OutsideNames) {
  EXPECT_THAT(say("out.other.svc.cluster.local"), ElementsAre("Example.org."));
  EXPECT_EQ(ask("out.other.svc.cluster.local").follow, *name_of("Example.org"));
  EXPECT_EQ(ask("out.other.svc.cluster.local", Type::kCname).follow, "");
  EXPECT_THAT(say("a.out.other.svc.cluster.local"), ElementsAre("NXDOMAIN"));
}

TEST_F(ZoneTest, NamesOfAddresses) {
  EXPECT_THAT(say("20.0.96.10.in-addr.arpa", Type::kPtr), ElementsAre("web.default.svc.cluster.local."));
  EXPECT_THAT(say("20.0.96.10.IN-ADDR.arpa"), ElementsAre("NODATA"));
  EXPECT_THAT(say("7.0.88.10.in-addr.arpa", Type::kPtr), ElementsAre("db-0.db.default.svc.cluster.local."));
  EXPECT_THAT(say("10.0.88.10.in-addr.arpa", Type::kPtr), ElementsAre("10-88-0-10.db.default.svc.cluster.local."));
  EXPECT_THAT(say("9.0.88.10.in-addr.arpa", Type::kPtr), ElementsAre("not ours"));
  EXPECT_THAT(say("1.1.1.1.in-addr.arpa", Type::kPtr), ElementsAre("not ours"));
  EXPECT_THAT(say("256.1.1.1.in-addr.arpa", Type::kPtr), ElementsAre("not ours"));
  EXPECT_THAT(say("0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", Type::kPtr),
              ElementsAre("web.default.svc.cluster.local."));
}

TEST_F(ZoneTest, PodsAndTheRest) {
  EXPECT_THAT(say("10-88-0-3.default.pod.cluster.local"), ElementsAre("10.88.0.3"));
  EXPECT_THAT(say("fd00--3.default.pod.cluster.local", Type::kAaaa), ElementsAre("fd00::3"));
  EXPECT_THAT(say("10-88-0-3.default.pod.cluster.local", Type::kAaaa), ElementsAre("NODATA"));
  EXPECT_THAT(say("10-88-0-300.default.pod.cluster.local"), ElementsAre("NXDOMAIN"));
  EXPECT_THAT(say("web.default.pod.cluster.local"), ElementsAre("NXDOMAIN"));
  EXPECT_THAT(say("dns-version.cluster.local", Type::kTxt), ElementsAre("1.1.0"));
  EXPECT_THAT(say("dns-version.cluster.local"), ElementsAre("NODATA"));
  EXPECT_THAT(say("ns.dns.cluster.local"), ElementsAre("10.96.0.10"));
  EXPECT_THAT(say("cluster.local", Type::kNs), ElementsAre("ns.dns.cluster.local."));
  EXPECT_THAT(ask("cluster.local", Type::kSoa).answers, SizeIs(1));
  EXPECT_THAT(say("cluster.local"), ElementsAre("NODATA"));
}

TEST_F(ZoneTest, ChangesAndEnds) {
  ServiceRecord web;
  web.ns = "default", web.name = "web";
  web.addresses = {ip("10.96.0.21")};
  zone.put(web);
  EXPECT_THAT(say("web.default.svc.cluster.local"), ElementsAre("10.96.0.21"));
  EXPECT_THAT(say("20.0.96.10.in-addr.arpa", Type::kPtr), ElementsAre("not ours"));
  zone.remove("default/web");
  zone.remove("default/web");
  zone.remove("default/db");
  EXPECT_THAT(say("default.svc.cluster.local"), ElementsAre("NXDOMAIN"));
  EXPECT_EQ(zone.size(), 2U);
}

TEST_F(ZoneTest, RecordsAreReadAsTheyAreWritten) {
  ServiceRecord db;
  db.ns = "default", db.name = "db", db.kind = ServiceRecord::Kind::kHeadless;
  db.ports = {{"sql", "tcp", 5432}};
  db.endpoint_ports = {{{"sql", "tcp", 5432}}, {}};
  db.endpoints = {{ip("10.88.0.7"), "db-0", 0}, {ip("fd00::1"), "", 1}};
  const std::string bytes = encode(db);
  EXPECT_EQ(*decode_service(bytes), db);
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decode_service(bytes.substr(0, size)));
  EXPECT_FALSE(decode_service(bytes + "x"));
}

}  // namespace
}  // namespace gantry::dns

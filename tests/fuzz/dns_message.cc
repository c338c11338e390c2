// SPDX-License-Identifier: Apache-2.0
// What strangers send to a node's DNS: a query, an answer of another server to one, and a record of the feed. The first
// byte says which.
#include "proxy/dns/message.h"
#include "proxy/dns/zone.h"
#include "tests/fuzz/fuzz.h"

namespace dns = gantry::dns;
using gantry::fuzz::expect;

namespace {

void check_query(std::string_view bytes) {
  const dns::Received received = dns::read_query(bytes);
  if (received.silent) return;
  const dns::Query& query = received.query;
  static const dns::Zone zone = [] {
    auto made = dns::Zone::make("cluster.local");
    dns::ServiceRecord web;
    web.ns = "default", web.name = "web", web.kind = dns::ServiceRecord::Kind::kHeadless;
    web.endpoint_ports = {{{"http", "tcp", 80}}};
    for (const char* text : {"10.88.0.1", "10.88.0.2", "fd00::1"}) {
      web.endpoints.push_back({*gantry::netns::IpAddress::parse(text), "", 0});
    }
    made->put(std::move(web));
    return std::move(*made);
  }();
  dns::AnswerWriter writer(query, dns::kMinUdp);
  writer.set_rcode(received.problem);
  if (received.problem == dns::Rcode::kNoError) {
    expect(query.question.name.size() <= dns::kMaxName && query.question.name.back() == '\0', "a name is whole");
    const dns::ZoneAnswer answer = zone.answer(query.question, 1);
    writer.set_rcode(answer.rcode);
    for (const auto& record : answer.answers) writer.answer(record);
    for (const auto& record : answer.authorities) writer.authority(record);
    for (const auto& record : answer.additionals) writer.additional(record);
  }
  const bool is_cut = writer.is_truncated();
  const std::string said = std::move(writer).finish();
  expect(said.size() <= dns::kMinUdp, "an answer fits the asker");
  if (received.problem != dns::Rcode::kNoError) return;
  const dns::Reply reply = dns::read_reply(said, query.id, query.question);
  expect(reply.kind == (is_cut ? dns::Reply::Kind::kTruncated : dns::Reply::Kind::kWhole), "our answers can be read");
}

void check_reply(std::string_view bytes) {
  auto half = [&](std::size_t at) {
    auto byte = [&](std::size_t where) { return static_cast<unsigned char>(bytes[where]); };
    return static_cast<std::uint16_t>(byte(at) << 8 | byte(at + 1));
  };
  if (bytes.size() < 2) return;
  const std::uint16_t id = half(0);
  std::size_t end = 0;
  auto name = dns::read_name(bytes, dns::kHeaderSize, &end);
  if (!name || end + 4 > bytes.size()) return;
  dns::Query query;
  query.id = id;
  query.question = {*name, static_cast<dns::Type>(half(end)), half(end + 2)};
  const dns::Reply reply = dns::read_reply(bytes, id, query.question);
  if (reply.kind != dns::Reply::Kind::kWhole) return;
  query.has_edns = true;
  for (std::size_t limit : {dns::kMinUdp, dns::kMaxMessage}) {
    const std::string again = dns::answer_from(reply.kept, 3, query, limit);
    expect(again.size() <= limit, "what was kept fits the asker");
    const dns::Reply second = dns::read_reply(again, id, query.question);
    expect(second.kind == dns::Reply::Kind::kWhole || second.kind == dns::Reply::Kind::kTruncated,
           "what was kept can be read");
    const dns::Record prefix{query.question.name, dns::Type::kCname, 5, *dns::name_of("a.example")};
    expect(dns::answer_behind({prefix}, reply.kept, 3, query, limit).size() <= limit, "behind another name it fits");
  }
}

void check_record(std::string_view bytes) {
  auto record = dns::decode_service(bytes);
  if (!record) return gantry::fuzz::expect_sentence(record.error());
  expect(dns::encode(*record) == bytes, "a record is written as it was read");
  auto zone = dns::Zone::make("cluster.local");
  zone->put(*record);
  (void)zone->answer({*dns::name_of("a.b.svc.cluster.local"), dns::Type::kA, dns::kClassIn}, 0);
  zone->remove(record->key());
  expect(zone->size() == 0, "what was put is removed");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  std::string_view rest = gantry::fuzz::text_of(bytes + 1, size - 1);
  constexpr void (*kChecks[])(std::string_view) = {check_query, check_reply, check_record};
  kChecks[bytes[0] % std::size(kChecks)](rest);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace gantry::dns {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size();) {
    if (hex[i] == ' ') {
      ++i;
      continue;
    }
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
    i += 2;
  }
  return bytes;
}

// What dig of Debian's bind9-dnsutils 9.18 sends for WwW.example.org A, with EDNS and a cookie.
constexpr char kDig[] =
    "b5a0 0120 0001 0000 0000 0001 03577757 07657861 6d706c65 036f7267 00 0001 0001"
    "00 0029 04d0 00000000 000c 000a 0008 5a1cb3dbe0c83f0a";
// An answer to www.example.org A: a CNAME and an address, both compressed, and an OPT record.
constexpr char kAnswer[] =
    "b5a0 8180 0001 0002 0000 0001 03777777 07657861 6d706c65 036f7267 00 0001 0001"
    "c00c 0005 0001 0000012c 0007 04686f7374 c010"
    "c02d 0001 0001 0000003c 0004 c0000201"
    "00 0029 04d0 00000000 0000";
// No such name: SOA, 3600 and 300.
constexpr char kNegative[] =
    "0007 8183 0001 0000 0001 0000 046e6f6e65 036f7267 00 0001 0001"
    "c011 0006 0001 00000e10 001a 01 61 00 01 62 00 00000001 00000002 00000003 00000004 0000012c";

Question question_of(const char* name, Type type = Type::kA) { return {*name_of(name), type, kClassIn}; }

TEST(NameTest, TextAndWire) {
  EXPECT_EQ(name_of("web.a."), "\3web\1a\0"s);
  EXPECT_EQ(name_of("."), "\0"s);
  EXPECT_EQ(name_of(""), std::nullopt);
  EXPECT_EQ(name_of("a..b"), std::nullopt);
  EXPECT_EQ(name_of(std::string(64, 'a')), std::nullopt);
  EXPECT_NE(name_of(std::string(63, 'a')), std::nullopt);
  std::string longest;
  for (int i = 0; i < 127; ++i) longest += "a.";
  EXPECT_EQ(name_of(longest)->size(), 255U);
  EXPECT_EQ(name_of(longest + "a"), std::nullopt);
  EXPECT_EQ(text_of("\3w.b\1\n\0"s), "w\\046b.\\010.");
  EXPECT_THAT(labels_of("\3web\1a\0"s), ElementsAre("web", "a"));
  EXPECT_TRUE(is_same_name("\3WEB\0"s, "\3web\0"s));
}

TEST(NameTest, PointersLeadBackwardsOnly) {
  std::size_t end = 0;
  const std::string message = std::string(12, '\0') + "\1a\0\1b\xc0\x0c"s;
  EXPECT_EQ(read_name(message, 15, &end), "\1b\1a\0"s);
  EXPECT_EQ(end, 19U);
  EXPECT_EQ(read_name("\xc0\x00"s, 0, &end), std::nullopt);
  EXPECT_EQ(read_name("\1a\xc0\x00"s, 0, &end), std::nullopt);
  EXPECT_EQ(read_name("\1a\xc0"s, 0, &end), std::nullopt);
  EXPECT_EQ(read_name("\5ab"s, 0, &end), std::nullopt);
  EXPECT_EQ(read_name("\x80" + std::string(200, 'a'), 0, &end), std::nullopt);
  // Labels of 63 that each point to the one before.
  std::string chain;
  std::size_t before = 0;
  for (int i = 0; i < 6; ++i) {
    const std::size_t here = chain.size();
    chain += '\x3f' + std::string(63, 'a');
    if (i == 0) {
      chain += '\0';
    } else {
      chain += static_cast<char>(0xc0 | before >> 8);
      chain += static_cast<char>(before & 0xff);
    }
    before = here;
  }
  EXPECT_EQ(read_name(chain, before, &end), std::nullopt);
}

TEST(QueryTest, OfDig) {
  const Received received = read_query(bytes_of(kDig));
  EXPECT_FALSE(received.silent);
  EXPECT_EQ(received.problem, Rcode::kNoError);
  EXPECT_EQ(received.query.id, 0xb5a0);
  EXPECT_EQ(text_of(received.query.question.name), "WwW.example.org.");
  EXPECT_EQ(received.query.question.type, Type::kA);
  EXPECT_TRUE(received.query.has_edns);
  EXPECT_FALSE(received.query.wants_dnssec);
  EXPECT_EQ(received.query.udp_size, 1232);
  EXPECT_TRUE(received.query.wants(kRecursionDesired));
}

TEST(QueryTest, WhatIsNoneIsSaidOrIgnored) {
  std::string dig = bytes_of(kDig);
  for (std::size_t size = 0; size < dig.size(); ++size) {
    const Received cut = read_query(std::string_view(dig).substr(0, size));
    EXPECT_EQ(cut.silent, size < kHeaderSize);
    if (!cut.silent) EXPECT_EQ(cut.problem, Rcode::kFormatError) << size;
  }
  dig[2] = '\x81';  // an answer
  EXPECT_TRUE(read_query(dig).silent);
  dig[2] = '\x28';  // an update
  EXPECT_EQ(read_query(dig).problem, Rcode::kNotImplemented);
  dig = bytes_of(kDig);
  dig[5] = 2;
  EXPECT_EQ(read_query(dig).problem, Rcode::kFormatError);
  dig = bytes_of(kDig);
  dig[kHeaderSize] = '\xc0';
  EXPECT_EQ(read_query(dig).problem, Rcode::kFormatError);
  dig = bytes_of(kDig);
  dig[dig.size() - 17] = 1;  // the version
  EXPECT_TRUE(read_query(dig).bad_version);
}

TEST(AnswerTest, KeepsTheSpellingAndCompresses) {
  Query query = read_query(bytes_of(kDig)).query;
  AnswerWriter writer(query, kMaxUdp);
  writer.answer({*name_of("www.example.org"), Type::kCname, 5, *name_of("host.example.org")});
  writer.answer({*name_of("host.example.org"), Type::kA, 60, "\xc0\x00\x02\x01"s});
  const std::string answer = std::move(writer).finish();
  std::string expected = bytes_of(kAnswer);
  expected[kHeaderSize + 1] = 'W', expected[kHeaderSize + 3] = 'W';
  expected[kHeaderSize + 2] = 'w';
  expected[33 + 6 + 2 + 2] = 5, expected[33 + 6 + 2 + 1] = 0;
  EXPECT_EQ(answer.size(), expected.size());
  const Reply reply = read_reply(answer, query.id, query.question);
  ASSERT_EQ(reply.kind, Reply::Kind::kWhole);
  EXPECT_EQ(answer.substr(kHeaderSize, 17), query.question.name);
  EXPECT_EQ(reply.kept.ttl, 5U);
}

TEST(AnswerTest, IsCutWhereTheAskerTakesNoMore) {
  Query query;
  query.question = question_of("web.default.svc.cluster.local");
  for (bool edns : {false, true}) {
    query.has_edns = edns;
    AnswerWriter writer(query, kMinUdp);
    for (int i = 0; i < 100; ++i) writer.answer({query.question.name, Type::kA, 5, "\x0a\0\0\1"s});
    writer.additional({query.question.name, Type::kA, 5, "\x0a\0\0\1"s});
    EXPECT_TRUE(writer.is_truncated());
    const std::string answer = std::move(writer).finish();
    EXPECT_LE(answer.size(), kMinUdp);
    EXPECT_GT(answer.size(), kMinUdp - 32);
    EXPECT_EQ(read_reply(answer, 0, query.question).kind, Reply::Kind::kTruncated);
  }
}

TEST(AnswerTest, AThousandEndpointsFitAMessage) {
  Query query;
  query.question = question_of("web.default.svc.cluster.local");
  AnswerWriter writer(query, kMaxMessage);
  for (int i = 0; i < 1000; ++i) writer.answer({query.question.name, Type::kA, 5, "\x0a\0\0\1"s});
  EXPECT_FALSE(writer.is_truncated());
  EXPECT_EQ(read_reply(std::move(writer).finish(), 0, query.question).kept.ttl_offsets.size(), 1000U);
}

TEST(ReplyTest, OfAnotherServer) {
  const std::string bytes = bytes_of(kAnswer);
  const Question question = question_of("WWW.example.ORG");
  const Reply reply = read_reply(bytes, 0xb5a0, question);
  ASSERT_EQ(reply.kind, Reply::Kind::kWhole);
  EXPECT_EQ(reply.kept.ttl, 60U);
  EXPECT_EQ(reply.kept.bytes.size(), bytes.size() - 11);
  EXPECT_EQ(read_reply(bytes, 0xb5a1, question).kind, Reply::Kind::kStranger);
  EXPECT_EQ(read_reply(bytes, 0xb5a0, question_of("wwv.example.org")).kind, Reply::Kind::kStranger);
  EXPECT_EQ(read_reply(bytes, 0xb5a0, question_of("www.example.org", Type::kAaaa)).kind, Reply::Kind::kStranger);
  for (std::size_t size = 33; size < bytes.size(); ++size) {
    EXPECT_EQ(read_reply(bytes.substr(0, size), 0xb5a0, question).kind, Reply::Kind::kBroken) << size;
  }

  Query query;
  query.id = 7;
  query.question = question;
  query.has_edns = true;
  const std::string again = answer_from(reply.kept, 10, query, kMaxUdp);
  EXPECT_EQ(again.size(), bytes.size());
  const Reply second = read_reply(again, 7, question);
  ASSERT_EQ(second.kind, Reply::Kind::kWhole);
  EXPECT_EQ(second.kept.ttl, 50U);
  EXPECT_EQ(again.substr(kHeaderSize, question.name.size()), question.name);
  query.has_edns = false;
  EXPECT_EQ(answer_from(reply.kept, 0, query, kMaxUdp).size(), bytes.size() - 11);
  EXPECT_EQ(read_reply(answer_from(reply.kept, 100, query, kMaxUdp), 7, question).kept.ttl, 0U);
}

TEST(ReplyTest, WhatIsNotThereIsKeptAsTheZoneSays) {
  const Reply reply = read_reply(bytes_of(kNegative), 7, question_of("none.org"));
  ASSERT_EQ(reply.kind, Reply::Kind::kWhole);
  EXPECT_EQ(reply.rcode, Rcode::kNameError);
  EXPECT_EQ(reply.kept.ttl, 300U);
}

TEST(ReplyTest, BehindAnotherName) {
  const Reply reply = read_reply(bytes_of(kAnswer), 0xb5a0, question_of("www.example.org"));
  Query query;
  query.question = question_of("db.default.svc.cluster.local");
  const Record cname{query.question.name, Type::kCname, 5, *name_of("www.example.org")};
  const std::string answer = answer_behind({cname}, reply.kept, 10, query, kMaxUdp);
  const Reply whole = read_reply(answer, 0, query.question);
  ASSERT_EQ(whole.kind, Reply::Kind::kWhole);
  EXPECT_EQ(whole.kept.ttl_offsets.size(), 3U);
  EXPECT_EQ(whole.kept.ttl, 5U);
  EXPECT_EQ(answer.substr(answer.size() - 4), "\xc0\0\2\1"s);
}

TEST(ReplyTest, QueriesAreWrittenAsTheyAreRead) {
  const Question question = question_of("www.example.org");
  const Received received = read_query(write_query(9, question, true, true, true));
  EXPECT_EQ(received.problem, Rcode::kNoError);
  EXPECT_EQ(received.query.id, 9);
  EXPECT_TRUE(received.query.wants_dnssec);
  EXPECT_TRUE(received.query.wants(kCheckingDisabled));
  EXPECT_EQ(received.query.question.name, question.name);
  EXPECT_FALSE(read_query(write_query(9, question, false, false, false)).query.has_edns);
}

}  // namespace
}  // namespace gantry::dns

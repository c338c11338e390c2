// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "api/codec.h"
#include "api/json.h"
#include "api/kinds/metrics/kinds.h"
#include "kubernetes/metrics/v1/metrics.pb.h"

namespace gantry::api {
namespace {

using k8s::io::metrics::pkg::apis::metrics::v1::NodeMetrics;

constexpr char kDocument[] =
    R"({"kind":"NodeMetrics","apiVersion":"metrics.k8s.io/v1","metadata":{"name":"n1"},)"
    R"("timestamp":"2026-11-23T09:00:00Z","window":"1m0.25s","usage":{"cpu":"250m","memory":"2Ki"}})";

TEST(NodeMetricsKind, HasADurationInBothForms) {
  const Result<Value> document = parse_json(kDocument);
  NodeMetrics metrics;
  ASSERT_TRUE(decode(*document, &metrics));
  EXPECT_EQ(metrics.window().duration(), 60'250'000'000);
  std::string text;
  encode_json(metrics, &text);
  EXPECT_EQ(text, kDocument);
  EXPECT_EQ(write_json(encode(metrics)), kDocument);
  const Result<std::string> bytes = encode_protobuf(&metrics);
  ASSERT_TRUE(bytes);
  NodeMetrics again;
  ASSERT_TRUE(decode_protobuf(*bytes, &again));
  EXPECT_EQ(again.window().duration(), 60'250'000'000);
}

TEST(NodeMetricsKind, HasAWindowEvenWhenNothingIsSet) {
  NodeMetrics metrics;
  ASSERT_TRUE(normalize(&metrics));
  EXPECT_TRUE(metrics.window().has_duration()) << "as upstream writes what it holds by value";
  std::string text;
  encode_json(metrics, &text);
  EXPECT_EQ(text, R"({"kind":"NodeMetrics","apiVersion":"metrics.k8s.io/v1","metadata":{},"timestamp":null,)"
                  R"("window":"0s","usage":null})");
}

TEST(NodeMetricsKind, RefusesWhatIsNoDuration) {
  for (const char* window : {"\"soon\"", "5", "\"-1s\"", "{}"}) {
    const Result<Value> document = parse_json(std::string(R"({"window":)") + window + "}");
    NodeMetrics metrics;
    EXPECT_FALSE(decode(*document, &metrics, {.require_type = false})) << window;
  }
}

TEST(NodeMetricsKind, HasARow) {
  NodeMetrics metrics;
  metrics.mutable_metadata()->set_name("n1");
  metrics.mutable_window()->set_duration(15'000'000'000);
  (*metrics.mutable_usage())["cpu"].set_string("1500m");
  const std::vector<Value> row = node_metrics_v1_kind().table.row(metrics, 0);
  EXPECT_EQ(write_json(Value(Value::List(row))), R"(["n1","1500m","0","15s"])");
}

}  // namespace
}  // namespace gantry::api

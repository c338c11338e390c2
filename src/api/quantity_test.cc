// SPDX-License-Identifier: Apache-2.0
#include "api/quantity.h"

#include <gtest/gtest.h>

#include <limits>

namespace gantry::api {
namespace {

Quantity quantity(std::string_view text) {
  const Result<Quantity> parsed = Quantity::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : Quantity();
}

TEST(Quantity, WritesTheCanonicalForm) {
  const std::pair<const char*, const char*> table[] = {
      {"0", "0"},
      {"0m", "0"},
      {"-0", "0"},
      {"0.0Gi", "0"},
      {"1", "1"},
      {"+1", "1"},
      {"-1", "-1"},
      {"0.5", "500m"},
      {".5", "500m"},
      {"1.", "1"},
      {"1.5", "1500m"},
      {"100m", "100m"},
      {"1000m", "1"},
      {"1500m", "1500m"},
      {"1000", "1k"},
      {"1500", "1500"},
      {"1000k", "1M"},
      {"1000000", "1M"},
      {"0.001k", "1"},
      {"12e6", "12e6"},
      {"1e3", "1e3"},
      {"1E3", "1e3"},
      {"1000e0", "1e3"},
      {"1e4", "10e3"},
      {"1e-3", "1e-3"},
      {"1Ki", "1Ki"},
      {"1024Ki", "1Mi"},
      {"1024Mi", "1Gi"},
      {"1.5Gi", "1536Mi"},
      {"0.5Ki", "512"},
      {"1000Ki", "1000Ki"},
      {"1023", "1023"},
      {"2Ei", "2Ei"},
      {"8Ei", "9223372036854775807"},
      {"16Ei", "9223372036854775807"},
      {"-16Ei", "-9223372036854775807"},
      {"0.1Ki", "102400m"},
      {"1n", "1n"},
      {"0.1n", "1n"},
      {"-0.1n", "-1n"},
      {"1.0000000001", "1000000001n"},
      {"1u", "1u"},
      {"1000u", "1m"},
      {"1E", "1E"},
      {"1000E", "1e21"},
      {"1000000E", "1e24"},
      {"18446744073709551616", "18446744073709551616"},
      {"1.2345", "1234500u"},
      {"100000000000000000000", "100E"},
      {"0.000000000000000000000001Gi", "1n"},
  };
  for (const auto& [text, canonical] : table) {
    EXPECT_EQ(quantity(text).to_string(), canonical) << text;
    EXPECT_EQ(quantity(canonical).to_string(), canonical);
    EXPECT_EQ(quantity(canonical), quantity(text)) << text;
  }
}

TEST(Quantity, GivesWholeUnitsAndThousandthsRoundedUp) {
  EXPECT_EQ(quantity("100m").milli_value(), 100);
  EXPECT_EQ(quantity("100m").value(), 1);
  EXPECT_EQ(quantity("-100m").value(), -1);
  EXPECT_EQ(quantity("1.5").value(), 2);
  EXPECT_EQ(quantity("1.5").milli_value(), 1500);
  EXPECT_EQ(quantity("1Gi").value(), 1 << 30);
  EXPECT_EQ(quantity("1n").milli_value(), 1);
  EXPECT_EQ(quantity("9223372036854775807").value(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(quantity("9223372036854775807").milli_value(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(quantity("-1e30").value(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(quantity("1e4000").value(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(quantity("1e-4000").value(), 1);
  EXPECT_EQ(Quantity(1536, Quantity::Format::kBinarySi).to_string(), "1536");
  EXPECT_EQ(Quantity(int64_t{3} << 30, Quantity::Format::kBinarySi).to_string(), "3Gi");
  EXPECT_EQ(Quantity(std::numeric_limits<int64_t>::min()).value(), std::numeric_limits<int64_t>::min());
}

TEST(Quantity, Compares) {
  const char* ordered[] = {"-1Gi", "-1", "-1m", "0", "1n", "999m", "1", "1001m", "1k", "1Ki", "1025", "1M", "1e21"};
  for (size_t i = 0; i < std::size(ordered); ++i) {
    for (size_t j = 0; j < std::size(ordered); ++j) {
      const int order = quantity(ordered[i]).compare(quantity(ordered[j]));
      EXPECT_EQ(order < 0, i < j) << ordered[i] << " " << ordered[j];
      EXPECT_EQ(order > 0, i > j) << ordered[i] << " " << ordered[j];
    }
  }
  EXPECT_EQ(quantity("1Gi"), quantity("1024Mi"));
  EXPECT_EQ(quantity("1024"), quantity("1Ki"));
}

TEST(Quantity, RefusesWhatIsNone) {
  for (const char* text :
       {"",      " ",    "m",     "1 Gi", "1gi", "1GI",           "1K",     "1ki", "1e", "1e+", "1e3Gi", "--1",
        "1.2.3", "0x10", "1_000", "Inf",  "nan", "1e99999999999", "1e5000", "1m ", "+",  ".",   "1Zi",   "1mm"}) {
    EXPECT_FALSE(Quantity::parse(text)) << text;
  }
  EXPECT_FALSE(Quantity::parse(std::string(257, '1')));
  EXPECT_NE(Quantity::parse("12x").error().message().find("\"12x\" is not a quantity"), std::string::npos);
}

TEST(Quantity, SumsAndDifferencesAreExact) {
  const struct {
    const char* a;
    const char* b;
    const char* sum;
    const char* difference;
  } cases[] = {{"1", "1", "2", "0"},
               {"100m", "900m", "1", "-800m"},
               {"1Gi", "512Mi", "1536Mi", "512Mi"},
               {"0", "1Gi", "1Gi", "-1Gi"},
               {"999", "1", "1k", "998"},
               {"1n", "1", "1000000001n", "-999999999n"},
               {"-5", "3", "-2", "-8"},
               {"1E", "1n", "1000000000000000000000000001n", "999999999999999999999999999n"},
               {"1500m", "500m", "2", "1"},
               {"1Mi", "1M", "2048576", "48576"}};
  for (const auto& c : cases) {
    Quantity sum = *Quantity::parse(c.a);
    sum.add(*Quantity::parse(c.b));
    EXPECT_EQ(sum, *Quantity::parse(c.sum)) << c.a << " + " << c.b << " = " << sum.to_string();
    Quantity difference = *Quantity::parse(c.a);
    difference.subtract(*Quantity::parse(c.b));
    EXPECT_EQ(difference, *Quantity::parse(c.difference)) << c.a << " - " << c.b << " = " << difference.to_string();
  }
}

}  // namespace
}  // namespace gantry::api

// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/cron_times.h"

#include <gtest/gtest.h>

#include "api/time.h"

namespace gantry::control::workloads {
namespace {

std::int64_t at(const std::string& text) { return api::parse_rfc3339(text)->seconds; }

CronTimes times(const std::string& schedule, const std::string& zone = "UTC") {
  const Result<api::CronSchedule> parsed = api::parse_cron_schedule(schedule);
  EXPECT_TRUE(parsed) << schedule;
  const Result<TimeZone> loaded = TimeZone::load(zone);
  EXPECT_TRUE(loaded) << zone;
  return {*parsed, *loaded};
}

std::string next(const std::string& schedule, const std::string& after, const std::string& zone = "UTC") {
  const std::optional<std::int64_t> time = times(schedule, zone).next(at(after));
  return time ? TimeZone::load(zone)->format(*time) : "never";
}

TEST(CronTimes, FieldsOfEveryForm) {
  EXPECT_EQ(next("*/15 * * * *", "2026-07-09T14:45:00Z"), "2026-07-09T15:00:00Z");
  EXPECT_EQ(next("*/15 * * * *", "2026-07-09T14:59:59Z"), "2026-07-09T15:00:00Z");
  EXPECT_EQ(next("20-35/15 * * * *", "2026-07-09T15:45:00Z"), "2026-07-09T16:20:00Z");
  EXPECT_EQ(next("*/15 * * * *", "2026-12-31T23:45:00Z"), "2027-01-01T00:00:00Z");
  EXPECT_EQ(next("30 8 1,15 * *", "2026-02-01T08:30:00Z"), "2026-02-15T08:30:00Z");
  EXPECT_EQ(next("0 0 29 feb ?", "2026-07-09T23:35:00Z"), "2028-02-29T00:00:00Z");
  EXPECT_EQ(next("0 0 9 apr-oct ?", "2026-07-09T23:35:00Z"), "2026-08-09T00:00:00Z");
  EXPECT_EQ(next("5/20 * * * *", "2026-07-09T14:25:00Z"), "2026-07-09T14:45:00Z");
  EXPECT_EQ(next("@hourly", "2026-07-09T14:25:01Z"), "2026-07-09T15:00:00Z");
  EXPECT_EQ(next("@daily", "2026-07-09T14:25:01Z"), "2026-07-10T00:00:00Z");
  EXPECT_EQ(next("@weekly", "2026-11-23T00:00:00Z"), "2026-11-29T00:00:00Z");
  EXPECT_EQ(next("@monthly", "2026-11-23T00:00:00Z"), "2026-12-01T00:00:00Z");
  EXPECT_EQ(next("@yearly", "2026-11-23T00:00:00Z"), "2027-01-01T00:00:00Z");
  EXPECT_EQ(next("@every 1h30m", "2026-11-23T00:00:07Z"), "2026-11-23T01:30:07Z");
}

TEST(CronTimes, DaysOfTheMonthAndOfTheWeek) {
  // 2026-11-23 is a Monday.
  EXPECT_EQ(next("0 0 * * mon-wed", "2026-11-25T00:00:00Z"), "2026-11-30T00:00:00Z");
  EXPECT_EQ(next("0 0 13 * fri", "2026-11-23T00:00:00Z"), "2026-11-27T00:00:00Z") << "either is enough";
  EXPECT_EQ(next("0 0 */10 * sun", "2026-11-22T00:00:00Z"), "2026-11-29T00:00:00Z") << "steps are days, too";
  EXPECT_EQ(next("0 0 1 * *", "2026-11-23T00:00:00Z"), "2026-12-01T00:00:00Z");
}

TEST(CronTimes, WhatNeverComes) {
  EXPECT_EQ(next("0 0 30 feb ?", "2026-07-09T23:35:00Z"), "never");
  EXPECT_EQ(next("0 0 31 jun ?", "2026-07-09T23:35:00Z"), "never");
  EXPECT_FALSE(times("59 23 31 2 *").missed(0, 1'000'000));
}

TEST(CronTimes, WhenClocksAreChanged) {
  const std::string zone = "America/New_York";
  // From 2:00 to 3:00.
  EXPECT_EQ(next("30 2 11 mar ?", "2012-03-11T00:00:00-05:00", zone), "2013-03-11T02:30:00-04:00");
  EXPECT_EQ(next("0 * * * *", "2012-03-11T01:00:00-05:00", zone), "2012-03-11T03:00:00-04:00");
  EXPECT_EQ(next("0 1 * * *", "2012-03-11T01:00:00-05:00", zone), "2012-03-12T01:00:00-04:00");
  EXPECT_EQ(next("0 2 * * *", "2012-03-11T00:00:00-05:00", zone), "2012-03-12T02:00:00-04:00");
  // From 2:00 to 1:00.
  EXPECT_EQ(next("30 2 04 nov ?", "2012-11-04T00:00:00-04:00", zone), "2012-11-04T02:30:00-05:00");
  EXPECT_EQ(next("30 1 04 nov ?", "2012-11-04T01:45:00-04:00", zone), "2012-11-04T01:30:00-05:00");
  EXPECT_EQ(next("0 * * * *", "2012-11-04T01:00:00-04:00", zone), "2012-11-04T01:00:00-05:00");
  EXPECT_EQ(next("0 2 * * *", "2012-11-04T00:00:00-04:00", zone), "2012-11-04T02:00:00-05:00");
  // Over midnight, and by half an hour.
  EXPECT_EQ(next("0 9 19 oct ?", "2008-10-10T14:00:00-03:00", "America/Sao_Paulo"), "2008-10-19T09:00:00-02:00");
  EXPECT_EQ(next("0 3 * * *", "2025-10-05T00:00:00+10:30", "Australia/Lord_Howe"), "2025-10-05T03:00:00+11:00");
  // A zone off the hour.
  EXPECT_EQ(next("0 3 * * *", "2026-01-01T00:00:00Z", "Asia/Kathmandu"), "2026-01-02T03:00:00+05:45");
}

TEST(CronTimes, WhatWasMissed) {
  const CronTimes hourly = times("0 * * * *");
  const auto missed = [&](const std::string& since, const std::string& now) {
    return *hourly.missed(at(since), at(now));
  };
  EXPECT_FALSE(missed("2026-11-23T10:00:00Z", "2026-11-23T10:59:59Z").last);
  EXPECT_EQ(missed("2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z").last, at("2026-11-23T11:00:00Z"));
  EXPECT_EQ(missed("2026-11-23T10:00:00Z", "2026-11-23T14:20:00Z").last, at("2026-11-23T14:00:00Z"));
  EXPECT_EQ(missed("2026-11-23T10:00:00Z", "2026-11-23T14:20:00Z").count, 4);
  EXPECT_GT(missed("2026-11-01T10:00:00Z", "2026-11-23T14:20:00Z").count, 100);
  EXPECT_FALSE(missed("2027-01-01T00:00:00Z", "2026-11-23T14:20:00Z").last) << "clocks were set back";
  // Distances differ.
  const CronTimes workdays = times("30 6-16/4 * * 1-5");
  EXPECT_EQ(workdays.missed(at("2026-11-19T10:00:00Z"), at("2026-11-23T10:29:00Z"))->last, at("2026-11-23T06:30:00Z"));
  EXPECT_EQ(times("0,1 0 1 * *").missed(at("2026-10-30T00:00:00Z"), at("2026-11-23T10:29:00Z"))->last,
            at("2026-11-01T00:01:00Z"));
  EXPECT_EQ(times("@every 7m").missed(at("2026-11-23T10:00:30Z"), at("2026-11-23T10:30:00Z"))->last,
            at("2026-11-23T10:28:30Z"));
  // Many of them cost little.
  EXPECT_EQ(times("* * * * *").missed(0, at("2026-11-23T14:20:30Z"))->last, at("2026-11-23T14:20:00Z"));
}

TEST(TimeZone, OnlyThoseOfTheDatabase) {
  EXPECT_TRUE(TimeZone::load("Europe/Berlin"));
  for (const char* name : {"Foo/Bar", "../../../etc/passwd", "Europe", "", "localtime", "tzdata.zi/", "zone.tab"}) {
    EXPECT_FALSE(TimeZone::load(name)) << name;
  }
  EXPECT_EQ(TimeZone::load("Foo/Bar").error().message(), "unknown time zone Foo/Bar");
  EXPECT_EQ(TimeZone::load("Europe/Berlin")->format(at("2026-11-23T09:00:00Z")), "2026-11-23T10:00:00+01:00");
  EXPECT_EQ(TimeZone::load("Europe/London")->format(at("2026-11-23T09:00:00Z")), "2026-11-23T09:00:00Z");
  EXPECT_EQ(TimeZone().format(at("2026-11-23T09:00:00Z")), "2026-11-23T09:00:00Z");
}

}  // namespace
}  // namespace gantry::control::workloads

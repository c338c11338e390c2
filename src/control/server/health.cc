// SPDX-License-Identifier: Apache-2.0
#include "control/server/health.h"

#include <array>

#include "base/log.h"
#include "base/text.h"
#include "control/server/answer.h"
#include "control/server/failure.h"

namespace gantry::control {

struct Health::Check {
  enum class Kind { kPing, kStore, kCaches, kBootstrap, kShutdown };
  std::string_view name;
  Kind kind;
  bool readiness_only = false;
};

namespace {

// A store that hangs is not asked by every probe that comes.
constexpr int kMostAsking = 8;
// How often who does not ask looks what others were told.
constexpr int kLooks = 10;

}  // namespace

Task<> Health::ask(Loop& here, Store& store, std::shared_ptr<Event> over, std::shared_ptr<Questions> questions) {
  Result<std::int64_t> revision = co_await store.current_revision(here);
  --questions->open;
  if (revision) questions->answered = Questions::Clock::now();
  over->set();
}

Task<bool> Health::store_answers(Loop& here) {
  using Clock = Questions::Clock;
  const Clock::time_point begun = Clock::now();
  if (++questions_->open > kMostAsking) {
    --questions_->open;
    // Others ask: what they were told a moment ago, or are told in time.
    const Clock::time_point least = begun - store_limit_;
    while (questions_->answered.load() < least && Clock::now() - begun < store_limit_) {
      co_await here.sleep_for(store_limit_ / kLooks);
    }
    co_return questions_->answered.load() >= least;
  }
  // The question goes on when this gives up.
  auto over = std::make_shared<Event>(here);
  here.spawn(ask(here, store_, over, questions_));
  co_return co_await over->wait_for(store_limit_) && questions_->answered.load() >= begun;
}

bool Health::may_warn() {
  const Questions::Clock::time_point now = Questions::Clock::now();
  Questions::Clock::time_point last = warned_;
  const bool is_first = last == Questions::Clock::time_point::min();
  return (is_first || now - last >= std::chrono::seconds(1)) && warned_.compare_exchange_strong(last, now);
}

Task<bool> Health::passes(Loop& here, const Check& check) {
  switch (check.kind) {
    case Check::Kind::kPing:
      co_return true;
    case Check::Kind::kStore:
      co_return co_await store_answers(here);
    case Check::Kind::kCaches:
      co_return caches_.are_ready();
    case Check::Kind::kBootstrap:
      co_return is_bootstrapped_;
    case Check::Kind::kShutdown:
      co_return !is_stopping_;
  }
  co_return false;
}

Task<std::optional<http::Reply>> Health::answer(Loop& here, const RequestInfo& info) {
  static constexpr std::array<Check, 5> kChecks = {{
      {"ping", Check::Kind::kPing},
      {"etcd", Check::Kind::kStore},
      {"informer-sync", Check::Kind::kCaches, true},
      {"poststarthook/bootstrap-controller", Check::Kind::kBootstrap, true},
      {"shutdown", Check::Kind::kShutdown, true},
  }};
  std::string_view which;
  for (const std::string_view root : {"healthz", "livez", "readyz"}) {
    const std::string_view rest = std::string_view(info.path).substr(1);
    if (rest == root || (rest.starts_with(root) && rest[root.size()] == '/')) which = root;
  }
  if (which.empty()) co_return std::nullopt;
  std::string_view only = std::string_view(info.path).substr(which.size() + 1);
  while (only.starts_with('/')) only.remove_prefix(1);

  std::vector<std::string> excluded = info.query.all("exclude");
  std::string lines;
  bool is_well = true;
  bool is_known = only.empty();
  std::string failed;
  for (const Check& check : kChecks) {
    if (check.readiness_only && which != "readyz") continue;
    if (!only.empty() && only != check.name) continue;
    is_known = true;
    if (std::erase(excluded, check.name) > 0 && only.empty()) {
      lines += cat("[+]", check.name, " excluded: ok\n");
      continue;
    }
    if (co_await passes(here, check)) {
      lines += cat("[+]", check.name, " ok\n");
      continue;
    }
    is_well = false;
    lines += cat("[-]", check.name, " failed: reason withheld\n");
    failed += cat(failed.empty() ? "" : ",", check.name);
  }
  if (!is_known) co_return failure_reply(no_such_resource());
  if (!is_well) {
    if (may_warn()) log::warning("a health check failed", {{"asked", which}, {"checks", failed}});
    if (!only.empty()) co_return text_reply(500, cat("internal server error: ", only, " failed: reason withheld\n"));
    co_return text_reply(500, cat(lines, which, " check failed\n"));
  }
  if (!only.empty() || info.query.find("verbose") == nullptr) co_return text_reply(200, "ok");
  for (const std::string& name : excluded) {
    if (name.size() <= 64)
      lines += cat("warn: some health checks cannot be excluded: no matches for ", quoted(name), "\n");
  }
  co_return text_reply(200, cat(lines, which, " check passed\n"));
}

}  // namespace gantry::control

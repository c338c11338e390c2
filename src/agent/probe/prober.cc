// SPDX-License-Identifier: Apache-2.0
#include "agent/probe/prober.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "agent/environment.h"
#include "agent/probe/probe.h"
#include "base/log.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using Verdict = ProbeOutcome::Verdict;
using State = ObservedContainer::State;

constexpr std::chrono::milliseconds kFirstWait{50};

TimePoint now() { return std::chrono::steady_clock::now(); }

const core::Probe* probe_of(const core::Container& container, ProbeKind kind) {
  switch (kind) {
    case ProbeKind::kStartup:
      return container.has_startup_probe() ? &container.startup_probe() : nullptr;
    case ProbeKind::kLiveness:
      return container.has_liveness_probe() ? &container.liveness_probe() : nullptr;
    default:
      return container.has_readiness_probe() ? &container.readiness_probe() : nullptr;
  }
}

Duration random_part(Duration period) {
  static thread_local std::minstd_rand random(std::random_device{}());
  return Duration(std::uniform_int_distribution<Duration::rep>(0, period.count())(random));
}

// What was said last of this very container; null: nothing.
const core::ContainerStatus* status_of(const core::PodStatus* status, const ObservedContainer& container) {
  if (status == nullptr) return nullptr;
  for (const auto* list : {&status->container_statuses(), &status->init_container_statuses()}) {
    for (const auto& one : *list) {
      if (one.name() == container.name && one.container_id().ends_with("://" + container.id)) return &one;
    }
  }
  return nullptr;
}

}  // namespace

// One probe of one container, until that ends.
struct PodProber::Probing {
  Probing(std::shared_ptr<Environment> environment, PodPtr of, std::string name, ProbeKind what, core::Probe probe)
      : env(std::move(environment)),
        pod(std::move(of)),
        container(std::move(name)),
        kind(what),
        spec(std::move(probe)),
        period(std::chrono::seconds(spec.period_seconds())),
        over(std::make_shared<Event>(env->loop)) {}

  static Task<> run(std::shared_ptr<Probing> self);
  static Task<bool> wait_until(std::shared_ptr<Event> over, TimePoint time);
  Task<ProbeOutcome> make_once();
  void end();
  void count(Verdict verdict, Duration passed) const;
  void say(EventType type, std::string_view reason, std::string_view message) const;
  // True: it says no more of this container.
  bool take(const ProbeOutcome& outcome, bool counts);

  const std::shared_ptr<Environment> env;
  const PodPtr pod;
  const std::string container;
  const ProbeKind kind;
  const core::Probe spec;
  const Duration period;
  std::string id;
  Result<ProbeAction> action = fail(Code::kInternal, "no action");
  TimePoint first;
  TimePoint eager_until;  // until then what fails is asked again soon, and counts for nothing
  std::shared_ptr<ProbeCount> counts;
  std::shared_ptr<std::function<void()>> changed;
  const std::shared_ptr<Event> over;
  // Of the probe that is under way: what is asked waits for it in the end, and would pile up at one for all of them.
  std::shared_ptr<Event> answered;

  std::optional<bool> word;  // what it says; nothing yet
  bool last = false;         // what the last one said, so many times in a row
  int run_length = 0;
};

Task<bool> PodProber::Probing::wait_until(std::shared_ptr<Event> over, TimePoint time) {
  const auto left = time - now();
  if (left <= left.zero()) co_return over->is_set();
  co_return co_await over->wait_for(left);
}

Task<> PodProber::Probing::run(std::shared_ptr<Probing> self) {
  TimePoint due = self->first;
  Duration again = kFirstWait;
  for (;;) {
    if (co_await wait_until(self->over, due)) co_return;
    const TimePoint begun = now();
    ProbeOutcome outcome = co_await self->make_once();
    if (self->over->is_set()) co_return;
    self->count(outcome.verdict, now() - begun);
    const bool is_good = outcome.verdict == Verdict::kSuccess || outcome.verdict == Verdict::kWarning;
    const bool is_eager = !is_good && !self->word && now() < self->eager_until;
    if (self->take(outcome, !is_eager)) co_return;
    due = is_eager ? std::min(begun + again, self->eager_until) : begun + self->period;
    if (is_eager) again *= 2;
  }
}

Task<ProbeOutcome> PodProber::Probing::make_once() {
  if (!action) co_return ProbeOutcome{Verdict::kUnknown, action.error().message()};
  answered = std::make_shared<Event>(env->loop);
  auto outcome = co_await ask(env->probe_means, *action, std::chrono::seconds(spec.timeout_seconds()), answered);
  answered->set();
  co_return outcome;
}

void PodProber::Probing::end() {
  over->set();
  if (answered) answered->set();
}

void PodProber::Probing::count(Verdict verdict, Duration passed) const {
  if (verdict != Verdict::kFailure) counts->times.add(std::chrono::duration<double>(passed).count());
  switch (verdict) {
    case Verdict::kFailure:
      ++counts->failed;
      break;
    case Verdict::kUnknown:
      ++counts->unknown;
      break;
    default:
      ++counts->successful;
  }
}

void PodProber::Probing::say(EventType type, std::string_view reason, std::string_view message) const {
  if (env->events != nullptr) env->events->record(*pod, type, reason, message, container);
}

bool PodProber::Probing::take(const ProbeOutcome& outcome, bool counts_it) {
  const std::string_view name = to_string(kind);
  if (outcome.verdict == Verdict::kUnknown) {
    if (counts_it && !outcome.output.empty()) {
      say(EventType::kWarning, "Unhealthy",
          cat(name, " probe errored and resulted in unknown state: ", outcome.output));
    }
    return false;
  }
  const bool is_good = outcome.verdict != Verdict::kFailure;
  if (!counts_it) return false;
  if (outcome.verdict == Verdict::kWarning) {
    say(EventType::kWarning, "ProbeWarning", cat(name, " probe warning: ", outcome.output));
  }
  if (!is_good) say(EventType::kWarning, "Unhealthy", cat(name, " probe failed: ", outcome.output));
  run_length = is_good == last ? std::min(run_length + 1, std::numeric_limits<int>::max() - 1) : 1;
  last = is_good;
  if (run_length < (is_good ? spec.success_threshold() : spec.failure_threshold())) return false;
  const bool is_new = word != is_good;
  word = is_good;
  if (is_new) {
    log::info("probe", {{"pod", cat(pod->metadata().namespace_(), "/", pod->metadata().name())},
                        {"container", container},
                        {"probe", std::string(name)},
                        {"says", is_good ? "success" : "failure"}});
    (*changed)();
  }
  return kind == ProbeKind::kStartup || (kind == ProbeKind::kLiveness && !is_good);
}

// ---- PodProber

PodProber::PodProber(std::shared_ptr<Environment> environment, std::function<void()> changed)
    : env_(std::move(environment)), changed_(std::make_shared<std::function<void()>>(std::move(changed))) {}

PodProber::~PodProber() { stop(); }

void PodProber::stop() {
  for (auto& [key, probing] : probings_) probing->end();
  probings_.clear();
  *changed_ = [] {};
}

void PodProber::keep_readiness_only() {
  is_ending_ = true;
  for (auto& [key, probing] : probings_) {
    if (key.second != ProbeKind::kReadiness) probing->end();
  }
}

PodProber::Probing& PodProber::probing(const PodPtr& pod, const std::string& pod_ip, const core::Container& spec,
                                       ProbeKind kind, const core::PodStatus* before,
                                       const ObservedContainer& container) {
  auto& held = probings_[{spec.name(), kind}];
  if (held && held->id == container.id) return *held;
  if (held) held->end();
  held = std::make_shared<Probing>(env_, pod, spec.name(), kind, *probe_of(spec, kind));
  Probing& made = *held;
  made.id = container.id;
  made.changed = changed_;
  auto& counts = counts_[{spec.name(), kind}];
  if (!counts) counts = std::make_shared<ProbeCount>();
  made.counts = counts;
  const auto& handler = made.spec.handler();
  made.action = probe_action(handler, spec, container.id, pod_ip);

  const auto wall = std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch());
  const auto age = std::max(wall - Duration(container.started_at), Duration::zero());
  const TimePoint started = now() - std::min<Duration>(age, now().time_since_epoch());
  Duration delay = std::chrono::seconds(made.spec.initial_delay_seconds());
  if (kind == ProbeKind::kLiveness && delay == delay.zero()) delay = made.period;
  made.first = started + delay;
  made.eager_until = made.first;
  const bool was_here = started < env_->began;
  const auto* said = was_here ? status_of(before, container) : nullptr;
  if (said != nullptr && kind == ProbeKind::kStartup && said->started()) made.word = true;
  if (said != nullptr && kind == ProbeKind::kReadiness && said->started() && said->ready()) made.word = true;
  if (kind == ProbeKind::kStartup && made.word) return made;
  if (is_ending_ && kind != ProbeKind::kReadiness) return made;
  const bool must_learn = kind == ProbeKind::kReadiness && !made.word;
  if (was_here) {
    made.first = std::max(made.first, now() + (must_learn ? Duration::zero() : random_part(made.period)));
  } else if (kind != ProbeKind::kLiveness) {
    made.first += delay == delay.zero() ? Duration(kFirstWait) : Duration::zero();
    made.eager_until = made.first + made.period;
  }
  env_->loop.spawn(Probing::run(held));
  return made;
}

void PodProber::follow_container(const PodPtr& pod, const std::string& pod_ip, const core::Container& spec,
                                 const core::PodStatus* before, ObservedContainer& container) {
  const auto word_of = [&](ProbeKind kind) -> std::optional<bool> {
    return probing(pod, pod_ip, spec, kind, before, container).word;
  };
  const auto fails = [&](ProbeKind kind) {
    failed_[container.id] = kind;
    container.failed_probe = kind;
  };
  if (spec.has_startup_probe()) {
    const auto word = word_of(ProbeKind::kStartup);
    container.is_started = word == true;
    if (word == false) fails(ProbeKind::kStartup);
  }
  container.is_ready = container.is_started;
  if (!container.is_started) return;
  if (spec.has_liveness_probe() && word_of(ProbeKind::kLiveness) == false) fails(ProbeKind::kLiveness);
  if (spec.has_readiness_probe()) container.is_ready = word_of(ProbeKind::kReadiness) == true;
}

void PodProber::follow(const PodPtr& pod, ObservedPod& observed, const core::PodStatus* before) {
  std::string pod_ip = env_->config.host_ip.empty() ? "127.0.0.1" : env_->config.host_ip;
  if (!pod->spec().host_network() && !observed.sandboxes.empty() && !observed.sandboxes.front().ips.empty()) {
    pod_ip = observed.sandboxes.front().ips.front();
  }
  std::set<std::string> running;
  std::set<std::string> known;
  for (auto& container : observed.containers) {
    known.insert(container.id);
    if (container.state == State::kRunning) running.insert(container.id);
    if (auto failed = failed_.find(container.id); failed != failed_.end()) container.failed_probe = failed->second;
  }
  std::erase_if(failed_, [&](const auto& entry) { return !known.contains(entry.first); });
  for (const auto* list : {&pod->spec().init_containers(), &pod->spec().containers()}) {
    for (const auto& spec : *list) {
      if (!spec.has_startup_probe() && !spec.has_liveness_probe() && !spec.has_readiness_probe()) continue;
      auto newest = std::ranges::find(observed.containers, spec.name(), &ObservedContainer::name);
      if (newest == observed.containers.end() || newest->state != State::kRunning) continue;
      follow_container(pod, pod_ip, spec, before, *newest);
    }
  }
  std::erase_if(probings_, [&](const auto& entry) {
    if (running.contains(entry.second->id)) return false;
    entry.second->end();
    return true;
  });
}

}  // namespace gantry::agent

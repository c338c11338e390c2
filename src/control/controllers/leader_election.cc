// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/leader_election.h"

#include <time.h>

#include "kubernetes/coordination/v1/lease.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace coordination = k8s::io::api::coordination::v1;

namespace {

template <typename Time>
void set_time(Time* time, api::Timestamp now) {
  time->set_seconds(now.seconds);
  time->set_nanos(now.nanos / 1000 * 1000);
}

}  // namespace

LeaderElection::LeaderElection(api::Client& client, ElectionOptions options, std::function<api::Timestamp()> now)
    : client_(client), options_(std::move(options)), now_(std::move(now)) {}

Duration LeaderElection::steady_now() const {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

Task<bool> LeaderElection::try_once() {
  const auto written = [this](const api::Answer<coordination::Lease>& answer) {
    if (!answer) return false;
    seen_version_ = answer->metadata().resource_version();
    return true;
  };
  const Duration asked_at = steady_now();
  api::Answer<coordination::Lease> present = co_await client_.get<coordination::Lease>(options_.ns, options_.name);
  coordination::Lease lease;
  if (!present) {
    if (!present.error().is_not_found()) co_return false;
    lease.mutable_metadata()->set_namespace_(options_.ns);
    lease.mutable_metadata()->set_name(options_.name);
  } else {
    lease = std::move(*present);
    if (lease.metadata().resource_version() != seen_version_) {
      seen_version_ = lease.metadata().resource_version();
      seen_at_ = asked_at;
    }
  }
  const bool is_mine = lease.spec().holder_identity() == options_.identity;
  const Duration length = std::chrono::seconds(lease.spec().lease_duration_seconds());
  is_others_ = !is_mine && !lease.spec().holder_identity().empty() && seen_at_ + length > steady_now();
  if (is_others_) {
    held_until_ = {};
    co_return false;
  }
  coordination::LeaseSpec* spec = lease.mutable_spec();
  if (!is_mine) {
    const bool is_new = lease.metadata().resource_version().empty();
    set_time(spec->mutable_acquire_time(), now_());
    spec->set_lease_transitions(is_new ? 0 : spec->lease_transitions() + 1);
  }
  spec->set_holder_identity(options_.identity);
  spec->set_lease_duration_seconds(
      static_cast<int32_t>(std::chrono::duration_cast<std::chrono::seconds>(options_.lease).count()));
  set_time(spec->mutable_renew_time(), now_());
  // The resourceVersion makes sure that of two who try one wins.
  const bool is_new = lease.metadata().resource_version().empty();
  const Duration sent_at = steady_now();
  const bool done = written(is_new ? co_await client_.create(lease) : co_await client_.update(lease));
  if (done) {
    seen_at_ = sent_at;
    held_until_ = sent_at + options_.renew_limit;
  }
  co_return done;
}

Task<> LeaderElection::acquire() {
  while (!co_await try_once()) co_await client_.here().sleep_for(options_.retry);
}

// One try, which may outlast whoever waits for it.
struct LeaderElection::Attempt {
  explicit Attempt(Loop& here) : ended(here) {}
  Event ended;
  bool done = false;
};

Task<> LeaderElection::attempt(std::shared_ptr<Attempt> attempt) {
  attempt->done = co_await try_once();
  attempt->ended.set();
}

Task<bool> LeaderElection::try_within(Duration limit) {
  const auto state = std::make_shared<Attempt>(client_.here());
  client_.here().spawn(attempt(state));
  co_return co_await state->ended.wait_for(limit) && state->done;
}

Task<> LeaderElection::hold() {
  Duration renewed_at = seen_at_;
  for (;;) {
    co_await client_.here().sleep_for(options_.retry);
    // Asked before anything is sent: a process that stood still for long has lost it.
    const Duration left = options_.renew_limit - (steady_now() - renewed_at);
    if (left <= Duration::zero()) co_return;
    const bool renewed = co_await try_within(left);
    if (is_others_ || steady_now() - renewed_at > options_.renew_limit) co_return;
    if (renewed) renewed_at = seen_at_;
  }
}

Task<> LeaderElection::release() {
  api::Answer<coordination::Lease> present = co_await client_.get<coordination::Lease>(options_.ns, options_.name);
  if (!present || present->spec().holder_identity() != options_.identity) co_return;
  present->mutable_spec()->set_holder_identity("");
  present->mutable_spec()->set_lease_duration_seconds(1);
  set_time(present->mutable_spec()->mutable_renew_time(), now_());
  (void)co_await client_.update(*present);
}

}  // namespace gantry::control

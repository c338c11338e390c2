// SPDX-License-Identifier: Apache-2.0
#include "agent/config_volumes.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>
#include <vector>

#include "agent/object_cache.h"
#include "agent/pod_surroundings.h"
#include "agent/token_manager.h"
#include "base/log.h"
#include "base/text.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "volumes/config_volume.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
// The clock of tokens may jump, and timers go by another one.
constexpr Duration kLongestWait = std::chrono::minutes(5);

TimePoint now() { return std::chrono::steady_clock::now(); }

std::int64_t wall_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::vector<const core::Volume*> config_volumes_of(const core::Pod& pod) {
  std::vector<const core::Volume*> all;
  for (const auto& volume : pod.spec().volumes()) {
    if (volumes::is_config_volume(volume)) all.push_back(&volume);
  }
  return all;
}

std::string said_of(const std::string& volume, const Error& error) {
  return cat("MountVolume.SetUp failed for volume \"", volume, "\" : ", error.message());
}

}  // namespace

// What one try is made of.
struct ConfigVolumes::Work {
  template <typename T>
  using Found = std::map<std::string, Result<std::shared_ptr<const T>>>;  // by name

  Found<core::ConfigMap> config_maps;
  Found<core::Secret> secrets;
  std::map<const core::ServiceAccountTokenProjection*, Result<ServiceAccountToken>> tokens;
  api::Allocatable allocatable;

  template <typename T>
  static volumes::PayloadInputs::Find<T> finder(const Found<T>& all) {
    return [&all](const std::string& name) { return all.at(name); };
  }
  volumes::PayloadInputs inputs(const core::Pod& pod) const {
    return {.pod = pod,
            .config_map = finder(config_maps),
            .secret = finder(secrets),
            .token = [this](const core::ServiceAccountTokenProjection& source) -> Result<std::string> {
              const auto& token = tokens.at(&source);
              if (!token) return std::unexpected(token.error());
              return token->text;
            },
            .resource = [this, &pod](const core::ResourceFieldSelector& source) -> Result<std::string> {
              return api::resource_field(pod, nullptr, source, allocatable);
            }};
  }
};

bool ConfigVolumes::has_any(const core::Pod& pod) { return !config_volumes_of(pod).empty(); }

ConfigVolumes::ConfigVolumes(std::shared_ptr<Environment> environment, PodPtr pod, std::function<void()> tell)
    : env_(std::move(environment)),
      pod_(std::move(pod)),
      tell_(std::move(tell)),
      wake_(env_->loop),
      ended_(env_->loop),
      retries_(env_->config.retry),
      refresh_at_(kNever) {}

void ConfigVolumes::start() { env_->loop.spawn(run(shared_from_this())); }

void ConfigVolumes::update(PodPtr pod) {
  pod_ = std::move(pod);
  hear();
}

void ConfigVolumes::hear() {
  heard_ = true;
  wake_.set();
}

void ConfigVolumes::stop() {
  stopped_ = true;
  wake_.set();
  if (!is_in_folder_) ended_.set();
}

template <typename Call>
Task<std::invoke_result_t<Call>> ConfigVolumes::in_folder(Call call) {
  is_in_folder_ = true;
  auto done = co_await env_->disk.run(std::move(call));
  is_in_folder_ = false;
  if (stopped_) ended_.set();
  co_return done;
}

Result<volumes::PreparedVolumes> ConfigVolumes::prepared() const {
  if (!was_ready_ && !missing_.empty()) {
    const auto& [volume, error] = *missing_.begin();
    return fail(error.code(), said_of(volume, error));
  }
  volumes::PreparedVolumes all;
  const std::string folder = env_->folders.pod_folder(pod_->metadata().uid());
  for (const auto* volume : config_volumes_of(*pod_)) {
    all[volume->name()] = {volumes::config_volume_path(*volume, folder), true};
  }
  return all;
}

Task<> ConfigVolumes::run(std::shared_ptr<ConfigVolumes> self) {
  co_await self->adopt_tokens();
  while (!self->stopped_) {
    self->wake_.reset();
    const bool is_due =
        self->heard_ || wall_seconds() >= self->refresh_at_ || (self->retry_at_ && now() >= *self->retry_at_);
    if (is_due) {
      co_await self->make();
      continue;
    }
    (void)co_await self->wake_.wait_for(self->until_next());
  }
}

Duration ConfigVolumes::until_next() const {
  Duration wait = kLongestWait;
  if (refresh_at_ != kNever) {
    const std::int64_t left =
        std::clamp<std::int64_t>(refresh_at_ - wall_seconds(), 1, kLongestWait / std::chrono::seconds(1));
    wait = std::min<Duration>(wait, std::chrono::seconds(left));
  }
  if (retry_at_) wait = std::min(wait, std::max<Duration>(*retry_at_ - now(), std::chrono::milliseconds(1)));
  return wait;
}

// Those that an earlier gantryd wrote. They are asked for anew only when they are too old.
Task<> ConfigVolumes::adopt_tokens() {
  const PodPtr pod = pod_;
  if (!pod->status().has_start_time()) co_return;  // none has said yet that it runs here
  const std::string folder = env_->folders.pod_folder(pod->metadata().uid());
  for (const auto* volume : config_volumes_of(*pod)) {
    for (const auto* source : volumes::sources_of(*volume).tokens) {
      auto token = co_await in_folder([pod, volume, folder, path = source->path()] {
        return volumes::read_config_file(*volume, folder, path, kMaxToken);
      });
      if (stopped_) co_return;
      if (token) env_->tokens->adopt(*pod, *source, std::move(*token));
    }
  }
}

Task<> ConfigVolumes::gather(const core::Volume& volume, PodPtr pod, Work& work) {
  const auto sources = volumes::sources_of(volume);
  const std::string& namespace_ = pod->metadata().namespace_();
  for (const auto& name : sources.config_maps) {
    if (work.config_maps.contains(name)) continue;
    auto found = co_await env_->objects->config_map(namespace_, name);
    work.config_maps.emplace(name, std::move(found));
  }
  for (const auto& name : sources.secrets) {
    if (work.secrets.contains(name)) continue;
    auto found = co_await env_->objects->secret(namespace_, name);
    work.secrets.emplace(name, std::move(found));
  }
  for (const auto* source : sources.tokens) {
    auto token = co_await env_->tokens->get(pod, *source);
    if (token) refresh_at_ = std::min(refresh_at_, token->refresh_at);
    work.tokens.emplace(source, std::move(token));
  }
}

Task<> ConfigVolumes::make() {
  heard_ = false;
  retry_at_.reset();
  refresh_at_ = kNever;
  const PodPtr pod = pod_;
  Work work{.allocatable = node_allocatable(*env_)};
  std::map<std::string, Error> errors;
  std::map<std::string, Error> missing;
  const std::string folder = env_->folders.pod_folder(pod->metadata().uid());
  for (const auto* volume : config_volumes_of(*pod)) {
    co_await gather(*volume, pod, work);
    // Whoever stopped this has not waited, and has had the pod's tokens forgotten before this one came.
    if (stopped_) co_return env_->tokens->forget(pod->metadata().uid());
    auto payload = volumes::payload_of(*volume, work.inputs(*pod));
    if (payload) {
      auto written = co_await in_folder([pod, volume, folder, bytes = std::move(*payload)] {
        return volumes::write_config_volume(*pod, *volume, folder, bytes);
      });
      if (stopped_) co_return;
      if (written) continue;
      errors.emplace(volume->name(), std::move(written.error()));
    } else {
      errors.emplace(volume->name(), std::move(payload.error()));
    }
    const bool is_there =
        co_await in_folder([pod, volume, folder] { return volumes::is_config_volume_written(*volume, folder); });
    if (stopped_) co_return;
    if (!is_there) missing.emplace(volume->name(), errors.at(volume->name()));
  }
  missing_ = std::move(missing);
  conclude(pod, errors);
}

void ConfigVolumes::conclude(const PodPtr& pod, const std::map<std::string, Error>& errors) {
  for (const auto& [volume, error] : errors) {
    const std::string text = said_of(volume, error);
    log::warning("a pod's volume, retrying",
                 {{"pod", cat(pod->metadata().namespace_(), "/", pod->metadata().name())}, {"error", text}});
    // Of a pod that waits for them its worker tells.
    if (env_->events != nullptr && was_ready_) env_->events->record(*pod, EventType::kWarning, "FailedMount", text);
  }
  if (errors.empty()) {
    retries_.succeeded("");
  } else {
    retry_at_ = retries_.failed("", now());
  }
  const bool is_new = !was_ready_ && missing_.empty();
  was_ready_ |= missing_.empty();
  const bool is_first = !std::exchange(was_tried_, true);
  if (is_new || is_first) tell_();
}

}  // namespace gantry::agent

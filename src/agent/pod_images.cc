// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_images.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "agent/cluster.h"
#include "agent/pull_queue.h"
#include "agent/pull_records.h"
#include "agent/pull_secrets.h"
#include "base/duration.h"
#include "base/log.h"
#include "base/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;

TimePoint now() { return std::chrono::steady_clock::now(); }

v1::AuthConfig auth_of(const images::Credentials& credentials) {
  v1::AuthConfig auth;
  auth.set_username(credentials.username);
  auth.set_password(credentials.password);
  auth.set_identity_token(credentials.identity_token);
  auth.set_registry_token(credentials.registry_token);
  return auth;
}

// Names are DNS labels.
std::string key_of(const PodImages::Want& want) {
  return want.volume.empty() ? want.container : cat(want.container, "/", want.volume);
}

}  // namespace

PodImages::PodImages(std::shared_ptr<Environment> environment, std::function<void()> heard)
    : env_(std::move(environment)), heard_(std::move(heard)), pulls_(env_->config.pull), looks_(env_->config.image) {}

PodImages::~PodImages() { stop(); }

void PodImages::stop() {
  stopped_ = true;
  for (auto& [name, entry] : entries_) {
    if (entry.over) std::exchange(entry.over, nullptr)->set();
  }
}

void PodImages::forget(const std::string& container) {
  auto entry = entries_.find(container);
  if (entry == entries_.end()) return;
  if (entry->second.over) entry->second.over->set();
  entries_.erase(entry);
}

bool PodImages::is_pulling(const std::string& container) const {
  return std::ranges::any_of(entries_, [&](const auto& pair) {
    const auto& [key, entry] = pair;
    return entry.over != nullptr && (key == container || key.starts_with(container + "/"));
  });
}

void PodImages::tell(const Want& want, EventType type, std::string_view reason, const std::string& message) const {
  if (env_->events != nullptr)
    env_->events->record(*want.pod, type, reason, message, want.volume.empty() ? want.container : "");
}

// ---- asking

Task<PodImages::Answer> PodImages::ask(Want want) {
  if (auto known = entries_.find(key_of(want)); known != entries_.end() && known->second.image != want.image) {
    forget(key_of(want));
  }
  Entry& entry = entries_[key_of(want)];
  entry.image = want.image;
  if (entry.over || stopped_) co_return Answer{};
  if (entry.failed) {
    Waiting why = *std::exchange(entry.failed, std::nullopt);
    co_return wait_for(std::move(why), std::min(failures_[want.image].retry_at, now() + env_->config.image.initial));
  }
  if (auto reference = images::parse_reference(want.image); !reference) {
    const std::string message =
        cat("Failed to apply default image tag ", quoted(want.image, 512), ": couldn't parse image name ",
            quoted(want.image, 512), ": ", reference.error().message());
    tell(want, EventType::kWarning, "InspectFailed", message);
    co_return wait_for({"InvalidImageName", message}, looks_.failed(key_of(want), now()));
  }
  co_return co_await find(std::move(want));
}

Task<PodImages::Answer> PodImages::find(Want want) {
  const bool is_pulled = entries_[key_of(want)].pulled == want.attempt;
  if (want.policy != "Always" || is_pulled) {
    v1::ImageStatusRequest question;
    question.mutable_image()->set_image(want.image);
    auto status = co_await env_->images.image_status(std::move(question));
    if (stopped_) co_return Answer{};
    if (!status) {
      tell(want, EventType::kWarning, "InspectFailed",
           cat("Failed to inspect image ", quoted(want.image, 512), ": ", status.error().message()));
      co_return wait_for({"ImageInspectError", status.error().message()}, looks_.failed(key_of(want), now()));
    }
    const bool is_usable = status->has_image() && (is_pulled || co_await may_use(want, status->image().id()));
    if (stopped_) co_return Answer{};
    if (is_usable) {
      if (!is_pulled) {
        tell(want, EventType::kNormal, "Pulled",
             cat("Container image ", quoted(want.image, 512),
                 " already present on machine and can be accessed by the pod"));
      }
      looks_.succeeded(key_of(want));
      co_return Answer{.image = std::make_shared<v1::Image>(std::move(*status->mutable_image()))};
    }
  }
  if (want.policy == "Never") {
    const std::string message =
        cat("Container image ", quoted(want.image, 512), " is not present with pull policy of Never");
    tell(want, EventType::kWarning, "ErrImageNeverPull", message);
    co_return wait_for({"ErrImageNeverPull", message}, looks_.failed(key_of(want), now()));
  }
  auto failure = failures_.find(want.image);
  if (failure != failures_.end() && failure->second.retry_at > now()) {
    const std::string message = cat("Back-off pulling image ", quoted(want.image, 512));
    tell(want, EventType::kNormal, "BackOff", message);
    // Somebody else may bring it meanwhile.
    co_return wait_for({"ImagePullBackOff", cat(message, ": ", failure->second.message)},
                       std::min(failure->second.retry_at, now() + env_->config.image.longest));
  }
  co_return begin(std::move(want));
}

Task<bool> PodImages::may_use(Want want, std::string id) {
  const auto records = env_->pull_records;
  if (!records) co_return true;
  const auto use = records->use_of(want.image, id);
  if (use != PullRecords::Use::kSecretDecides) co_return use == PullRecords::Use::kFree;
  // Also while the API server is away: what has crashed is to come back.
  if (shown_.contains({want.image, id})) co_return true;
  auto reference = images::parse_reference(want.image);
  if (!reference) co_return false;
  auto shown = co_await credentials(want, std::move(*reference));
  if (!shown) co_return false;
  const bool is_good = co_await records->is_good(want.image, id, std::move(*shown));
  if (is_good) shown_.emplace(want.image, id);
  co_return is_good;
}

PodImages::Answer PodImages::begin(Want want) {
  tell(want, EventType::kNormal, "Pulling", cat("Pulling image ", quoted(want.image, 512)));
  auto over = std::make_shared<Event>(env_->loop);
  entries_[key_of(want)].over = over;
  env_->loop.spawn(pull(shared_from_this(), std::move(want), std::move(over)));
  return {};
}

// ---- pulling

Task<> PodImages::pull(std::shared_ptr<PodImages> self, Want want, std::shared_ptr<Event> over) {
  auto reference = images::parse_reference(want.image);
  Result<Pulled> done = std::unexpected(Error(Code::kCancelled, ""));
  const TimePoint asked = now();
  if (co_await self->env_->pulls.enter(want.image, over)) {
    const auto records = self->env_->pull_records;
    Status may_begin;
    if (records) may_begin = co_await records->begin(want.image);
    if (may_begin) {
      bool goes_on = false;
      done = co_await self->pull_once(want, std::move(*reference), over, &goes_on);
      if (done) {
        co_await self->record(want, *done);
      } else if (records && goes_on) {
        records->given_up(want.image);
      } else if (records) {
        co_await records->failed(want.image);
      }
    } else {
      done = std::unexpected(std::move(may_begin.error()));
    }
    self->env_->pulls.leave(want.image);
  }
  if (over->is_set()) co_return;
  if (done) {
    done->with_waiting = now() - asked;
    self->take_pulled(want, *done);
  } else {
    self->take_failure(want, done.error());
  }
  self->entries_[key_of(want)].over = nullptr;
  over->set();
  self->heard_();
}

Task<Result<std::vector<PullCredentials>>> PodImages::credentials(Want want, images::Reference reference) {
  auto secrets =
      co_await read_pull_secrets(env_->cluster == nullptr ? nullptr : &env_->cluster->urgent_client(), want.pod);
  if (!secrets) co_return std::unexpected(std::move(secrets.error()));
  if (!secrets->missing.empty() && env_->events != nullptr) {
    std::string names;
    for (const auto& name : secrets->missing) names += (names.empty() ? "" : ", ") + name;
    env_->events->record(
        *want.pod, EventType::kWarning, "FailedToRetrieveImagePullSecret",
        cat("Unable to retrieve some image pull secrets (", names, "); attempting to pull the image may not succeed."));
  }
  std::vector<Error> problems;
  auto found = pull_credentials_for(*secrets, reference.name(), problems);
  for (const auto& problem : problems) {
    log::warning(
        "an image pull secret, ignoring",
        {{"pod", cat(want.pod->metadata().namespace_(), "/", want.pod->metadata().name())}, {"error", problem}});
  }
  co_return found;
}

Task<Result<PodImages::Pulled>> PodImages::pull_once(Want want, images::Reference reference,
                                                     std::shared_ptr<Event> over, bool* goes_on) {
  auto all = co_await credentials(want, std::move(reference));
  if (!all) co_return std::unexpected(std::move(all.error()));
  all->emplace_back();  // those of the runtime
  const TimePoint began = now();
  std::vector<Error> errors;
  for (auto& one : *all) {
    v1::PullImageRequest request;
    request.mutable_image()->set_image(want.image);
    request.mutable_image()->set_user_specified_image(want.image);
    if (one.credentials != images::Credentials()) *request.mutable_auth() = auth_of(one.credentials);
    co_await env_->pulls.pace();
    if (over->is_set()) co_return std::unexpected(Error(Code::kCancelled, ""));
    auto pulled = co_await env_->images.pull_image(std::move(request), over);
    if (pulled) co_return Pulled{.id = pulled->image_ref(), .by = std::move(one), .time = now() - began};
    *goes_on = over->is_set();
    if (*goes_on) co_return std::unexpected(std::move(pulled.error()));
    const auto is_same = [&](const Error& other) { return other.message() == pulled.error().message(); };
    if (std::ranges::none_of(errors, is_same)) errors.push_back(std::move(pulled.error()));
  }
  if (errors.size() == 1) co_return std::unexpected(std::move(errors.front()));
  std::string message;
  for (const auto& error : errors) message += cat(message.empty() ? "" : ", ", error.message());
  co_return std::unexpected(Error(errors.back().code(), cat("[", message, "]")));
}

// Also of a pull that nobody waits for any more: the image is there.
Task<> PodImages::record(const Want& want, Pulled& pulled) {
  v1::ImageStatusRequest question;
  question.mutable_image()->set_image(pulled.id);
  auto status = co_await env_->images.image_status(std::move(question));
  const bool is_known = status && status->has_image();
  if (is_known) {
    pulled.size = status->image().size();
    pulled.id = status->image().id();
    shown_.emplace(want.image, pulled.id);
  }
  const auto records = env_->pull_records;
  if (records && is_known) co_await records->succeeded(want.image, pulled.id, pulled.by);
  // What it is called is not what it is: the intent stays, and who wants it pulls.
  if (records && !is_known) records->given_up(want.image);
}

void PodImages::take_pulled(const Want& want, const Pulled& pulled) {
  tell(want, EventType::kNormal, "Pulled",
       cat("Successfully pulled image ", quoted(want.image, 512), " in ", format_duration(pulled.time), " (",
           format_duration(pulled.with_waiting),
           " including waiting). Image size: ", pulled.size, " bytes."));
  entries_[key_of(want)].pulled = want.attempt;
  failures_.erase(want.image);
  pulls_.succeeded(want.image);
}

void PodImages::take_failure(const Want& want, const Error& error) {
  tell(want, EventType::kWarning, "Failed",
       cat("Failed to pull image ", quoted(want.image, 512), ": ", error.message()));
  Waiting why{"ErrImagePull", error.message()};
  if (error.code() == Code::kUnavailable) {
    why = {"RegistryUnavailable",
           cat("image pull failed for ", want.image, " because the registry is unavailable: ", error.message())};
  }
  log::error("an image can't be pulled, retrying",
             {{"pod", cat(want.pod->metadata().namespace_(), "/", want.pod->metadata().name())},
              {"container", want.container},
              {"image", want.image},
              {"error", error.message()}});
  // Of images that nobody asks for any more nothing is kept.
  std::erase_if(failures_, [&](const auto& pair) {
    return std::ranges::none_of(entries_, [&](const auto& other) { return other.second.image == pair.first; });
  });
  // Containers of one image may have waited for one pull: it failed once.
  Failure& failure = failures_[want.image];
  if (failure.retry_at <= now()) failure.retry_at = pulls_.failed(want.image, now());
  failure.message = cat(why.reason, ": ", why.message);
  entries_[key_of(want)].failed = std::move(why);
}

}  // namespace gantry::agent

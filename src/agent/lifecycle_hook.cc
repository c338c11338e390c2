// SPDX-License-Identifier: Apache-2.0
#include "agent/lifecycle_hook.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/container_spec.h"
#include "agent/environment.h"
#include "agent/hook_request.h"
#include "agent/pod_plan.h"
#include "api/text.h"
#include "base/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

// Of what a command wrote; it is for a status.
constexpr std::size_t kMaxOutput = 1024;

// A request has no end of its own; one that is not answered for so long won't be.
constexpr std::chrono::hours kRequestLimit{1};

// "lifecycle hook (WHAT) for Container ..." as kubelet has it.
Error failure(const char* kind, const std::string& what, const LifecycleHook::Target& target, const std::string& why) {
  const auto& metadata = target.pod->metadata();
  return Error(
      Code::kFailedPrecondition,
      absl::StrCat(kind, " lifecycle hook (", what, ") for Container ", api::quoted(target.container), " in Pod ",
                   api::quoted(absl::StrCat(metadata.name(), "_", metadata.namespace_(), "(", metadata.uid(), ")")),
                   " failed - error: ", why));
}

Task<Status> run_command(std::shared_ptr<Environment> env, core::ExecAction action, LifecycleHook::Target target,
                         std::shared_ptr<Event> over) {
  v1::ExecSyncRequest request;
  request.set_container_id(target.id);
  for (const auto& word : action.command()) request.add_cmd(word);
  auto answer = co_await env->runtime.exec_sync(std::move(request), std::move(over));
  const std::string words = as_utf8(absl::StrJoin(action.command(), " "), kMaxOutput);
  if (!answer) {
    co_return std::unexpected(failure("Exec", absl::StrCat("[", words, "]"), target,
                                      absl::StrCat(answer.error().message(), ", message: \"\"")));
  }
  if (answer->exit_code() == 0) co_return Status();
  const std::string error = as_utf8(answer->stderr(), kMaxOutput);
  const std::string output = as_utf8(absl::StrCat(answer->stdout(), answer->stderr()), kMaxOutput);
  co_return std::unexpected(failure("Exec", absl::StrCat("[", words, "]"), target,
                                    absl::StrCat("command '", words, "' exited with ", answer->exit_code(), ": ", error,
                                                 ", message: ", api::quoted(output))));
}

Task<Status> send_request(std::shared_ptr<Environment> env, core::HTTPGetAction action, LifecycleHook::Target target) {
  const auto container = find_container(*target.pod, target.container);
  auto sent = co_await send_hook_request(env->loop, action, *container, target.pod_ip, target.request_limit);
  if (sent) co_return sent;
  co_return std::unexpected(failure("HTTP", as_utf8(action.path(), kMaxOutput), target, sent.error().message()));
}

}  // namespace

LifecycleHook::LifecycleHook(Loop& loop) : over_(std::make_shared<Event>(loop)) {}

std::shared_ptr<LifecycleHook> LifecycleHook::begin(std::shared_ptr<Environment> environment, Kind kind, Target target,
                                                    std::function<void()> ended) {
  const auto container = find_container(*target.pod, target.container);
  if (!container) return nullptr;
  const core::Lifecycle& hooks = container->lifecycle();
  if (kind == Kind::kPostStart ? !hooks.has_post_start() : !hooks.has_pre_stop()) return nullptr;
  auto hook = std::make_shared<LifecycleHook>(environment->loop);
  hook->ended_ = std::move(ended);
  // One that nobody waits for any more is not broken off.
  if (target.request_limit <= Duration::zero()) target.request_limit = kRequestLimit;
  run(hook, std::move(environment), kind == Kind::kPostStart ? hooks.post_start() : hooks.pre_stop(),
      std::move(target));
  return hook;
}

void LifecycleHook::run(const std::shared_ptr<LifecycleHook>& self, std::shared_ptr<Environment> environment,
                        const core::LifecycleHandler& handler, Target target) {
  Loop& loop = environment->loop;
  loop.spawn([](std::shared_ptr<LifecycleHook> self, std::shared_ptr<Environment> env, core::LifecycleHandler handler,
                Target target) -> Task<> {
    // Gives way once: some fail at once, and nothing ends before begin() has returned.
    co_await env->loop.sleep_for(Duration::zero());
    if (self->over_->is_set()) {
      self->end(fail(Code::kCancelled, "given up"));
    } else if (handler.has_exec()) {
      self->end(co_await run_command(env, handler.exec(), target, self->over_));
    } else if (handler.has_http_get()) {
      self->end(co_await send_request(env, handler.http_get(), target));
    } else if (handler.has_sleep()) {
      (void)co_await self->over_->wait_for(bounded_grace(handler.sleep().seconds()));
      self->end({});
    } else {
      self->end(fail(Code::kInvalidArgument, "Cannot run handler: invalid handler: neither exec, httpGet nor sleep"));
    }
  }(self, std::move(environment), handler, std::move(target)));
}

void LifecycleHook::end(Status result) {
  result_ = std::move(result);
  has_ended_ = true;
  over_->set();
  if (auto ended = std::exchange(ended_, nullptr)) ended();
}

void LifecycleHook::give_up() {
  ended_ = nullptr;
  over_->set();
}

}  // namespace gantry::agent

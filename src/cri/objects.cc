// SPDX-License-Identifier: Apache-2.0
#include "cri/objects.h"

#include <chrono>

#include "base/log.h"
#include "base/text.h"
#include "cri/handlers.h"
#include "cri/pod_users.h"

namespace gantry::cri {

std::string_view to_string(SandboxState state) {
  switch (state) {
    case SandboxState::kStarting:
      return "starting";
    case SandboxState::kReady:
      return "ready";
    case SandboxState::kNotReady:
      return "not ready";
    case SandboxState::kRemoving:
      return "removing";
  }
  return "unknown";
}

std::string_view to_string(ContainerState state) {
  switch (state) {
    case ContainerState::kCreating:
      return "creating";
    case ContainerState::kCreated:
      return "created";
    case ContainerState::kStarting:
      return "starting";
    case ContainerState::kRunning:
      return "running";
    case ContainerState::kExited:
      return "exited";
    case ContainerState::kRemoving:
      return "removing";
  }
  return "unknown";
}

void Sandbox::set_state(SandboxState next) {
  if (next != state) {
    log::info("sandbox", {{"sandbox", id()},
                          {"pod", status.metadata().namespace_() + "/" + status.metadata().name()},
                          {"from", to_string(state)},
                          {"to", to_string(next)}});
  }
  state = next;
  status.set_state(next == SandboxState::kReady ? v1::SANDBOX_READY : v1::SANDBOX_NOTREADY);
}

SandboxKind Sandbox::kind() const {
  const auto& options = status.linux().namespaces().options();
  bool host_network = options.network() == v1::NODE;
  // A pod on the host's network keeps the host's name, as everywhere else.
  return {.own_net = !host_network,
          .own_ipc = options.ipc() != v1::NODE,
          .own_uts = !host_network,
          .users = pod_users(options).value_or(runtime::oci::IdMappings())};
}

bool Sandbox::has_handler() const {
  return !status.runtime_handler().empty() && status.runtime_handler() != kOwnHandler;
}

bool Sandbox::may_have_done(const Error& error, std::uint64_t at) const {
  return error.code() == Code::kUnavailable && shim && shim->is_alive() && (!shim->is_connected() || at != connection);
}

void Container::set_state(ContainerState next) {
  if (next != state) {
    log::info("container", {{"container", id()},
                            {"name", status.metadata().name()},
                            {"sandbox", sandbox_id},
                            {"from", to_string(state)},
                            {"to", to_string(next)}});
  }
  state = next;
  if (next != ContainerState::kCreated && next != ContainerState::kStarting) bundle.reset();
  switch (next) {
    case ContainerState::kCreating:
    case ContainerState::kCreated:
    case ContainerState::kStarting:
      status.set_state(v1::CONTAINER_CREATED);
      break;
    case ContainerState::kRunning:
      status.set_state(v1::CONTAINER_RUNNING);
      break;
    case ContainerState::kExited:
      status.set_state(v1::CONTAINER_EXITED);
      break;
    case ContainerState::kRemoving:
      break;
  }
}

void Container::set_exit(std::int32_t code, std::string_view reason, std::string_view message,
                         std::int64_t finished_at) {
  status.set_exit_code(code);
  status.set_reason(std::string(reason));
  // The row that this is written to can't be read again when it holds anything but UTF-8.
  status.set_message(as_utf8(message));
  status.set_finished_at(finished_at);
  pid = 0;
  set_state(ContainerState::kExited);
}

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace gantry::cri

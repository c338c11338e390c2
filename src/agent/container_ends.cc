// SPDX-License-Identifier: Apache-2.0
#include "agent/container_ends.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "api/text.h"
#include "base/utf8.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using Statuses = google::protobuf::RepeatedPtrField<core::ContainerStatus>;

constexpr std::size_t kMaxMessages = 12U << 10;
// As of one that was killed.
constexpr std::int32_t kUnknownExit = 137;

void cut(core::ContainerState& state, std::size_t most) {
  if (!state.has_terminated() || state.terminated().message().size() <= most) return;
  std::string& message = *state.mutable_terminated()->mutable_message();
  // Not in the middle of a character.
  while (most > 0 && (static_cast<unsigned char>(message[most]) & 0xc0U) == 0x80U) --most;
  message.resize(most);
}

void mark_unknown(core::ContainerStatus& status) {
  if (!status.state().has_waiting()) return;
  auto& end = *status.mutable_state()->mutable_terminated();
  status.mutable_state()->clear_waiting();
  end.set_exit_code(kUnknownExit);
  end.set_reason("ContainerStatusUnknown");
  end.set_message("The container could not be located when the pod was terminated");
}

}  // namespace

std::string as_text(std::string_view bytes) {
  if (api::is_utf8(bytes)) return std::string(bytes);
  std::string text;
  while (!bytes.empty()) {
    const std::size_t size = character_size(bytes);
    text += size == 0 ? std::string_view("\xef\xbf\xbd") : bytes.substr(0, size);
    bytes.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return text;
}

void limit_messages(core::PodStatus& status) {
  const auto lists = {status.mutable_init_container_statuses(), status.mutable_container_statuses(),
                      status.mutable_ephemeral_container_statuses()};
  std::size_t count = 0;
  for (const Statuses* list : lists) count += static_cast<std::size_t>(list->size());
  if (count == 0) return;
  for (Statuses* list : lists) {
    for (auto& container : *list) {
      cut(*container.mutable_state(), kMaxMessages / count);
      if (container.has_last_state()) cut(*container.mutable_last_state(), kMaxMessages / count);
    }
  }
}

void mark_unknown_ends(core::PodStatus& status) {
  auto& inits = *status.mutable_init_container_statuses();
  int begun = inits.size();
  while (begun > 0 && inits[begun - 1].state().has_waiting()) --begun;
  for (int i = 0; i < begun; ++i) mark_unknown(inits[i]);
  const bool is_initialized =
      std::ranges::all_of(inits, [](const core::ContainerStatus& init) { return init.ready() || init.started(); }) ||
      std::ranges::any_of(status.container_statuses(),
                          [](const core::ContainerStatus& main) { return !main.state().has_waiting(); });
  if (!is_initialized) return;
  for (auto& main : *status.mutable_container_statuses()) mark_unknown(main);
}

}  // namespace gantry::agent

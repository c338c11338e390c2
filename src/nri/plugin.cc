// SPDX-License-Identifier: Apache-2.0
#include "nri/plugin.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>

#include "base/text.h"
#include "nri/nri.pb.h"
#include "sys/file.h"
#include "sys/pipe.h"

namespace gantry::nri {
namespace {

constexpr std::string_view kMethods[] = {"",
                                         "RunPodSandbox",
                                         "StopPodSandbox",
                                         "RemovePodSandbox",
                                         "CreateContainer",
                                         "PostCreateContainer",
                                         "StartContainer",
                                         "PostStartContainer",
                                         "UpdateContainer",
                                         "PostUpdateContainer",
                                         "StopContainer",
                                         "RemoveContainer",
                                         "UpdatePodSandbox",
                                         "PostUpdatePodSandbox",
                                         "ValidateContainerAdjustment"};
static_assert(std::size(kMethods) == api::LAST);

constexpr std::size_t kMaxBaseBytes = 128;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Nothing: there is none.
Result<std::optional<std::string>> read_config(const std::string& path) {
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file && file.error().is_not_found()) return std::nullopt;
  if (!file) return std::unexpected(std::move(file.error()));
  auto text = sys::read_all(*file, kMaxConfigBytes);
  if (!text) return fail_with(std::move(text.error()), path);
  return std::move(*text);
}

}  // namespace

Status check_index(std::string_view index) {
  if (index.size() == 2 && std::ranges::all_of(index, is_digit)) return {};
  return invalid_argument(cat("plugin index ", quoted(index), ": two digits were expected"));
}

Status check_base(std::string_view base) {
  auto is_good = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-_.+").find(c) != std::string_view::npos;
  };
  if (!base.empty() && base.size() <= kMaxBaseBytes && std::ranges::all_of(base, is_good)) return {};
  return invalid_argument(
      cat("plugin name ", quoted(base), ": at most ", kMaxBaseBytes, " letters, digits and \"-_.+\" were expected"));
}

Result<std::vector<PluginProgram>> find_plugins(const std::string& folder) {
  std::vector<PluginProgram> programs;
  auto dir = sys::open_dir(sys::kCwd, folder.c_str());
  if (!dir && dir.error().is_not_found()) return programs;
  if (!dir) return std::unexpected(std::move(dir.error()));
  auto names = sys::list_dir(*dir);
  if (!names) return fail_with(std::move(names.error()), folder);
  std::ranges::sort(*names);
  for (const auto& name : *names) {
    auto info = sys::fstatat(*dir, name.c_str(), 0);
    if (!info || !S_ISREG(info->st_mode) || (info->st_mode & 0111) == 0) continue;
    auto dash = name.find('-');
    PluginProgram program{name.substr(0, dash), dash == name.npos ? "" : name.substr(dash + 1)};
    Status good = check_index(program.index);
    if (good) good = check_base(program.base);
    if (!good) return fail_with(std::move(good.error()), cat(folder, "/", name));
    programs.push_back(std::move(program));
  }
  return programs;
}

Result<SocketFd> start_plugin(Plugin& plugin, const std::string& folder, const std::string& config_folder) {
  for (const std::string& name : {plugin.name(), plugin.base}) {
    auto config = read_config(cat(config_folder, "/", name, ".conf"));
    if (!config) return fail_with(std::move(config.error()), "its configuration");
    if (!*config) continue;
    plugin.config = std::move(**config);
    break;
  }
  auto pair = sys::stream_pair();
  if (!pair) return std::unexpected(std::move(pair.error()));
  Command command;
  command.path = cat(folder, "/", plugin.name());
  command.argv = {command.path};
  command.envp = {cat("NRI_PLUGIN_NAME=", plugin.base), cat("NRI_PLUGIN_IDX=", plugin.index), "NRI_PLUGIN_SOCKET=3"};
  FdRef standard_error(2);
  command.output = command.error = standard_error;
  command.fds = {pair->right};
  auto process = spawn(command);
  if (!process) return std::unexpected(std::move(process.error()));
  plugin.pid = process->pid();
  plugin.process = std::move(*process);
  return std::move(pair->left);
}

Task<> reap(Loop& loop, std::shared_ptr<Plugin> plugin) {
  (void)co_await plugin->process->wait(loop);
  plugin->has_exited = true;
}

std::string_view method_of(api::Event event) { return kMethods[event]; }

bool has_state_change(api::Event event) {
  return event != api::CREATE_CONTAINER && event != api::UPDATE_CONTAINER && event != api::STOP_CONTAINER &&
         event != api::UPDATE_POD_SANDBOX && event != api::VALIDATE_CONTAINER_ADJUSTMENT;
}

std::string state_change(api::Event event, const std::string& payload) {
  api::PostCreateContainerRequest request;
  request.ParseFromString(payload);  // ours
  api::StateChangeEvent change;
  change.set_event(event);
  change.mutable_pod()->Swap(request.mutable_pod());
  if (request.has_container()) change.mutable_container()->Swap(request.mutable_container());
  return change.SerializeAsString();
}

}  // namespace gantry::nri

// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_commands.h"

#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <map>
#include <set>
#include <sstream>

#include "base/text.h"
#include "cli/oci_cgroup.h"
#include "cli/oci_container.h"
#include "cli/oci_create.h"
#include "runtime/plan/signals.h"
#include "sys/file.h"
#include "sys/pipe.h"
#include "sys/process.h"

namespace gantry::cli {
namespace {

constexpr std::size_t kMaxProcessList = 16U << 20;

void print(std::string_view text) { (void)sys::write_all(FdRef(1), text); }

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size() + 1, width), ' ');
  return text;
}

// What `ps` prints with `args`; its header line and those of the processes wanted.
Status run_ps(const std::vector<std::string>& args, const std::set<pid_t>& wanted) {
  auto pipe = sys::pipe();
  if (!pipe) return std::unexpected(std::move(pipe.error()));
  std::vector<char*> argv = {const_cast<char*>("ps")};
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe->write_end.get(), 1);
  pid_t pid = 0;
  int error = ::posix_spawnp(&pid, "ps", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return std::unexpected(Error::from_errno(error, "execute ps"));
  auto pidfd = sys::pidfd_open(pid);
  pipe->write_end.close();
  auto text = sys::read_all(pipe->read_end, kMaxProcessList);
  if (!pidfd) return std::unexpected(std::move(pidfd.error()));
  auto status = sys::wait_child_end(*pidfd);
  if (!text) return std::unexpected(std::move(text.error()));
  if (!status || status->code != 0) return fail(Code::kFailedPrecondition, "ps failed");
  std::istringstream lines(*text);
  std::string line, word, shown;
  if (!std::getline(lines, line)) return {};
  shown = line + "\n";
  std::size_t column = 0;
  std::istringstream heads(line);
  while (heads >> word && word != "PID") ++column;
  if (word != "PID") return fail(Code::kFailedPrecondition, "ps prints no column PID with these arguments");
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    for (std::size_t i = 0; i <= column && words >> word; ++i) {
    }
    if (wanted.contains(static_cast<pid_t>(std::atoi(word.c_str())))) shown += line + "\n";
  }
  print(shown);
  return {};
}

// A number may come to a stranger before it is opened. One that the cgroup still has then is its process's.
Status signal_all(const cgroups::Cgroup& cgroup, int signal) {
  constexpr std::ptrdiff_t kAtOnce = 256;
  auto pids = processes_in(cgroup);
  if (!pids) return std::unexpected(std::move(pids.error()));
  for (auto next = pids->begin(); next != pids->end();) {
    std::map<pid_t, PidFd> some;
    for (auto end = next + std::min(pids->end() - next, kAtOnce); next != end; ++next) {
      if (auto pidfd = sys::pidfd_open(*next)) some.emplace(*next, std::move(*pidfd));
    }
    auto now = processes_in(cgroup);
    if (!now) return std::unexpected(std::move(now.error()));
    for (pid_t pid : *now) {
      auto found = some.find(pid);
      if (found != some.end()) (void)sys::pidfd_send_signal(found->second, signal);
    }
  }
  return {};
}

}  // namespace

Status print_state(const std::string& root, const std::string& id) {
  auto found = find_container(root, id, false);
  if (!found) return std::unexpected(std::move(found.error()));
  print(state_json(found->live.record, found->live.state, true) + "\n");
  return {};
}

Status list_containers(const std::string& root, ListFormat format, Log& log) {
  auto ids = container_ids(root);
  if (!ids) return std::unexpected(std::move(ids.error()));
  std::string table = padded("ID", 12) + padded("PID", 12) + padded("STATUS", 12) + padded("BUNDLE", 24) +
                      padded("CREATED", 32) + "OWNER\n";
  std::string list, names;
  for (const std::string& id : *ids) {
    auto found = find_container(root, id, false);
    if (!found) {
      // Removed meanwhile; what else is wrong with one keeps the others from nobody.
      if (!found.error().is_not_found()) log.warning(found.error().message());
      continue;
    }
    const ContainerRecord& record = found->live.record;
    ContainerState state = found->live.state;
    pid_t pid = state == ContainerState::kStopped ? 0 : record.pid;
    table += padded(id, 12) + padded(std::to_string(pid), 12) + padded(to_string(state), 12) +
             padded(record.bundle, 24) + padded(record.created, 32) +
             (record.owner == 0 ? "root" : cat("#", record.owner)) + "\n";
    list += cat(list.empty() ? "" : ",", state_json(record, state, true));
    names += id + "\n";
  }
  print(format == ListFormat::kJson ? cat("[", list, "]\n") : format == ListFormat::kIds ? names : table);
  return {};
}

Status signal_container(const std::string& root, const std::string& id, const std::string& name, bool all) {
  // 0 asks whether it could be sent one.
  auto signal = name == "0" ? Result<int>(0) : runtime::parse_signal(name);
  if (!signal) return std::unexpected(std::move(signal.error()));
  auto found = find_container(root, id, false);
  if (!found) return std::unexpected(std::move(found.error()));
  if (all && found->live.record.cgroup.empty()) {
    auto config = found->folder.read_config();
    if (!config) return std::unexpected(std::move(config.error()));
    bool ends_all = *signal == SIGKILL && config->linux_.of(runtime::oci::NamespaceKind::kPid).is_new();
    if (!ends_all)
      return fail(Code::kFailedPrecondition,
                  cat("--all: container ", id,
                      " has no cgroup, which knows its processes: only with KILL, and in a PID namespace of its own, "
                      "all end with the first"));
    if (!found->live.pidfd.is_open()) return {};
  } else if (all) {
    auto held = hold_cgroup(found->live.record.cgroup, found->live.record.claim);
    if (!held) return std::unexpected(std::move(held.error()));
    if (!*held || !(*held)->is_claimed) return {};
    const cgroups::Cgroup& cgroup = (*held)->cgroup;
    if (*signal == SIGKILL) return cgroup.kill();
    return signal_all(cgroup, *signal);
  }
  if (!found->live.pidfd.is_open())
    return fail(Code::kFailedPrecondition,
                cat("container ", id, " is not running: it is ", to_string(found->live.state)));
  auto sent = sys::pidfd_send_signal(found->live.pidfd, *signal);
  if (!sent && sent.error().is_gone()) return fail(Code::kFailedPrecondition, cat("container ", id, " is not running"));
  return sent;
}

Status delete_container(const std::string& root, const std::string& id, bool force, Log& log) {
  auto found = find_container(root, id, true);
  if (!found) {
    if (force && found.error().is_not_found()) return {};
    return std::unexpected(std::move(found.error()));
  }
  ContainerState state = found->live.state;
  // One that only waits for its start goes as well, as other runtimes have it.
  if (!force && state != ContainerState::kStopped && state != ContainerState::kCreating &&
      state != ContainerState::kCreated) {
    return fail(Code::kFailedPrecondition,
                cat("container ", id, " can't be deleted: it is ", to_string(state), ", not stopped"));
  }
  if (found->live.pidfd.is_open()) (void)sys::pidfd_send_signal(found->live.pidfd, SIGKILL);
  return forget_container(found->folder, found->live, log);
}

Status freeze_container(const std::string& root, const std::string& id, bool frozen) {
  auto found = find_container(root, id, false);
  if (!found) return std::unexpected(std::move(found.error()));
  ContainerState state = found->live.state;
  bool fits = frozen ? state == ContainerState::kRunning || state == ContainerState::kCreated
                     : state == ContainerState::kPaused;
  if (!fits) {
    return fail(Code::kFailedPrecondition,
                cat("container ", id, " can't be ", frozen ? "paused" : "resumed", ": it is ", to_string(state)));
  }
  auto cgroup = open_cgroup(found->live.record.cgroup);
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  return freeze(*cgroup, frozen);
}

Status print_processes(const std::string& root, const std::string& id, bool json, std::vector<std::string> args) {
  auto found = find_running(root, id);
  if (!found) return std::unexpected(std::move(found.error()));
  auto cgroup = open_cgroup(found->live.record.cgroup);
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  auto pids = processes_in(*cgroup);
  if (!pids) return std::unexpected(std::move(pids.error()));
  std::set<pid_t> wanted(pids->begin(), pids->end());
  if (!json) {
    if (args.empty()) args.push_back("-ef");
    return run_ps(args, wanted);
  }
  boost::json::array list;
  for (pid_t pid : wanted) list.push_back(pid);
  print(boost::json::serialize(list) + "\n");
  return {};
}

}  // namespace gantry::cli

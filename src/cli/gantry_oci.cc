// SPDX-License-Identifier: Apache-2.0
// gantry-oci: the runtime as an OCI command line, with runc's commands and flags. Static and single-threaded.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "cli/oci_checkpoint.h"
#include "cli/oci_commands.h"
#include "cli/oci_create.h"
#include "cli/oci_exec.h"
#include "cli/oci_log.h"
#include "cli/oci_rootless.h"
#include "cli/oci_self.h"
#include "sys/process.h"

namespace gantry::cli {
namespace {

constexpr int kFailed = 1;
constexpr std::size_t kMostShown = 65536;
constexpr int kExecFailed = 255;  // as runc's exec has it

struct Globals {
  std::string root;
  std::string log_path, log_format = "text", rootless = "auto";
  bool debug = false, systemd_cgroup = false;
};

// A command's work: its exit code.
using Action = std::function<Result<int>(const Globals&, Log&)>;

struct Commands {
  CLI::App& app;
  Action action;
  std::uint32_t preserve_fds = 0;  // of the command line, and of systemd's environment

  CLI::App* add(const char* name, const char* what) { return app.add_subcommand(name, what); }
  void act(CLI::App* command, Action act) {
    command->callback([this, act = std::move(act)] { action = act; });
  }
};

Result<int> code_of(Status s) {
  if (!s) return std::unexpected(std::move(s.error()));
  return 0;
}

void add_id(CLI::App* command, std::string& id) { command->add_option("ID", id, "the container's id")->required(); }

void add_create_options(Commands& commands, CLI::App* command, CreateOptions& options, bool& no_pivot) {
  add_id(command, options.id);
  command->add_option("-b,--bundle", options.bundle, "the bundle's folder")->capture_default_str();
  command->add_option("--pid-file", options.pid_file, "where the process's number is written");
  command->add_option("--console-socket", options.console_socket, "a unix socket that takes the terminal's master");
  command->add_option("--preserve-fds", commands.preserve_fds, "descriptors from 3 on that the process has");
  command->add_flag("--no-new-keyring", options.keeps_keyring, "leave the session keyring as it is");
  command->add_flag("--no-pivot", no_pivot, "refused: pivot_root is what keeps the host's root away");
}

CreateOptions g_create;

Status refuse_no_pivot(bool is_set) {
  if (!is_set) return {};
  return fail(Code::kUnimplemented, "--no-pivot is not supported: the root must be pivoted into");
}

Status prepare_to_create(Commands& commands, const Globals& globals, bool no_pivot) {
  g_create.preserve_fds = commands.preserve_fds;
  g_create.in_scope = globals.systemd_cgroup;
  g_create.is_rootless = globals.rootless == "true" || (globals.rootless == "auto" && is_rootless());
  return refuse_no_pivot(no_pivot);
}

void add_create(Commands& commands) {
  static bool no_pivot = false;
  auto* create = commands.add("create", "make a container, whose process waits for start");
  add_create_options(commands, create, g_create, no_pivot);
  commands.act(create, [&commands](const Globals& globals, Log& log) -> Result<int> {
    if (auto s = prepare_to_create(commands, globals, no_pivot); !s) return std::unexpected(std::move(s.error()));
    return code_of(create_container(globals.root, g_create, log));
  });
}

void add_run(Commands& commands) {
  static bool no_pivot = false, no_subreaper = false;
  auto* run = commands.add("run", "make a container, start it, and wait for its end");
  add_create_options(commands, run, g_create, no_pivot);
  run->add_flag("-d,--detach", g_create.detaches, "do not wait");
  run->add_flag("--keep", g_create.keeps, "do not delete it at its end");
  run->add_flag("--no-subreaper", no_subreaper, "accepted: this program never is one");
  commands.act(run, [&commands](const Globals& globals, Log& log) -> Result<int> {
    if (auto s = prepare_to_create(commands, globals, no_pivot); !s) return std::unexpected(std::move(s.error()));
    return run_container(globals.root, g_create, log);
  });
}

void add_start(Commands& commands) {
  static std::string id;
  auto* start = commands.add("start", "let a created container's process begin");
  add_id(start, id);
  commands.act(start, [](const Globals& globals, Log& log) { return code_of(start_container(globals.root, id, log)); });
}

// Flags end at the container's id: what follows is the command's.
bool split_rest(CLI::App* command, std::string& id, std::vector<std::string>& rest) {
  rest = command->remaining();
  if (rest.empty() || rest[0].starts_with("-")) return false;
  id = rest[0];
  rest.erase(rest.begin());
  return true;
}

Error no_id(CLI::App* command) {
  auto rest = command->remaining();
  return Error(Code::kInvalidArgument,
               rest.empty() ? "a container's id was expected" : cat("unknown flag ", gantry::quoted(rest[0])));
}

void add_exec(Commands& commands) {
  static ExecOptions options;
  static std::string cgroup;
  auto* exec = commands.add("exec", "execute a process in a running container: exec [FLAGS] ID COMMAND [ARG...]");
  exec->prefix_command();
  exec->add_option("-p,--process", options.process_file, "a file with a process object");
  exec->add_option("--cwd", options.cwd, "its folder");
  exec->add_option("-e,--env", options.env, "NAME=value, over the container's")->allow_extra_args(false);
  exec->add_option("-u,--user", options.user, "UID or UID:GID");
  exec->add_option("-g,--additional-gids", options.additional_gids, "further groups")->allow_extra_args(false);
  exec->add_option("-c,--cap", options.capabilities, "further capabilities")->allow_extra_args(false);
  exec->add_option("--apparmor", options.apparmor, "its AppArmor profile");
  exec->add_option("--process-label", options.label, "its SELinux label");
  exec->add_option("--cgroup", cgroup, "refused: it joins the cgroup that the container is in");
  exec->add_flag("-t,--tty", options.terminal, "with a terminal");
  exec->add_flag("-d,--detach", options.detaches, "do not wait");
  exec->add_flag("--no-new-privs", options.no_new_privileges, "it gains no privileges by what it executes");
  exec->add_flag("--ignore-paused", options.ignores_paused, "also in a paused container");
  exec->add_option("--pid-file", options.pid_file, "where its number is written");
  exec->add_option("--console-socket", options.console_socket, "a unix socket that takes the terminal's master");
  exec->add_option("--preserve-fds", commands.preserve_fds, "descriptors from 3 on that it has");
  commands.act(exec, [exec, &commands](const Globals& globals, Log& log) -> Result<int> {
    if (!cgroup.empty()) return fail(Code::kUnimplemented, "--cgroup is not supported yet");
    if (!split_rest(exec, options.id, options.args)) return std::unexpected(no_id(exec));
    options.preserve_fds = commands.preserve_fds;
    return exec_in_container(globals.root, options, log);
  });
}

void add_state(Commands& commands) {
  static std::string id;
  auto* state = commands.add("state", "print a container's state");
  add_id(state, id);
  commands.act(state, [](const Globals& globals, Log&) { return code_of(print_state(globals.root, id)); });
}

void add_format(CLI::App* command, std::string& format) {
  command->add_option("-f,--format", format, "table or json")->check(CLI::IsMember({"table", "json"}));
}

void add_list(Commands& commands) {
  static std::string format = "table";
  static bool quiet = false;
  auto* list = commands.add("list", "list containers");
  add_format(list, format);
  list->add_flag("-q,--quiet", quiet, "ids alone");
  commands.act(list, [](const Globals& globals, Log& log) {
    auto as = quiet ? ListFormat::kIds : format == "json" ? ListFormat::kJson : ListFormat::kTable;
    return code_of(list_containers(globals.root, as, log));
  });
}

void add_ps(Commands& commands) {
  static std::string id, format = "table";
  auto* ps = commands.add("ps", "list a container's processes: ps [FLAGS] ID [ARGS OF PS...]");
  ps->prefix_command();
  add_format(ps, format);
  commands.act(ps, [ps](const Globals& globals, Log&) -> Result<int> {
    std::vector<std::string> rest;
    if (!split_rest(ps, id, rest)) return std::unexpected(no_id(ps));
    return code_of(print_processes(globals.root, id, format == "json", std::move(rest)));
  });
}

void add_kill(Commands& commands) {
  static std::string id, signal = "SIGTERM";
  static bool all = false;
  auto* kill = commands.add("kill", "send a signal to a container");
  add_id(kill, id);
  kill->add_option("SIGNAL", signal, "a name or a number")->capture_default_str();
  kill->add_flag("-a,--all", all, "to all of its processes");
  commands.act(kill,
               [](const Globals& globals, Log&) { return code_of(signal_container(globals.root, id, signal, all)); });
}

void add_delete(Commands& commands) {
  static std::string id;
  static bool force = false;
  auto* remove = commands.add("delete", "delete a container that has ended");
  add_id(remove, id);
  remove->add_flag("-f,--force", force, "also one that runs, or is not there");
  commands.act(
      remove, [](const Globals& globals, Log& log) { return code_of(delete_container(globals.root, id, force, log)); });
}

template <bool freezes>
void add_freezing(Commands& commands) {
  static std::string id;
  auto* command = freezes ? commands.add("pause", "stop all of a container's processes for now")
                          : commands.add("resume", "let a paused container go on");
  add_id(command, id);
  commands.act(command,
               [](const Globals& globals, Log&) { return code_of(freeze_container(globals.root, id, freezes)); });
}

void add_update(Commands& commands) {
  static UpdateOptions options;
  auto* update = commands.add("update", "change limits of a running container");
  add_id(update, options.id);
  update->add_option("-r,--resources", options.resources_file,
                     "a file with a linux.resources object, or - for standard input, in place of the flags");
  for (const UpdateFlag& flag : update_flags())
    update->add_option(cat("--", flag.name), options.values[flag.name], flag.help);
  commands.act(update,
               [](const Globals& globals, Log& log) { return code_of(update_container(globals.root, options, log)); });
}

void add_events(Commands& commands) {
  static std::string id, interval = "5s";
  static bool once = false;
  auto* events = commands.add("events", "print statistics of a container from time to time, and that it lacked memory");
  add_id(events, id);
  events->add_option("--interval", interval, "how often")->capture_default_str();
  events->add_flag("--stats", once, "once, and now");
  commands.act(events,
               [](const Globals& globals, Log&) { return code_of(print_events(globals.root, id, interval, once)); });
}

void add_criu_options(CLI::App* command, CriuOptions& options) {
  command->add_option("--image-path", options.image_path, "the folder of the image")->capture_default_str();
  command->add_option("--work-path", options.work_path, "where criu works and writes its log (default: --image-path)");
  command->add_option("--manage-cgroups-mode", options.cgroups_mode, "soft (default), full, strict or ignore");
  command->add_option("--empty-ns", options.empty_namespaces, "network, which is so anyway")->allow_extra_args(false);
  command->add_flag("--tcp-established", options.tcp_established, "with open TCP connections");
  command->add_flag("--ext-unix-sk", options.external_sockets, "with unix sockets whose peers are outside");
  command->add_flag("--shell-job", options.shell_job, "with a terminal or session from outside");
  command->add_flag("--file-locks", options.file_locks, "with file locks");
  command->add_flag("--auto-dedup", options.auto_dedup, "leave out pages that a later image has");
  command->add_flag("--lazy-pages", options.lazy_pages, "refused");
  command->add_option("--lsm-profile", options.lsm_profile, "refused");
  command->add_option("--lsm-mount-context", options.lsm_mount_context, "refused");
}

void add_checkpoint(Commands& commands) {
  static CheckpointOptions options;
  auto* checkpoint = commands.add("checkpoint", "write a running container to a folder, by criu");
  add_id(checkpoint, options.id);
  add_criu_options(checkpoint, options.criu);
  checkpoint->add_option("--parent-path", options.criu.parent_path, "the image before, from --image-path");
  checkpoint->add_flag("--leave-running", options.leaves_running, "the container goes on");
  checkpoint->add_flag("--pre-dump", options.pre_dump, "its memory alone; the container goes on");
  checkpoint->add_option("--page-server", options.criu.page_server, "refused");
  checkpoint->add_option("--status-fd", options.criu.status_fd, "refused");
  commands.act(checkpoint, [](const Globals& globals, Log& log) {
    return code_of(checkpoint_container(globals.root, options, log));
  });
}

void add_restore(Commands& commands) {
  static RestoreOptions options;
  static bool no_pivot = false, no_subreaper = false;
  auto* restore = commands.add("restore", "make a container from such a folder and its bundle");
  add_id(restore, options.create.id);
  add_criu_options(restore, options.criu);
  restore->add_option("-b,--bundle", options.create.bundle, "the bundle's folder")->capture_default_str();
  restore->add_option("--pid-file", options.create.pid_file, "where the process's number is written");
  restore->add_option("--console-socket", options.create.console_socket,
                      "a unix socket that takes the terminal's master");
  restore->add_flag("-d,--detach", options.create.detaches, "do not wait");
  restore->add_flag("--no-subreaper", no_subreaper, "accepted: this program never is one");
  restore->add_flag("--no-pivot", no_pivot, "refused: pivot_root is what keeps the host's root away");
  commands.act(restore, [](const Globals& globals, Log& log) -> Result<int> {
    if (auto s = refuse_no_pivot(no_pivot); !s) return std::unexpected(std::move(s.error()));
    options.create.in_scope = globals.systemd_cgroup;
    return restore_container(globals.root, options, log);
  });
}

void add_features(Commands& commands) {
  auto* features = commands.add("features", "print what this runtime can do");
  commands.act(features, [](const Globals&, Log&) -> Result<int> {
    auto json = features_json();
    if (!json) return std::unexpected(std::move(json.error()));
    std::printf("%s\n", json->c_str());
    return 0;
  });
}

void add_spec(Commands& commands) {
  static std::string bundle = ".";
  static bool rootless = false;
  auto* spec = commands.add("spec", "write a config.json to begin with");
  spec->add_option("-b,--bundle", bundle, "where")->capture_default_str();
  spec->add_flag("--rootless", rootless, "one that the calling user can make, without being root");
  commands.act(spec, [](const Globals&, Log&) { return code_of(write_default_config(bundle, rootless)); });
}

struct Command {
  const char* name;
  void (*add)(Commands& commands);
};
constexpr Command kCommands[] = {
    {"create", add_create},
    {"run", add_run},
    {"start", add_start},
    {"exec", add_exec},
    {"state", add_state},
    {"list", add_list},
    {"ps", add_ps},
    {"kill", add_kill},
    {"delete", add_delete},
    {"pause", add_freezing<true>},
    {"resume", add_freezing<false>},
    {"update", add_update},
    {"events", add_events},
    {"checkpoint", add_checkpoint},
    {"restore", add_restore},
    {"features", add_features},
    {"spec", add_spec},
};

// To make the flags of all commands takes as long as to mount a root. So only those that the command line has are
// there, or all: for help, and when it has none.
void add_commands(Commands& commands, std::span<char*> words) {
  auto has = [&](std::string_view word) { return std::ranges::find(words, word) != words.end(); };
  bool for_help = has("--help") || has("-h");
  bool names_one = std::ranges::any_of(kCommands, [&](const Command& each) { return has(each.name); });
  for (const Command& each : kCommands) {
    if (for_help || !names_one || has(each.name)) each.add(commands);
  }
}

int run(Commands& commands, const Globals& globals, const std::string& command, char** argv) {
  bool is_exec = command == "exec";
  // First of all: whatever is opened later must not be taken for one of these.
  if (command == "create" || command == "run") commands.preserve_fds += activated_fds();
  Status ready = check_preserved_fds(commands.preserve_fds);
  auto log =
      Log::open(globals.log_path, globals.log_format == "json" ? LogFormat::kJson : LogFormat::kText, globals.debug);
  if (!log) {
    std::fprintf(stderr, "gantry-oci: %s\n", log.error().message().c_str());
    return kFailed;
  }
  if (ready && (is_exec || command == "create" || command == "run")) {
    sys::reset_signals();
    ready = run_unwritable(argv);
  }
  Result<int> result = ready ? commands.action(globals, *log) : std::unexpected(std::move(ready.error()));
  if (result) return *result;
  std::string message = result.error().message();
  log->error(message);
  if (!globals.log_path.empty()) std::fprintf(stderr, "gantry-oci: %s\n", as_utf8(message, kMostShown).c_str());
  return is_exec ? kExecFailed : kFailed;
}

}  // namespace
}  // namespace gantry::cli

int main(int argc, char** argv) {
  using namespace gantry::cli;
  if (auto s = gantry::sys::fill_standard_streams(); !s) {
    std::fprintf(stderr, "gantry-oci: %s\n", s.error().message().c_str());
    return kFailed;
  }
  CLI::App app("Gantry's OCI runtime", "gantry-oci");
  app.require_subcommand(1);
  app.set_version_flag("-v,--version", "gantry-oci version " GANTRY_VERSION "\nspec: 1.2.0");
  Globals globals;
  app.add_option("--root", globals.root,
                 "where containers' states are kept (default: /run/gantry-oci; of who is not "
                 "root, $XDG_RUNTIME_DIR/gantry-oci)");
  app.add_option("--log", globals.log_path, "where messages go (default: standard error)");
  app.add_option("--log-format", globals.log_format, "text or json")->check(CLI::IsMember({"text", "json"}));
  app.add_flag("--debug", globals.debug, "also say where the time of a start went");
  app.add_flag("--systemd-cgroup", globals.systemd_cgroup, "a container's cgroup is in a scope of systemd's");
  app.add_option("--rootless", globals.rootless, "do without cgroups that can't be made: auto, true or false")
      ->check(CLI::IsMember({"auto", "true", "false"}));
  Commands commands{app};
  add_commands(commands, std::span(argv + 1, argv + argc));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  if (globals.root.empty()) globals.root = default_state_folder();
  int code = run(commands, globals, app.get_subcommands().front()->get_name(), argv);
#if __has_feature(address_sanitizer)
  return code;  // leaks are looked for at exit
#else
  // What is left is memory alone, which goes faster with the process.
  (void)std::fflush(nullptr);
  ::_exit(code);
#endif
}

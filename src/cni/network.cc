// SPDX-License-Identifier: Apache-2.0
#include "cni/network.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "api/json.h"
#include "base/text.h"
#include "netns/named_namespace.h"
#include "sys/file.h"
#include "sys/program.h"

namespace gantry::cni {
namespace {

using api::Value;

constexpr std::string_view kInterface = "eth0", kNetworkScope = "network-";
constexpr std::chrono::seconds kEndLimit{10};       // for the end of what was killed
constexpr std::chrono::seconds kQuestionLimit{10};  // for VERSION and STATUS, which change nothing
constexpr std::chrono::seconds kReadyFor{10};
constexpr std::chrono::seconds kPatience{3};
constexpr std::size_t kMaxWords = 1000;  // of a plugin's in an error

// Ours, but for what systemd told this process alone and for what is CNI's.
std::vector<std::string> environment(const std::vector<std::string>& cni) {
  auto variables = sys::environment_with({});
  std::erase_if(variables, [](const std::string& variable) {
    return variable.starts_with("CNI_") || variable.starts_with("NOTIFY_SOCKET=") || variable.starts_with("LISTEN_") ||
           variable.starts_with("WATCHDOG_");
  });
  variables.insert(variables.end(), cni.begin(), cni.end());
  return variables;
}

// What a plugin that was run to its end has to say for itself.
Result<std::string> judge(sys::ProgramEnd end) {
  if (end.status.signal == 0 && end.status.code == 0) return std::move(end.output);
  std::string said(trimmed(end.errors).empty() ? trimmed(end.output) : trimmed(end.errors));
  auto error = parse_plugin_error(end.output);
  if (end.status.signal != 0 || !error) {
    return std::unexpected(sys::ended_well(end, cat("it says ", quoted(said, kMaxWords))).error());
  }
  std::string details = error->details.empty() ? "" : cat(": ", error->details);
  return fail(Code::kUnavailable, cat("code ", error->code, ": ", as_utf8(cat(error->message, details), kMaxWords)));
}

std::string words_of(const std::vector<Version>& versions) {
  std::string words;
  for (Version version : versions) words += cat(words.empty() ? "" : ", ", to_string(version));
  return words.empty() ? "none that is known" : words;
}

}  // namespace

Network::Network(Loop& loop, Pool& pool, db::Database& database, const cgroups::CgroupfsDriver& cgroups,
                 std::string cgroup, FdRef starter, Options options)
    : loop_(loop),
      pool_(pool),
      journal_(database),
      cgroups_(cgroups),
      cgroup_(std::move(cgroup)),
      starter_(starter),
      options_(std::move(options)) {}

std::string Network::plugin_path() const {
  std::string path;
  for (const std::string& folder : options_.plugin_folders) path += cat(path.empty() ? "" : ":", folder);
  return path;
}

// No sandbox has such an id, and no earlier gantryd these numbers.
std::string Network::network_scope() { return cat(kNetworkScope, ::getpid(), "-", ++scopes_); }

// What is in it is an earlier gantryd's. Most plugins can't be cut short without leaving something for good.
Task<Status> Network::end_scope(std::string scope) {
  std::string folder = cat(cgroup_, "/", scope);
  auto cgroup = cgroups_.open(folder);
  if (!cgroup) co_return Status();
  (void)co_await cgroup->wait_empty(loop_, options_.limit);
  auto ended = co_await cgroups_.remove(loop_, folder, kEndLimit);
  if (!ended) co_return fail_with(std::move(ended.error()), "end a CNI plugin of an earlier gantryd");
  co_return Status();
}

Task<Status> Network::end_earlier() {
  auto ended = co_await cgroups_.remove(loop_, cgroup_, kEndLimit);
  if (!ended) co_return fail_with(std::move(ended.error()), "end CNI plugins of an earlier gantryd");
  co_return Status();
}

// ---- one plugin

Task<Network::Output> Network::run(std::string type, std::string scope, Call call, std::string input) {
  std::string what = cat("CNI plugin ", quoted(type), ", ", call.command);
  auto path = co_await pool_.run([type, folders = plugin_path()] { return sys::find_program(type, folders); });
  if (!path) co_return fail_with(std::move(path.error()).with_code(Code::kFailedPrecondition), what);
  auto ended = co_await end_scope(scope);
  if (!ended) co_return std::unexpected(std::move(ended.error()));
  std::string folder = cat(cgroup_, "/", scope);
  auto made = cgroups_.make(folder);
  if (!made) co_return fail_with(std::move(made.error()), what);
  auto output = co_await run_within(made->cgroup, std::move(*path), call, std::move(input));
  auto removed = co_await cgroups_.remove(loop_, folder, kEndLimit);
  (void)cgroups_.remove_empty(cgroup_);  // unless others are in it
  if (!output) co_return fail_with(std::move(output.error()), what);
  if (!removed) co_return fail_with(std::move(removed.error()), cat(what, ": end what it left running"));
  co_return output;
}

Task<Network::Output> Network::run_within(const cgroups::Cgroup& cgroup, std::string path, const Call& call,
                                          std::string input) {
  auto place = sys::openat(cgroup.dir(), "cgroup.procs", O_WRONLY);
  if (!place) co_return std::unexpected(std::move(place.error()));
  std::vector<std::string> variables{cat("CNI_COMMAND=", call.command), cat("CNI_PATH=", plugin_path())};
  if (!call.sandbox_id.empty()) {
    variables.insert(variables.end(), {cat("CNI_CONTAINERID=", call.sandbox_id), cat("CNI_IFNAME=", kInterface),
                                       cat("CNI_NETNS=", call.netns), cat("CNI_ARGS=", call.args)});
  }
  const bool question = call.command == "VERSION" || call.command == "STATUS";
  const std::chrono::seconds limit = question ? std::min(options_.limit, kQuestionLimit) : options_.limit;
  auto end = co_await pool_.run([starter = starter_, place = std::move(*place), path = std::move(path),
                                 variables = environment(variables), input = std::move(input), limit] {
    Command command;
    command.executable = starter;
    command.argv = {"gantry-shim", "--in-cgroup", path};
    command.envp = variables;
    command.fds = {place};
    return sys::run_program(std::move(command), input, kMaxAnswerBytes, std::chrono::steady_clock::now() + limit);
  });
  if (!end && end.error().is_deadline())
    co_return fail(Code::kUnavailable, cat("it has not ended within ", limit.count(), " s, and was killed"));
  if (!end) co_return std::unexpected(std::move(end.error()));
  co_return judge(std::move(*end));
}

// ---- which configuration, and in which version

// Empty: the plugin does not say.
Task<Result<std::vector<Version>>> Network::versions_of(std::string type, std::string scope) {
  struct Found {
    std::string path;
    struct stat info;
  };
  auto found = co_await pool_.run([type, folders = plugin_path()]() -> Result<Found> {
    auto path = sys::find_program(type, folders);
    if (!path) return std::unexpected(std::move(path.error()));
    auto info = sys::fstatat(sys::kCwd, path->c_str(), 0);
    if (!info) return std::unexpected(std::move(info.error()));
    return Found{std::move(*path), *info};
  });
  if (!found)
    co_return fail_with(std::move(found.error()).with_code(Code::kFailedPrecondition),
                        cat("CNI plugin ", quoted(type)));
  Known now{.device = static_cast<std::int64_t>(found->info.st_dev),
            .inode = static_cast<std::int64_t>(found->info.st_ino),
            .size = found->info.st_size,
            .changed_s = found->info.st_ctim.tv_sec,
            .changed_ns = found->info.st_ctim.tv_nsec,
            .versions = {}};
  if (auto known = known_.find(found->path); known != known_.end() && known->second.same_file(now))
    co_return known->second.versions;
  std::string input = api::write_json(Value::object({{"cniVersion", to_string(Version::k1_1_0)}}));
  auto said = co_await run(std::move(type), std::move(scope), {.command = "VERSION"}, std::move(input));
  auto versions = said ? parse_versions(*said) : Result<std::vector<Version>>(std::unexpected(said.error()));
  // Small plugins know ADD and DEL alone. If there is more to it, these will say.
  if (!versions) co_return std::vector<Version>();
  now.versions = *versions;
  known_.insert_or_assign(std::move(found->path), std::move(now));
  co_return versions;
}

Task<Result<Network::Chosen>> Network::choose(std::string scope) {
  auto config = co_await pool_.run([folder = options_.config_folder] { return read_network_config(folder); });
  if (!config) co_return fail_with(std::move(config.error()).with_code(Code::kFailedPrecondition), "pod network");
  std::vector<Version> common = config->versions;
  for (const Plugin& plugin : config->plugins) {
    auto versions = co_await versions_of(plugin.type, scope);
    if (!versions) co_return std::unexpected(std::move(versions.error()));
    if (versions->empty()) continue;
    auto before = common;
    std::erase_if(common, [&](Version version) { return std::ranges::find(*versions, version) == versions->end(); });
    if (!common.empty()) continue;
    co_return fail(Code::kFailedPrecondition,
                   cat("CNI plugin ", quoted(plugin.type), ": speaks versions ", words_of(*versions), ", and network ",
                       config->name, " wants ", words_of(before)));
  }
  Version highest = common.back();
  co_return Chosen{std::move(*config), highest};
}

// ---- attachments

Task<Result<std::vector<netns::IpAddress>>> Network::attach(std::string sandbox_id, OwnFd netns, PodWords words) {
  while (collecting_) {
    auto over = collecting_;
    co_await over->wait();
  }
  auto chosen = co_await choose(sandbox_id);
  if (!chosen) co_return std::unexpected(std::move(chosen.error()));
  std::string what = cat("CNI network ", chosen->config.name);
  std::string path = cat(options_.netns_folder, "/gantry-", sandbox_id);
  auto begun = co_await journal_.begin({.sandbox_id = sandbox_id,
                                        .netns = path,
                                        .config = network_text(chosen->config, chosen->version),
                                        .args = words.args,
                                        .capabilities = api::write_json(words.capabilities),
                                        .result = ""});
  if (!begun) co_return fail_with(std::move(begun.error()), cat(what, ": record the attachment"));
  auto named = co_await pool_.run([netns = std::move(netns), path] { return netns::name_namespace(netns, path); });
  if (!named) co_return fail_with(std::move(named.error()), what);
  AddResult result;
  bool first = true;
  for (const Plugin& plugin : chosen->config.plugins) {
    Value request =
        plugin_request(chosen->config, plugin, chosen->version, words.capabilities, first ? nullptr : &result.json);
    first = false;
    auto output =
        co_await run(plugin.type, sandbox_id, {"ADD", sandbox_id, path, words.args}, api::write_json(request));
    if (!output) co_return fail_with(std::move(output.error()), what);
    auto read = parse_result(*output, chosen->version, kInterface);
    if (!read) {
      co_return fail_with(std::move(read.error()).with_code(Code::kUnavailable),
                          cat(what, ": CNI plugin ", quoted(plugin.type), ", ADD"));
    }
    result = std::move(*read);
  }
  if (result.addresses.empty())
    co_return fail(Code::kUnavailable, cat(what, ": its plugins gave ", kInterface, " no address"));
  auto kept = co_await journal_.set_result(sandbox_id, api::write_json(result.json));
  if (!kept) co_return fail_with(std::move(kept.error()), cat(what, ": record the result"));
  std::vector<netns::IpAddress> addresses;
  for (bool v4 : {true, false}) {
    for (const auto& address : result.addresses) {
      if (address.is_v4() == v4) addresses.push_back(address);
    }
  }
  co_return addresses;
}

Task<Status> Network::run_for(Attachment attachment, std::string command) {
  auto config = parse_network_list(attachment.config);
  auto capabilities = api::parse_json(attachment.capabilities);
  auto previous = attachment.result.empty() ? Result<Value>(Value()) : api::parse_json(attachment.result);
  if (!config || !capabilities || !previous)
    co_return fail(Code::kDataLoss, cat("the record of the CNI attachment of ", attachment.sandbox_id, " is damaged"));
  const Version version = config->versions.back();
  // Before 0.4.0 there was none but for a chained ADD.
  const bool has_previous = previous->is_object() && version >= Version::k0_4_0;
  if (command == "CHECK" && (!has_previous || config->disable_check)) co_return Status();
  bool lives = co_await pool_.run([path = attachment.netns] { return netns::is_named_namespace(path); });
  Call call{command, attachment.sandbox_id, lives ? attachment.netns : "", attachment.args};
  if (command == "DEL") std::ranges::reverse(config->plugins);
  for (const Plugin& plugin : config->plugins) {
    Value request = plugin_request(*config, plugin, version, *capabilities, has_previous ? &*previous : nullptr);
    auto output = co_await run(plugin.type, attachment.sandbox_id, call, api::write_json(request));
    if (!output) co_return fail_with(std::move(output.error()), cat("CNI network ", config->name));
  }
  co_return Status();
}

Task<Status> Network::detach(std::string sandbox_id) {
  auto attachment = co_await journal_.find(sandbox_id);
  if (!attachment) co_return fail_with(std::move(attachment.error()), "read the CNI attachment");
  if (!*attachment) co_return Status();
  std::string path = (*attachment)->netns;
  auto deleted = co_await run_for(std::move(**attachment), "DEL");
  if (!deleted) co_return deleted;
  auto removed = co_await pool_.run([path] { return netns::remove_namespace_name(path); });
  if (!removed) co_return removed;
  co_return co_await journal_.end(sandbox_id);
}

Task<Status> Network::check(std::string sandbox_id) {
  auto attachment = co_await journal_.find(sandbox_id);
  if (!attachment) co_return fail_with(std::move(attachment.error()), "read the CNI attachment");
  if (!*attachment) co_return Status();
  co_return co_await run_for(std::move(**attachment), "CHECK");
}

// ---- the network as a whole

Task<Status> Network::ask_ready() {
  std::string scope = network_scope();
  auto chosen = co_await choose(scope);
  if (!chosen) co_return std::unexpected(std::move(chosen.error()));
  std::string text = network_text(chosen->config, chosen->version);
  if (text == ready_text_ && std::chrono::steady_clock::now() < ready_until_) co_return Status();
  if (chosen->version >= Version::k1_1_0) {
    for (const Plugin& plugin : chosen->config.plugins) {
      Value request = plugin_request(chosen->config, plugin, chosen->version, Value(Value::Object()), nullptr);
      auto output = co_await run(plugin.type, scope, {.command = "STATUS"}, api::write_json(request));
      if (!output) co_return fail_with(std::move(output.error()), cat("CNI network ", chosen->config.name));
    }
  }
  ready_text_ = std::move(text);
  ready_until_ = std::chrono::steady_clock::now() + kReadyFor;
  co_return Status();
}

Task<Status> Network::ready() {
  if (!asking_) {
    asking_ = std::make_shared<Event>(loop_);
    loop_.spawn([](Network& self) -> Task<> {
      self.ready_ = co_await self.ask_ready();
      auto answered = std::exchange(self.asking_, nullptr);
      answered->set();
    }(*this));
  }
  auto answered = asking_;
  // It may be answered by now: nothing that is asked had to wait.
  if (answered && !co_await answered->wait_for(kPatience))
    co_return fail(Code::kUnavailable, cat("the CNI plugins have not answered within ", kPatience.count(), " s"));
  co_return ready_;
}

Task<Status> Network::collect(std::vector<std::string> more) {
  auto over = std::make_shared<Event>(loop_);
  collecting_ = over;
  Status collected = co_await end_network_scopes();
  auto valid = co_await attached();
  if (!valid) collected = std::unexpected(std::move(valid.error()));
  if (collected) {
    valid->insert(valid->end(), more.begin(), more.end());
    std::ranges::sort(*valid);
    valid->erase(std::ranges::unique(*valid).begin(), valid->end());
    collected = co_await collect_but(*valid);
  }
  collecting_ = nullptr;
  over->set();
  co_return collected;
}

// A GC of an earlier gantryd's knows nothing of the pods to come.
Task<Status> Network::end_network_scopes() {
  auto cgroup = cgroups_.open(cgroup_);
  auto names = cgroup ? cgroup->children() : Result<std::vector<std::string>>(std::vector<std::string>());
  if (!names) co_return std::unexpected(std::move(names.error()));
  for (const std::string& name : *names) {
    if (!name.starts_with(kNetworkScope)) continue;
    auto ended = co_await end_scope(name);
    if (!ended) co_return ended;
  }
  co_return Status();
}

Task<Status> Network::collect_but(const std::vector<std::string>& valid) {
  Value::List attachments;
  for (const std::string& id : valid)
    attachments.push_back(Value::object({{"containerID", id}, {"ifname", kInterface}}));
  std::string scope = network_scope();
  auto chosen = co_await choose(scope);
  // Without a configuration there is nobody to be asked.
  if (!chosen || chosen->version < Version::k1_1_0 || chosen->config.disable_gc) co_return Status();
  Status collected;
  for (const Plugin& plugin : chosen->config.plugins) {
    Value request = plugin_request(chosen->config, plugin, chosen->version, Value(Value::Object()), nullptr);
    set_member(request, "cni.dev/valid-attachments", attachments);
    set_member(request, "cni.dev/attachments", attachments);  // as libcni had it first
    auto output = co_await run(plugin.type, scope, {.command = "GC"}, api::write_json(request));
    // One that fails is not in the way of the others.
    if (!output && collected)
      collected = fail_with(std::move(output.error()), cat("CNI network ", chosen->config.name));
  }
  co_return collected;
}

}  // namespace gantry::cni

// SPDX-License-Identifier: Apache-2.0
#include "cri/handlers.h"

#include <fcntl.h>

#include <algorithm>
#include <boost/json.hpp>
#include <csignal>

#include "base/subprocess.h"
#include "base/text.h"
#include "cri/collect.h"
#include "cri/text.h"
#include "sys/file.h"

namespace gantry::cri {
namespace {

namespace json = boost::json;

constexpr std::chrono::seconds kLimit{10};
constexpr std::size_t kMaxOutput = 1U << 20;
constexpr std::size_t kMaxLog = 1U << 20;
constexpr std::size_t kMaxWords = 2048;

// One line of --log-format json.
std::string error_of(std::string_view line) {
  json::error_code error;
  json::value entry = json::parse(json::string_view(line.data(), line.size()), error);
  if (error || !entry.is_object()) return {};
  const auto* level = entry.get_object().if_contains("level");
  const auto* message = entry.get_object().if_contains("msg");
  if (level == nullptr || message == nullptr || !level->is_string() || !message->is_string()) return {};
  if (level->get_string() != "error" && level->get_string() != "fatal") return {};
  return std::string(message->get_string());
}

}  // namespace

const RuntimeHandler* find_handler(const std::vector<RuntimeHandler>& handlers, std::string_view name) {
  auto found = std::ranges::find(handlers, name, &RuntimeHandler::name);
  return found == handlers.end() ? nullptr : &*found;
}

std::map<std::string, std::string> told_annotations(const RuntimeHandler& handler, const v1::ContainerConfig& container,
                                                    const v1::PodSandboxConfig& pod) {
  std::map<std::string, std::string> told;
  for (const std::string& name : handler.annotations) {
    for (const auto* from : {&container.annotations(), &pod.annotations()}) {
      if (auto found = from->find(name); found != from->end()) told.emplace(name, found->second);
    }
  }
  return told;
}

std::vector<std::string> runtime_arguments(const RuntimeHandler& handler, const RuntimeFolders& folders,
                                           std::vector<std::string> command) {
  std::vector<std::string> out = {handler.path};
  out.insert(out.end(), handler.flags.begin(), handler.flags.end());
  for (std::string each : {std::string("--root"), folders.root, std::string("--log"),
                           cat(folders.folder, "/", folders.log), std::string("--log-format"), std::string("json")}) {
    out.push_back(std::move(each));
  }
  std::ranges::move(command, std::back_inserter(out));
  return out;
}

std::vector<std::string> runtime_environment() {
  return {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
}

std::string logged_errors(FdRef folder, const std::string& name) {
  auto text = sys::read_file(folder, name.c_str(), kMaxLog);
  if (!text) return {};
  std::string last;
  for (std::string_view line : split(*text, '\n')) {
    if (std::string error = error_of(line); !error.empty()) last = std::move(error);
  }
  return as_utf8(replaced(std::string(trimmed(last)), "\n", " "), kMaxWords);
}

namespace {

Task<> kill_when_late(std::shared_ptr<Event> over, std::shared_ptr<Process> process) {
  if (!co_await over->wait_for(kLimit)) (void)process->kill(SIGKILL);
}

}  // namespace

Task<Result<std::string>> run_runtime(Loop& loop, std::string path, std::vector<std::string> arguments) {
  auto out = make_pipe(OurEnd::kRead);
  auto err = make_pipe(OurEnd::kRead);
  if (!out) co_return std::unexpected(std::move(out.error()));
  if (!err) co_return std::unexpected(std::move(err.error()));
  Command command;
  command.path = path;
  command.argv = std::move(arguments);
  command.envp = runtime_environment();
  command.output = out->write;
  command.error = err->write;
  auto spawned = spawn(command);
  if (!spawned) co_return std::unexpected(std::move(spawned.error()));
  auto process = std::make_shared<Process>(std::move(*spawned));
  out->write.close();
  err->write.close();
  Collector said(loop, std::move(out->read), std::make_shared<CollectBudget>(kMaxOutput));
  Collector complained(loop, std::move(err->read), std::make_shared<CollectBudget>(kMaxWords));
  auto over = std::make_shared<Event>(loop);
  loop.spawn(kill_when_late(over, process));
  auto ended = co_await process->wait(loop);
  over->set();
  std::string output = said.finish();
  std::string words(trimmed(complained.finish()));
  if (!ended) co_return std::unexpected(std::move(ended.error()));
  if (ended->code == 0) co_return output;
  std::string how = ended->signal == SIGKILL ? cat("was not done within ", kLimit.count(), " s, or was killed")
                                             : cat("ended with ", ended->code);
  co_return fail(Code::kAborted, cat(path, " ", how, words.empty() ? "" : ": ", as_utf8(words, kMaxWords)));
}

namespace {

bool has_text(const json::value* list, std::string_view text) {
  return list != nullptr && list->is_array() && std::ranges::any_of(list->get_array(), [&](const json::value& each) {
           return each.is_string() && each.get_string() == text;
         });
}

json::value document_of(std::string_view features) {
  json::error_code error;
  json::value document = json::parse(json::string_view(features.data(), features.size()), error);
  return !error && document.is_object() ? document : json::value(json::object());
}

}  // namespace

bool has_mount_option(std::string_view features, std::string_view option) {
  auto document = document_of(features);
  return has_text(document.get_object().if_contains("mountOptions"), option);
}

bool has_namespace(std::string_view features, std::string_view kind) {
  auto document = document_of(features);
  const auto* linux_part = document.get_object().if_contains("linux");
  return linux_part != nullptr && linux_part->is_object() &&
         has_text(linux_part->get_object().if_contains("namespaces"), kind);
}

}  // namespace gantry::cri

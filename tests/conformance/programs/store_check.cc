// SPDX-License-Identifier: Apache-2.0
// Drives a store of the control plane for tests that kill what is around it.
//
//   store-check STORE contract              what store.h says, as TAP lines
//   store-check STORE history MS            concurrent clients and watchers for so long, as a TAP line
//   store-check STORE write PREFIX          writes until it is killed: one line KEY VALUE EXPECTED REVISION for each
//   answer store-check STORE verify PREFIX < lines says whether all of these lines are in the store's history
//   store-check STORE fill                  writes until that fails, says the error's code; then reads
//   store-check STORE get|put KEY [VALUE]
//
// STORE is sqlite:PATH, or etcd:URL,URL with CA, CERT and KEY in the environment.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>

#include "control/store/etcd/etcd_store.h"
#include "control/store/sqlite_store.h"
#include "tests/support/store/contract.h"
#include "tests/support/store/history_checker.h"

namespace gantry {
namespace {

using control::Store;

template <typename T>
Task<> keep(Loop& loop, Task<T> task, std::optional<T>& result) {
  result.emplace(co_await task);
  loop.stop();
}

template <typename T>
T run(Loop& loop, Task<T> task) {
  std::optional<T> result;
  loop.post([&] { loop.spawn(keep(loop, std::move(task), result)); });
  loop.run();
  return std::move(*result);
}

std::string variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

std::unique_ptr<Store> open_store(Loop& loop, const std::string& name) {
  if (name.starts_with("sqlite:")) {
    auto store = control::SqliteStore::open(name.substr(7));
    if (store) return std::move(*store);
    std::cerr << store.error().message() << "\n";
    return nullptr;
  }
  control::EtcdOptions options;
  std::istringstream urls(name.substr(5));
  for (std::string url; std::getline(urls, url, ',');) options.endpoints.push_back(url);
  options.ca_file = variable("CA");
  options.certificate_file = variable("CERT");
  options.key_file = variable("KEY");
  auto store = run(loop, control::EtcdStore::open(loop, options));
  if (store) return std::move(*store);
  std::cerr << store.error().message() << "\n";
  return nullptr;
}

int contract(Store& store, Loop& loop) {
  int count = 0, failed = 0;
  test::check_contract(store, loop, "/contract/", [&](bool holds, const std::string& what) {
    std::cout << (holds ? "ok " : "not ok ") << ++count << " - " << what << "\n";
    failed += holds ? 0 : 1;
  });
  return failed == 0 ? 0 : 1;
}

int history(Store& store, int length) {
  auto now = static_cast<unsigned>(std::chrono::steady_clock::now().time_since_epoch().count());
  auto report = test::check_history(store, {.prefix = "/history/" + std::to_string(::getpid()) + "/",
                                            .clients = 16,
                                            .length = std::chrono::milliseconds(length),
                                            .seed = now});
  for (const std::string& problem : report.problems) std::cout << "# " << problem << "\n";
  std::cout << (report.problems.empty() && report.acknowledged > 0 ? "ok" : "not ok") << " - " << report.acknowledged
            << " acknowledged, " << report.refused << " refused, " << report.unknown << " unknown, " << report.events
            << " events\n";
  return report.problems.empty() ? 0 : 1;
}

Task<> write_key(Store& store, Loop& here, std::string key) {
  for (int i = 0;; ++i) {
    auto read = co_await store.get(here, key);
    if (!read) {
      co_await here.sleep_for(std::chrono::milliseconds(20));
      continue;
    }
    std::int64_t expected = read->entry ? read->entry->mod_revision : control::kAbsent;
    std::string value = std::to_string(::getpid()) + "-" + key.substr(key.rfind('/') + 1) + "-" + std::to_string(i);
    auto answer = co_await store.write(here, {key, value, expected, {}});
    if (!answer || !answer->done) continue;
    std::string line =
        key + " " + value + " " + std::to_string(expected) + " " + std::to_string(answer->revision) + "\n";
    if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) std::exit(0);
  }
}

int write(Store& store, Loop& loop, const std::string& prefix) {
  loop.post([&] {
    for (int i = 0; i < 8; ++i) loop.spawn(write_key(store, loop, prefix + std::to_string(i)));
  });
  loop.run();
  return 0;
}

Task<std::vector<control::StoreEvent>> all_events(Store& store, Loop& here, std::string prefix) {
  std::vector<control::StoreEvent> events;
  auto end = co_await store.current_revision(here);
  auto watcher = store.watch(here, prefix, 0);
  std::int64_t seen = 0;
  while (end && seen < *end) {
    watcher->request_progress(*end);
    auto batch = co_await watcher->next();
    if (!batch) {
      std::cerr << batch.error().message() << "\n";
      break;
    }
    for (auto& event : batch->events) events.push_back(std::move(event));
    seen = batch->revision;
  }
  co_return events;
}

int verify(Store& store, Loop& loop, const std::string& prefix) {
  std::vector<test::Acknowledged> writes;
  for (std::string line; std::getline(std::cin, line);) {
    test::Acknowledged each;
    if (std::istringstream(line) >> each.key >> each.value >> each.expected >> each.revision) writes.push_back(each);
  }
  auto events = run(loop, all_events(store, loop, prefix));
  // Whatever was not acknowledged may be there: it was killed before it could say so.
  std::vector<std::string> unknown;
  for (const auto& event : events) unknown.push_back(event.entry->value);
  std::vector<std::string> problems;
  test::compare_history(events, writes, unknown, problems);
  for (const std::string& problem : problems) std::cout << "# " << problem << "\n";
  std::cout << (problems.empty() ? "" : "NOT ") << "all of " << writes.size() << " in " << events.size() << " events\n";
  return problems.empty() ? 0 : 1;
}

int fill(Store& store, Loop& loop) {
  for (int i = 0; i < 100000; ++i) {
    auto answer = run(
        loop, store.write(loop, {"/fill/" + std::to_string(i), std::string(100000, 'x'), control::kAnyRevision, {}}));
    if (answer) continue;
    auto read = run(loop, store.get(loop, "/fill/0"));
    std::cout << to_string(answer.error().code()) << " after " << i << ": " << answer.error().message() << "\n"
              << (read && read->entry ? "reads go on" : "no reads") << "\n";
    return 0;
  }
  return 1;
}

int get(Store& store, Loop& loop, const std::string& key) {
  auto read = run(loop, store.get(loop, key));
  if (!read) {
    std::cout << to_string(read.error().code()) << " " << read.error().message() << "\n";
    return 1;
  }
  std::cout << (read->entry ? read->entry->value : "(none)") << "\n";
  return 0;
}

int put(Store& store, Loop& loop, const std::string& key, const std::string& value) {
  auto answer = run(loop, store.write(loop, {key, value, control::kAnyRevision, {}}));
  std::cout << (answer ? std::to_string(answer->revision)
                       : std::string(to_string(answer.error().code())) + " " + answer.error().message())
            << "\n";
  return answer ? 0 : 1;
}

int dispatch(int count, char** words) {
  if (count < 3) return 2;
  Loop loop;
  auto store = open_store(loop, words[1]);
  if (!store) return 1;
  std::string verb = words[2];
  std::string first = count > 3 ? words[3] : "";
  if (verb == "contract") return contract(*store, loop);
  if (verb == "history") return history(*store, std::atoi(first.c_str()));
  if (verb == "write") return write(*store, loop, first);
  if (verb == "verify") return verify(*store, loop, first);
  if (verb == "fill") return fill(*store, loop);
  if (verb == "get") return get(*store, loop, first);
  if (verb == "put" && count > 4) return put(*store, loop, first, words[4]);
  return 2;
}

}  // namespace
}  // namespace gantry

int main(int count, char** words) { return gantry::dispatch(count, words); }

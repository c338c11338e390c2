// SPDX-License-Identifier: Apache-2.0
#include "cgroups/cgroup.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/text.h"
#include "cgroups/text.h"
#include "sys/dir_reader.h"
#include "sys/file.h"
#include "sys/xattr.h"

namespace gantry::cgroups {
namespace {

constexpr const char* kMark = "trusted.gantry.instance";
constexpr const char* kKept = "trusted.gantry.kept";
constexpr std::size_t kMaxMark = 64;
constexpr std::size_t kMaxProcs = 1U << 20;

// The kernel's own files, and systemd's view of which folder names would be taken for them.
constexpr std::string_view kReserved[] = {"cgroup",  "cpu",  "cpuset", "memory", "pids", "io",
                                          "hugetlb", "misc", "rdma",   "dmem",   "irq",  "perf_event"};

constexpr int kOpenFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

Status removed_or_gone(FdRef parent, const std::string& name) {
  auto removed = sys::unlinkat(parent, name.c_str(), AT_REMOVEDIR);
  if (!removed && removed.error().is_not_found()) return {};
  return removed;
}

// Removes `name` beneath `parent` with all below it, of any depth: who may make cgroups decides that. Two folders are
// open at a time. ".." is safe here: the kernel moves no cgroup to another parent.
Status remove_below(FdRef parent, std::string name) {
  std::vector<std::string> path = {std::move(name)};  // from `parent` to the one that is being removed
  DirFd above;                                        // its parent; `parent` where there is one name
  while (!path.empty()) {
    FdRef here = path.size() == 1 ? parent : above.ref();
    // Mostly it has no children, and one call does it.
    auto removed = removed_or_gone(here, path.back());
    if (removed) {
      path.pop_back();
      if (path.size() < 2) continue;
      auto up = sys::openat(above, "..", kOpenFolder);
      if (!up) return std::unexpected(std::move(up.error()));
      above = DirFd(std::move(*up));
      continue;
    }
    auto folder = sys::openat(here, path.back().c_str(), kOpenFolder);
    auto inner = folder ? list_folders(*folder) : std::unexpected(folder.error());
    if (!inner && (inner.error().is_not_found() || inner.error().is_gone())) continue;
    if (!inner) return std::unexpected(std::move(inner.error()));
    auto child = std::ranges::find_if(*inner, [&](const auto& each) { return !removed_or_gone(*folder, each); });
    if (child != inner->end()) {
      above = DirFd(std::move(*folder));
      path.push_back(std::move(*child));
    } else if (inner->empty()) {
      return removed;  // populated
    }
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> list_folders(FdRef dir) {
  auto reader = sys::DirReader::open(dir);
  if (!reader) return std::unexpected(std::move(reader.error()));
  auto entries = reader->next(std::numeric_limits<std::size_t>::max());
  if (!entries) return std::unexpected(std::move(entries.error()));
  std::vector<std::string> names;
  for (auto& entry : *entries) {
    if (entry.type == DT_DIR) names.push_back(std::move(entry.name));
  }
  return names;
}

Status check_cgroup_name(std::string_view name) {
  std::string_view problem;
  if (name.empty() || name.size() > 255) {
    problem = "expected 1 to 255 bytes";
  } else if (name == "." || name == "..") {
    problem = "\".\" and \"..\" are not names";
  } else if (std::ranges::any_of(name,
                                 [](char c) { return c == '/' || static_cast<unsigned char>(c) < ' ' || c == 0x7f; })) {
    problem = "no '/' and no control bytes in a name";
  } else if (auto dot = name.find('.');
             dot != name.npos && std::ranges::find(kReserved, name.substr(0, dot)) != std::end(kReserved)) {
    problem = "the kernel keeps names of this form for its own files";
  }
  if (problem.empty()) return {};
  return invalid_argument(cat("cgroup name ", quoted(name), ": ", problem));
}

Error Cgroup::named(Error&& error) const { return std::move(error).with_context("cgroup " + path_); }

Result<std::uint64_t> Cgroup::id() const {
  auto info = sys::fstat(dir_);
  if (!info) return std::unexpected(named(std::move(info.error())));
  return static_cast<std::uint64_t>(info->st_ino);
}

// ---- Children

Result<Cgroup> Cgroup::make_child(std::string_view name) const {
  if (auto checked = check_cgroup_name(name); !checked) return std::unexpected(std::move(checked.error()));
  if (auto made = sys::mkdirat(dir_, std::string(name).c_str(), 0755); !made) {
    return std::unexpected(named(std::move(made.error())));
  }
  return open_child(name);
}

Result<Cgroup> Cgroup::open_child(std::string_view name) const {
  if (auto checked = check_cgroup_name(name); !checked) return std::unexpected(std::move(checked.error()));
  std::string child(name);
  auto fd = sys::openat(dir_, child.c_str(), kOpenFolder);
  if (!fd) return std::unexpected(named(std::move(fd.error())));
  return Cgroup(DirFd(std::move(*fd)), path_ == "/" ? "/" + child : path_ + "/" + child);
}

Result<std::vector<std::string>> Cgroup::children() const {
  auto names = list_folders(dir_);
  if (!names) return std::unexpected(named(std::move(names.error())));
  std::ranges::sort(*names);
  return names;
}

Status Cgroup::remove_child(std::string_view name) const {
  if (auto checked = check_cgroup_name(name); !checked) return checked;
  if (auto removed = remove_below(dir_, std::string(name)); !removed) {
    return std::unexpected(named(std::move(removed.error())));
  }
  return {};
}

// ---- Controllers

Result<std::vector<std::string>> Cgroup::controllers() const {
  auto text = sys::read_file(dir_, "cgroup.controllers", kMaxFile);
  if (!text) return std::unexpected(named(std::move(text.error())));
  return split_words(*text);
}

Result<std::vector<std::string>> Cgroup::enabled_for_children() const {
  auto text = sys::read_file(dir_, "cgroup.subtree_control", kMaxFile);
  if (!text) return std::unexpected(named(std::move(text.error())));
  return split_words(*text);
}

Result<std::vector<NotEnabled>> Cgroup::enable_for_children(std::span<const std::string_view> wanted) const {
  std::vector<NotEnabled> refused;
  auto enabled = enabled_for_children();
  if (!enabled) return std::unexpected(std::move(enabled.error()));
  auto is_enabled = [&](std::string_view name) { return contains(*enabled, name); };
  if (std::ranges::all_of(wanted, is_enabled)) return refused;
  auto here = controllers();
  if (!here) return std::unexpected(std::move(here.error()));
  for (std::string_view name : wanted) {
    if (is_enabled(name)) continue;
    if (!contains(*here, name)) {
      refused.push_back({std::string(name), "cgroup " + path_ + " does not have it"});
      continue;
    }
    // One by one: the kernel takes all of a line or none.
    auto written = sys::write_file(dir_, "cgroup.subtree_control", std::string("+").append(name));
    if (!written) refused.push_back({std::string(name), named(std::move(written.error())).message()});
  }
  return refused;
}

// ---- Processes

Result<Cgroup::Events> Cgroup::events() const {
  auto text = sys::read_file(dir_, "cgroup.events", kMaxFile);
  if (!text) return std::unexpected(named(std::move(text.error())));
  return parse_events(*text);
}

Cgroup::Events parse_events(std::string_view text) {
  auto values = parse_keyed(text);
  Cgroup::Events events;
  events.populated = values["populated"] != 0;
  events.frozen = values["frozen"] != 0;
  return events;
}

Result<std::vector<pid_t>> Cgroup::processes() const {
  auto text = sys::read_file(dir_, "cgroup.procs", kMaxProcs);
  if (!text) return std::unexpected(named(std::move(text.error())));
  std::vector<pid_t> pids;
  for (const std::string& word : split_words(*text)) {
    pid_t pid = 0;
    std::from_chars(word.data(), word.data() + word.size(), pid);
    pids.push_back(pid);
  }
  return pids;
}

Status Cgroup::kill() const {
  if (auto written = sys::write_file(dir_, "cgroup.kill", "1"); !written) {
    return std::unexpected(named(std::move(written.error())));
  }
  return {};
}

Status Cgroup::set_frozen(bool frozen) const {
  if (auto written = sys::write_file(dir_, "cgroup.freeze", frozen ? "1" : "0"); !written) {
    return std::unexpected(named(std::move(written.error())));
  }
  return {};
}

// ---- The mark

Status Cgroup::mark(std::string_view instance) const {
  if (instance.empty() || instance.size() > kMaxMark) {
    return invalid_argument("cgroup " + path_ + ": a mark of " + std::to_string(instance.size()) +
                            " bytes, expected 1 to " + std::to_string(kMaxMark));
  }
  if (auto set = sys::fsetxattr(dir_, kMark, instance); !set) return std::unexpected(named(std::move(set.error())));
  return {};
}

Result<std::optional<std::string>> Cgroup::marked_by() const {
  auto mark = sys::fgetxattr(dir_, kMark);
  if (!mark) return std::unexpected(named(std::move(mark.error())));
  return mark;
}

Status Cgroup::keep() const {
  if (auto set = sys::fsetxattr(dir_, kKept, "1"); !set) return std::unexpected(named(std::move(set.error())));
  return {};
}

Result<bool> Cgroup::is_kept() const {
  auto kept = sys::fgetxattr(dir_, kKept);
  if (!kept) return std::unexpected(named(std::move(kept.error())));
  return kept->has_value();
}

}  // namespace gantry::cgroups

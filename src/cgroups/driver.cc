// SPDX-License-Identifier: Apache-2.0
#include "cgroups/driver.h"

#include <fcntl.h>

#include "cgroups/text.h"
#include "sys/file.h"

namespace gantry::cgroups {

namespace {

// Of a cgroup that was there already.
Result<bool> lost_its_mark(const Cgroup& cgroup, const Cgroup& parent, std::string_view instance,
                           std::string_view given) {
  auto mark = cgroup.marked_by();
  if (!mark) return std::unexpected(std::move(mark.error()));
  if (*mark) return false;
  if (cgroup.path() != given) {
    auto above = parent.marked_by();
    if (!above) return std::unexpected(std::move(above.error()));
    if (*above != instance) return false;
  }
  auto events = cgroup.events();
  if (!events) return std::unexpected(std::move(events.error()));
  auto children = cgroup.children();
  if (!children) return std::unexpected(std::move(children.error()));
  return !events->populated && children->empty();
}

}  // namespace

Result<CgroupfsDriver::Made> CgroupfsDriver::make(std::string_view path) const {
  auto parts = split_cgroup_path(path);
  if (!parts) return std::unexpected(std::move(parts.error()));
  if (parts->empty())
    return invalid_argument("make cgroup \"" + std::string(path) + "\": the root of the hierarchy is there");

  std::vector<std::string_view> wanted;
  for (std::string_view name : kControllers) {
    if (hierarchy_->has(name)) wanted.push_back(name);
  }
  auto root = hierarchy_->open("/");
  if (!root) return std::unexpected(std::move(root.error()));
  Made made{std::move(*root)};
  std::vector<NotEnabled> refused;  // the first reason for each controller is the one that counts
  for (const std::string& part : *parts) {
    auto more = made.cgroup.enable_for_children(wanted);
    if (!more) return std::unexpected(std::move(more.error()));
    for (NotEnabled& each : *more) refused.push_back(std::move(each));

    auto child = made.cgroup.make_child(part);
    made.existed = !child && child.error().is_already_exists();
    if (made.existed) child = made.cgroup.open_child(part);
    if (!child) return std::unexpected(std::move(child.error()));
    if (made.existed && !instance_.empty()) {
      auto lost = lost_its_mark(*child, made.cgroup, instance_, given_);
      if (!lost) return std::unexpected(std::move(lost.error()));
      if (*lost) {
        if (auto marked = child->mark(instance_); !marked) return std::unexpected(std::move(marked.error()));
      }
    } else if (!instance_.empty()) {
      if (auto marked = child->mark(instance_); !marked) {
        (void)made.cgroup.remove_child(part);
        return std::unexpected(std::move(marked.error()));
      }
    }
    made.cgroup = std::move(*child);
  }

  auto has = made.cgroup.controllers();
  if (!has) return std::unexpected(std::move(has.error()));
  for (std::string_view name : kControllers) {
    if (contains(*has, name)) continue;
    std::string reason = "not in the hierarchy at " + hierarchy_->mount_point();
    if (hierarchy_->has(name)) {
      reason = "not passed on by the cgroups above";
      for (const NotEnabled& each : refused) {
        if (each.controller != name) continue;
        reason = each.reason;
        break;
      }
    }
    made.lacking.push_back({std::string(name), std::move(reason)});
  }
  return made;
}

Status CgroupfsDriver::remove_empty(std::string_view path) const {
  auto parts = split_cgroup_path(path);
  if (!parts) return std::unexpected(std::move(parts.error()));
  if (parts->empty()) {
    return invalid_argument("remove cgroup \"" + std::string(path) + "\": the root of the hierarchy can't be removed");
  }
  std::string name = std::move(parts->back());
  parts->pop_back();
  std::string above = "/";
  for (const std::string& part : *parts) above.append(above.size() == 1 ? "" : "/").append(part);
  auto parent = hierarchy_->open(above);
  if (!parent) return parent.error().is_not_found() ? Status() : std::unexpected(std::move(parent.error()));
  // One rmdir, and never the children with it: an empty one may be new, with a process about to be born in it.
  auto removed = sys::unlinkat(parent->dir(), name.c_str(), AT_REMOVEDIR);
  if (!removed && !removed.error().is_not_found()) return fail_with(std::move(removed.error()), "cgroup " + above);
  return {};
}

}  // namespace gantry::cgroups

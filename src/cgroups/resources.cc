// SPDX-License-Identifier: Apache-2.0
#include "cgroups/resources.h"

#include "base/text.h"
#include "cgroups/controllers.h"
#include "cgroups/text.h"
#include "sys/file.h"

namespace gantry::cgroups {

std::string limit_text(std::int64_t value) { return value == -1 ? "max" : std::to_string(value); }

Result<bool> LimitWriter::write_if_there(const std::string& file, const std::string& value) {
  auto fd = sys::openat(cgroup_->dir(), file.c_str(), O_WRONLY | O_NOFOLLOW);
  if (!fd) {
    if (fd.error().is_not_found()) return false;
    return fail_with(std::move(fd.error()), "cgroup " + cgroup_->path());
  }
  auto written = sys::write(*fd, value.data(), value.size());
  if (written) return true;
  return fail_with(std::move(written.error()),
                   cat("cgroup ", cgroup_->path(), ": set ", file, " to ", quoted(value, 128)));
}

Status LimitWriter::write(const std::string& file, const std::string& value) {
  auto there = write_if_there(file, value);
  if (!there) return std::unexpected(std::move(there.error()));
  if (*there) return {};
  return not_enforced(file, value);
}

Status LimitWriter::not_enforced(const std::string& file, const std::string& value) {
  if (!controllers_) {
    // Every live cgroup has this file: without it the cgroup itself is gone.
    auto controllers = cgroup_->controllers();
    if (!controllers) return std::unexpected(std::move(controllers.error()));
    controllers_ = std::move(*controllers);
  }
  std::string controller = file.substr(0, file.find('.'));
  bool has = contains(*controllers_, controller);
  list_.push_back({file, value,
                   has ? "this kernel's " + controller + " controller has no file " + file
                       : "cgroup " + cgroup_->path() + " has no " + controller + " controller"});
  return {};
}

Result<std::optional<std::string>> LimitWriter::read(const std::string& file) const {
  auto text = sys::read_file(cgroup_->dir(), file.c_str(), kMaxFile);
  if (text) return std::optional(std::move(*text));
  if (text.error().is_not_found()) return std::optional<std::string>();
  return fail_with(std::move(text.error()), "cgroup " + cgroup_->path());
}

Status validate(const Resources& resources) {
  Status checks[] = {validate(resources.cpu),
                     validate(resources.cpuset),
                     validate(resources.memory),
                     validate_pids(resources.pids),
                     validate(resources.io),
                     validate(resources.hugepages),
                     validate_unified(resources.unified)};
  for (Status& check : checks) {
    if (!check) return std::move(check);
  }
  return {};
}

Result<std::vector<NotEnforced>> apply(const Cgroup& cgroup, const Resources& resources) {
  if (auto checked = validate(resources); !checked) return std::unexpected(std::move(checked.error()));
  LimitWriter writer(cgroup);
  Status status = apply(writer, resources.cpu);
  if (status) status = apply(writer, resources.cpuset);
  if (status) status = apply(writer, resources.memory);
  if (status) status = apply_pids(writer, resources.pids);
  if (status) status = apply(writer, resources.io);
  if (status) status = apply(writer, resources.hugepages);
  if (status) status = apply_unified(writer, resources.unified);
  if (!status) return std::unexpected(std::move(status.error()));
  return std::move(writer).take();
}

}  // namespace gantry::cgroups

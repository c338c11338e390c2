// SPDX-License-Identifier: Apache-2.0
#include "agent/image_gc.h"

#include <algorithm>
#include <tuple>

#include "base/log.h"
#include "cri/runtime/v1/api.pb.h"

namespace gantry::agent {

namespace v1 = ::runtime::v1;

int DiskSpace::percent_used() const {
  if (capacity == 0) return 0;
  return 100 - static_cast<int>(available * 100 / capacity);
}

ImageGc::ImageGc(cri::RuntimeService& runtime, cri::ImageService& images, ImageGcLimits limits,
                 std::function<Result<DiskSpace>(const std::string&)> space)
    : runtime_(runtime), images_(images), limits_(limits), space_(std::move(space)) {}

// Ids of images that containers were made of or have as volumes, also of those that ended: they may be looked at.
Task<Result<std::set<std::string>>> ImageGc::used() {
  auto list = co_await runtime_.list_containers({});
  if (!list) co_return std::unexpected(std::move(list.error()));
  std::set<std::string> ids;
  for (const auto& container : list->containers()) {
    ids.insert(container.image_id());
    v1::ContainerStatusRequest request;
    request.set_container_id(container.id());
    auto status = co_await runtime_.container_status(request);
    if (!status && status.error().is_not_found()) continue;
    if (!status) co_return std::unexpected(std::move(status.error()));
    for (const auto& mount : status->status().mounts()) {
      if (mount.has_image()) ids.insert(mount.image().image_ref());
    }
  }
  co_return ids;
}

// What is here, and what of it is used. Images of before the first look count as seen long ago.
Task<Status> ImageGc::look(TimePoint now) {
  auto list = co_await images_.list_images({});
  if (!list) co_return std::unexpected(std::move(list.error()));
  auto ids = co_await used();
  if (!ids) co_return std::unexpected(std::move(ids.error()));
  std::map<std::string, Known> next;
  for (const auto& image : list->images()) {
    auto before = known_.find(image.id());
    Known known = before != known_.end() ? before->second
                  : has_looked_          ? Known{.first_seen = now, .last_used = now}
                                         : Known{.first_seen = now - limits_.min_age, .last_used = now};
    known.is_used = ids->contains(image.id());
    known.is_pinned = image.pinned();
    if (known.is_used) known.last_used = now;
    known.was_used |= known.is_used;
    next.emplace(image.id(), known);
  }
  known_ = std::move(next);
  has_looked_ = true;
  co_return Status();
}

// What was never used first, then the least recently used.
std::vector<std::string> ImageGc::removable(TimePoint now) const {
  std::vector<std::tuple<TimePoint, TimePoint, std::string>> order;
  for (const auto& [id, known] : known_) {
    if (known.is_used || known.is_pinned || now - known.first_seen < limits_.min_age) continue;
    order.emplace_back(known.was_used ? known.last_used : TimePoint::min(), known.first_seen, id);
  }
  std::ranges::sort(order);
  std::vector<std::string> ids;
  for (auto& [used, seen, id] : order) ids.push_back(std::move(id));
  return ids;
}

Task<bool> ImageGc::remove(std::string id) {
  v1::RemoveImageRequest request;
  request.mutable_image()->set_image(id);
  auto removed = co_await images_.remove_image(request);
  if (!removed) {
    log::warning("an image could not be removed; passing it over", {{"image", id}, {"error", removed.error()}});
    co_return false;
  }
  known_.erase(id);
  co_return true;
}

// The path of the image file system, and its space.
Task<Result<std::pair<std::string, DiskSpace>>> ImageGc::measure() {
  auto info = co_await images_.image_fs_info({});
  if (!info) co_return std::unexpected(std::move(info.error()));
  if (info->image_filesystems().empty()) co_return fail(Code::kInternal, "the runtime names no image file system");
  std::string path = info->image_filesystems(0).fs_id().mountpoint();
  auto space = space_(path);
  if (!space) co_return std::unexpected(std::move(space.error()));
  co_return std::pair(std::move(path), *space);
}

Task<Status> ImageGc::remove_unused(TimePoint now) {
  if (auto looked = co_await look(now); !looked) co_return looked;
  for (const std::string& id : removable(now)) {
    if (co_await remove(id)) log::info("an image that nothing uses is removed for its disk", {{"image", id}});
  }
  co_return Status();
}

Task<Status> ImageGc::collect(TimePoint now) {
  if (auto looked = co_await look(now); !looked) co_return looked;
  if (limits_.max_age != Duration::zero()) {
    for (const std::string& id : removable(now)) {
      // It may have been removed meanwhile, for the disk.
      const auto known = known_.find(id);
      if (known == known_.end()) continue;
      const auto unused = now - known->second.last_used;
      if (unused <= limits_.max_age) continue;
      if (co_await remove(id)) {
        log::info("an image was not used for long and is removed",
                  {{"image", id}, {"seconds", std::chrono::duration_cast<std::chrono::seconds>(unused).count()}});
      }
    }
  }
  if (limits_.high_percent >= 100) co_return Status();
  auto measured = co_await measure();
  if (!measured) co_return std::unexpected(std::move(measured.error()));
  auto [path, space] = *measured;
  if (space.percent_used() < limits_.high_percent) co_return Status();
  log::info("the disk of images fills up", {{"path", path}, {"percent", space.percent_used()}});
  for (const std::string& id : removable(now)) {
    if (space.percent_used() <= limits_.low_percent) co_return Status();
    if (!co_await remove(id)) continue;
    log::info("an image that nothing uses is removed", {{"image", id}});
    // What it was worth is what there is now: layers are shared, and others write, too.
    auto then = space_(path);
    if (!then) co_return std::unexpected(std::move(then.error()));
    space = *then;
  }
  if (space.percent_used() <= limits_.low_percent) co_return Status();
  co_return fail(Code::kResourceExhausted, "images: " + path + " is " + std::to_string(space.percent_used()) +
                                               " % full, and no image is left that " + "may be removed to come to " +
                                               std::to_string(limits_.low_percent) + " %");
}

}  // namespace gantry::agent

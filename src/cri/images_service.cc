// SPDX-License-Identifier: Apache-2.0
// The CRI's image service over the image store. All of the store's calls block and are made on the pool.
#include <charconv>

#include "base/log.h"
#include "cri/objects.h"
#include "cri/runtime.h"
#include "cri/runtime/v1/api.pb.h"
#include "cri/text.h"
#include "cri/validate.h"

namespace gantry::cri {
namespace {

// The image's author wrote the user: digits are a uid, anything else a name, and what follows a colon is the group.
void set_user(std::string_view user, v1::Image& image) {
  std::string_view name = user.substr(0, user.find(':'));
  std::int64_t uid = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), uid);
  if (!name.empty() && error == std::errc() && end == name.data() + name.size() && uid >= 0) {
    image.mutable_uid()->set_value(uid);
  } else {
    image.set_username(std::string(name));
  }
}

v1::Image to_message(const images::Image& from) {
  v1::Image image;
  image.set_id(from.id);
  for (const auto& tag : from.tags) image.add_repo_tags(tag);
  for (const auto& digest : from.digests) image.add_repo_digests(digest);
  image.set_size(from.size);
  set_user(from.config.user, image);
  return image;
}

Status check_query(const v1::ImageSpec& spec) {
  if (spec.image().empty()) return invalid_argument("image.image: not given");
  if (spec.image().size() > kMaxImageNameBytes) {
    return invalid_argument(cat("image.image ", quoted(spec.image()), ": longer than ", kMaxImageNameBytes, " bytes"));
  }
  return {};
}

class StoreImageService final : public ImageService {
 public:
  StoreImageService(images::ImageStore& images, Pool& disk) : images_(images), disk_(disk) {}

  Task<Result<v1::ListImagesResponse>> list_images(v1::ListImagesRequest request) override {
    v1::ListImagesResponse response;
    const auto& wanted = request.filter().image();
    if (!wanted.image().empty()) {
      auto image = co_await find(wanted);
      if (!image) co_return std::unexpected(std::move(image.error()));
      if (*image) *response.add_images() = to_message(**image);
      co_return response;
    }
    auto all = co_await disk_.run([&images = images_] { return images.list(); });
    if (!all) co_return std::unexpected(std::move(all.error()));
    for (const auto& error : all->damaged) log::error("an image can't be read; leaving it out", {{"error", error}});
    for (const auto& image : all->images) *response.add_images() = to_message(image);
    co_return response;
  }

  Task<Result<v1::ImageStatusResponse>> image_status(v1::ImageStatusRequest request) override {
    auto image = co_await find(request.image());
    if (!image) co_return std::unexpected(std::move(image.error()));
    // One that is not there is no error here: the answer has no image.
    v1::ImageStatusResponse response;
    if (!*image) co_return response;
    *response.mutable_image() = to_message(**image);
    if (request.verbose()) {
      (*response.mutable_info())["info"] = cat("{\"imageSpec\":", images::to_json((*image)->config), "}");
    }
    co_return response;
  }

  Task<Result<v1::RemoveImageResponse>> remove_image(v1::RemoveImageRequest request) override {
    if (auto good = check_query(request.image()); !good) co_return std::unexpected(std::move(good.error()));
    auto removed =
        co_await disk_.run([&images = images_, query = request.image().image()] { return images.remove(query); });
    if (!removed) co_return fail_from(removed, cat("remove image ", quoted(request.image().image())));
    co_return v1::RemoveImageResponse();
  }

  Task<Result<v1::ImageFsInfoResponse>> image_fs_info(v1::ImageFsInfoRequest) override {
    auto usage = co_await disk_.run([&images = images_] { return images.fs_usage(); });
    if (!usage) co_return std::unexpected(std::move(usage.error()));
    v1::ImageFsInfoResponse response;
    // Images and writable layers are in one store on one file system. What the layers use is not counted for this.
    for (auto* entry : {response.add_image_filesystems(), response.add_container_filesystems()}) {
      entry->set_timestamp(now());
      entry->mutable_fs_id()->set_mountpoint(usage->path);
    }
    auto* images = response.mutable_image_filesystems(0);
    images->mutable_used_bytes()->set_value(usage->used_bytes);
    images->mutable_inodes_used()->set_value(usage->inodes_used);
    co_return response;
  }

 private:
  Task<Result<std::optional<images::Image>>> find(v1::ImageSpec spec) {
    if (auto good = check_query(spec); !good) co_return std::unexpected(std::move(good.error()));
    co_return co_await disk_.run([&images = images_, query = spec.image()] { return images.find(query); });
  }

  images::ImageStore& images_;
  Pool& disk_;
};

}  // namespace

std::unique_ptr<ImageService> make_image_service(images::ImageStore& images, Pool& disk) {
  return std::make_unique<StoreImageService>(images, disk);
}

}  // namespace gantry::cri

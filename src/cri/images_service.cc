// SPDX-License-Identifier: Apache-2.0
// The CRI's image service over the image store. All of the store's calls block and are made on the pool; a pull, which
// takes as long as a registry likes, has a thread of its own.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <system_error>

#include "base/log.h"
#include "cri/objects.h"
#include "cri/runtime.h"
#include "cri/runtime/v1/api.pb.h"
#include "cri/sync.h"
#include "cri/text.h"
#include "cri/validate.h"
#include "images/reference.h"
#include "images/registry/pull.h"

namespace gantry::cri {
namespace {

// Each holds a few threads and connections.
constexpr std::size_t kMaxPulls = 32;
// So that a slow registry leaves some to others.
constexpr std::size_t kMaxPullsOfOne = 24;
// A pull that takes long says in the log that it goes on.
constexpr std::chrono::seconds kTellOfPullEach(15);
constexpr std::chrono::nanoseconds kDiskSampleLife = std::chrono::seconds(10);
constexpr std::uint64_t kMaxEntries = 200'000;  // a walk costs about a microsecond for each

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
  image.set_pinned(from.pinned);
  image.mutable_spec()->set_image(from.id);
  for (const auto& [key, value] : from.annotations) (*image.mutable_spec()->mutable_annotations())[key] = value;
  return image;
}

Status check_query(const v1::ImageSpec& spec) {
  if (spec.image().empty()) return invalid_argument("image.image: not given");
  if (spec.image().size() > kMaxImageNameBytes) {
    return invalid_argument(cat("image.image ", quoted(spec.image()), ": longer than ", kMaxImageNameBytes, " bytes"));
  }
  return {};
}

images::CredentialWords words_of(const v1::AuthConfig& auth) {
  return {.username = auth.username(),
          .password = auth.password(),
          .auth = auth.auth(),
          .server_address = auth.server_address(),
          .identity_token = auth.identity_token(),
          .registry_token = auth.registry_token()};
}

// Who has other credentials must not get what these have opened.
std::string pull_key(const images::Reference& reference, const images::Credentials& credentials) {
  std::string key = reference.to_string();
  for (const std::string* part :
       {&credentials.username, &credentials.password, &credentials.identity_token, &credentials.registry_token}) {
    key += cat("\n", part->size(), ":", *part);
  }
  return key;
}

class StoreImageService final : public ImageService {
 public:
  StoreImageService(Loop& loop, images::ImageStore& images, Pool& disk, images::RegistryOptions registries)
      : loop_(loop), images_(images), disk_(disk), registries_(std::move(registries)), pulls_(loop) {}

  Task<Result<v1::ListImagesResponse>> list_images(v1::ListImagesRequest request) override {
    auto all = co_await matching(request.filter().image());
    if (!all) co_return std::unexpected(std::move(all.error()));
    v1::ListImagesResponse response;
    for (const auto& image : *all) *response.add_images() = to_message(image);
    co_return response;
  }

  Task<Result<v1::ImageStatusResponse>> image_status(v1::ImageStatusRequest request) override {
    auto image = co_await find(request.image());
    if (!image) co_return std::unexpected(std::move(image.error()));
    // One that is not there is no error here: the answer has no image.
    v1::ImageStatusResponse response;
    if (!*image) co_return response;
    *response.mutable_image() = to_message(**image);
    if (!request.verbose()) co_return response;
    auto documents = co_await disk_.run([&images = images_, id = (*image)->id] { return images.documents(id); });
    if (!documents) co_return std::unexpected(std::move(documents.error()));
    if (!*documents) co_return v1::ImageStatusResponse();  // removed meanwhile
    // As containerd says it; the configuration was parsed when it came, so that it is one JSON object.
    (*response.mutable_info())["info"] = cat("{\"chainID\":\"", images::chain_of((*image)->config).to_string(),
                                             "\",\"imageSpec\":", (*documents)->config, "}");
    co_return response;
  }

  Task<Result<v1::PullImageResponse>> pull_image(v1::PullImageRequest request, std::shared_ptr<Event> over) override {
    if (auto good = check_query(request.image()); !good) co_return std::unexpected(std::move(good.error()));
    auto reference = images::parse_reference(request.image().image());
    if (!reference) co_return std::unexpected(std::move(reference.error()));
    auto credentials = images::credentials_for(words_of(request.auth()), reference->domain);
    if (!credentials) co_return fail_from(credentials, cat("pull ", quoted(request.image().image())));
    std::string key = pull_key(*reference, *credentials);
    for (;;) {
      if (!pulls_.under_way(key)) callers_[key] = std::make_shared<Callers>();
      const std::shared_ptr<Callers> callers = callers_[key];
      ++callers->count;
      if (over) loop_.spawn(leave(over, callers));
      auto id =
          co_await pulls_.join(key, [this, reference = *reference, credentials = *credentials,
                                     stop = callers->stop.get_token()] { return pull(reference, credentials, stop); });
      if (!pulls_.under_way(key)) callers_.erase(key);
      // Those who had begun it had left before we came.
      if (!id && callers->stop.stop_requested() && !(over && over->is_set())) continue;
      if (!id) co_return std::unexpected(std::move(id.error()));
      v1::PullImageResponse response;
      response.set_image_ref(std::move(*id));
      co_return response;
    }
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
    if (auto measured = co_await measure_containers(); !measured)
      co_return std::unexpected(std::move(measured.error()));
    v1::ImageFsInfoResponse response;
    // Images and writable layers are in one store on one file system.
    auto* images = response.add_image_filesystems();
    images->set_timestamp(now());
    images->mutable_fs_id()->set_mountpoint(usage->path);
    images->mutable_used_bytes()->set_value(usage->used_bytes);
    images->mutable_inodes_used()->set_value(usage->inodes_used);
    auto* containers = response.add_container_filesystems();
    containers->set_timestamp(containers_at_);
    containers->mutable_fs_id()->set_mountpoint(usage->path);
    if (containers_) {
      containers->mutable_used_bytes()->set_value(containers_->bytes);
      containers->mutable_inodes_used()->set_value(containers_->inodes);
    }
    co_return response;
  }

 private:
  // Who waits for one pull.
  struct Callers {
    std::size_t count = 0;
    std::stop_source stop;
  };
  static Task<> leave(std::shared_ptr<Event> over, std::shared_ptr<Callers> callers) {
    co_await over->wait();
    if (--callers->count == 0) callers->stop.request_stop();
  }

  // Counts the pull for as long as this lives; kResourceExhausted when there are too many.
  Result<std::shared_ptr<void>> take_place(const images::Reference& reference) {
    auto refuse = [&](std::size_t most, std::string_view where) {
      return fail(Code::kResourceExhausted,
                  cat("pull ", quoted(reference.to_string()), ": ", most, " others", where, " are under way"));
    };
    std::size_t all = 0;
    for (const auto& [registry, count] : *pulls_under_way_) all += count;
    if (all == kMaxPulls) return refuse(kMaxPulls, "");
    if (pulls_under_way_->contains(reference.domain) && pulls_under_way_->at(reference.domain) == kMaxPullsOfOne)
      return refuse(kMaxPullsOfOne, " from this registry");
    ++(*pulls_under_way_)[reference.domain];
    return std::shared_ptr<void>(nullptr, [pulls = pulls_under_way_, registry = reference.domain](void*) {
      if (--(*pulls)[registry] == 0) pulls->erase(registry);
    });
  }

  // The image's id.
  Task<Result<std::string>> pull(images::Reference reference, images::Credentials credentials, std::stop_token stop) {
    const std::string name = reference.to_string();
    auto place = take_place(reference);
    if (!place) co_return std::unexpected(std::move(place.error()));
    images::PullOptions options;
    options.registry = registries_;
    options.registry.credentials = std::move(credentials);
    options.stop = std::move(stop);
    options.progress = [name](const images::PullProgress& progress) {
      log::debug(progress.was_here ? "a layer is here already" : "a layer was pulled",
                 {{"image", name}, {"layer", progress.layer.to_string()}, {"bytes", progress.bytes}});
    };
    const auto start = std::chrono::steady_clock::now();
    options.moved = [name, told = start](const images::PullBytes& bytes) mutable {
      const auto now = std::chrono::steady_clock::now();
      if (now - told < kTellOfPullEach) return;
      told = now;
      log::info("an image is coming", {{"image", name}, {"bytes", bytes.came}, {"of", bytes.of}});
    };
    std::optional<Pool> own;
    try {
      own.emplace(loop_, 1);
    } catch (const std::system_error&) {
      co_return fail(Code::kResourceExhausted, cat("pull ", quoted(name), ": no thread could be started for it"));
    }
    auto image = co_await own->run([&images = images_, reference = std::move(reference), options = std::move(options)] {
      return images::pull(images, reference, options);
    });
    place->reset();
    if (!image && image.error().is_cancelled()) {
      log::info("a pull was ended: nobody waits for it", {{"image", name}});
      co_return std::unexpected(std::move(image.error()));
    }
    if (!image) {
      log::warning("an image could not be pulled", {{"image", name}, {"error", image.error()}});
      co_return std::unexpected(std::move(image.error()));
    }
    const auto time = std::chrono::steady_clock::now() - start;
    log::info("pulled", {{"image", name},
                         {"id", image->id},
                         {"bytes", image->size},
                         {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(time).count()}});
    co_return std::move(image->id);
  }

  // The one that is asked for, if it is here, or all.
  Task<Result<std::vector<images::Image>>> matching(v1::ImageSpec wanted) {
    if (!wanted.image().empty()) {
      auto image = co_await find(std::move(wanted));
      if (!image) co_return std::unexpected(std::move(image.error()));
      std::vector<images::Image> out;
      if (*image) out.push_back(std::move(**image));
      co_return out;
    }
    auto all = co_await disk_.run([&images = images_] { return images.list(); });
    if (!all) co_return std::unexpected(std::move(all.error()));
    for (const auto& error : all->damaged) log::error("an image can't be read; leaving it out", {{"error", error}});
    co_return std::move(all->images);
  }

  // What containers have written, measured by a walk: one serves everyone who asks soon after.
  Task<Status> measure_containers() {
    if (now() - containers_at_ < kDiskSampleLife.count()) co_return Status();
    auto measured = co_await disk_.run([&images = images_]() -> Result<std::optional<sys::DiskUsage>> {
      auto folders = images.upper_folders();
      if (!folders) return std::unexpected(std::move(folders.error()));
      sys::DiskUsage sum;
      for (const std::string& folder : *folders) {
        auto usage =
            sys::disk_usage(images.store_dir(), folder.c_str(), kMaxEntries - std::min(sum.inodes, kMaxEntries));
        if (!usage && usage.error().is_not_found()) continue;  // removed meanwhile
        if (!usage) return std::unexpected(std::move(usage.error()));
        if (!usage->is_whole) return std::nullopt;
        sum.bytes += usage->bytes;
        sum.inodes += usage->inodes;
      }
      return sum;
    });
    if (!measured) co_return std::unexpected(std::move(measured.error()));
    containers_ = *measured;
    containers_at_ = now();
    co_return Status();
  }

  Task<Result<std::optional<images::Image>>> find(v1::ImageSpec spec) {
    if (auto good = check_query(spec); !good) co_return std::unexpected(std::move(good.error()));
    co_return co_await disk_.run([&images = images_, query = spec.image()] { return images.find(query); });
  }

  Loop& loop_;
  images::ImageStore& images_;
  Pool& disk_;
  const images::RegistryOptions registries_;
  Flights<Result<std::string>> pulls_;
  std::map<std::string, std::shared_ptr<Callers>> callers_;  // of the pulls under way, by their keys
  // By registry; a pull may outlive this.
  std::shared_ptr<std::map<std::string, std::size_t>> pulls_under_way_ =
      std::make_shared<std::map<std::string, std::size_t>>();
  std::optional<sys::DiskUsage> containers_;  // nothing: too many files to measure
  std::int64_t containers_at_ = 0;
};

}  // namespace

std::unique_ptr<ImageService> make_image_service(Loop& loop, images::ImageStore& images, Pool& disk,
                                                 images::RegistryOptions registries) {
  return std::make_unique<StoreImageService>(loop, images, disk, std::move(registries));
}

}  // namespace gantry::cri

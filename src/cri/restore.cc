// SPDX-License-Identifier: Apache-2.0
// Containers from checkpoints: CreateContainer with an archive of CheckpointContainer's, by its path or as an image
// that was made of one. What the archive has comes into the pod's folder when the container is made, and its root gets
// what had been changed; the start has gantry-oci restore the processes, in the place in which a runtime handler would
// make them (handler_launch.cc). From there on it is a container as any other.
// Restored processes have the privileges that are in the archive, and no others: so an image's word that it is a
// checkpoint counts only where that is wanted (--restore-images).
//
//   sandboxes/ID/restore-CID/   (on disk) until the start is over; at the latest it goes with its pod
#include "cri/restore.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/log.h"
#include "cri/checkpoint_archive.h"
#include "cri/pod_users.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"
#include "images/content.h"
#include "images/root_changes.h"
#include "sys/file.h"
#include "sys/program.h"

namespace gantry::cri {
namespace {

// Of an image that is a checkpoint: with the name that the container had. CRI-O's and containerd's.
constexpr std::array kAnnotations = {"io.kubernetes.cri-o.annotations.checkpoint.name",
                                     "org.criu.checkpoint.container.name"};

bool is_path(const std::string& query) { return query.starts_with('/'); }

bool is_checkpoint(const images::Image& image) {
  return std::ranges::any_of(kAnnotations, [&](const char* name) { return image.annotations.contains(name); });
}

// The path is the host's, of whoever may make containers; what is there is not.
Result<OwnFd> open_archive(const std::string& path) {
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return file;
  auto info = sys::fstat(*file);
  if (!info) return std::unexpected(std::move(info.error()));
  if (!S_ISREG(info->st_mode)) return invalid_argument("is not a regular file");
  return file;
}

// Of an image that is made of an archive: the same in a layer.
Result<OwnFd> open_layer(images::ImageStore& store, const std::string& id) {
  auto content = store.content(id);
  if (!content) return std::unexpected(std::move(content.error()));
  if (!*content) return not_found("was removed meanwhile");
  if ((*content)->layers.size() != 1)
    return invalid_argument(cat("a checkpoint is an image of one layer, and it has ", (*content)->layers.size()));
  return std::move((*content)->layers.front().file);
}

Result<OwnFd> make_folder(FdRef pod, const std::string& name) {
  if (auto made = sys::mkdirat(pod, name.c_str(), 0700); !made) return std::unexpected(std::move(made.error()));
  auto outer = sys::open_dir(pod, name.c_str());
  if (!outer) return std::unexpected(std::move(outer.error()));
  // The archive says what mode its own root has.
  if (auto made = sys::mkdirat(*outer, kRestoreArchive, 0700); !made) return std::unexpected(std::move(made.error()));
  return sys::openat(*outer, kRestoreArchive, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

}  // namespace

std::string restore_folder(std::string_view container_id) { return cat("restore-", container_id); }

Result<RuntimeHandler> own_oci_runtime() {
  auto own = sys::readlinkat(sys::kCwd, "/proc/self/exe");
  if (!own) return std::unexpected(std::move(own.error()));
  const char* path = std::getenv("PATH");
  auto program = sys::find_program("gantry-oci", cat(own->substr(0, own->rfind('/')), ":", path ? path : ""));
  if (!program)
    return fail_with(std::move(program.error()).with_code(Code::kFailedPrecondition), "gantry's own OCI runtime");
  return RuntimeHandler{.name = kOwnHandler, .path = std::move(*program), .flags = {}, .annotations = {}};
}

std::vector<std::string> restore_command(const std::string& images) {
  // What CheckpointContainer let stay.
  return {"restore", "--detach",          "--image-path",  images,        "--manage-cgroups-mode",
          "ignore",  "--tcp-established", "--ext-unix-sk", "--file-locks"};
}

std::vector<std::string> restore_environment() {
  const char* path = std::getenv("PATH");  // where criu is looked for
  return {cat("PATH=", path ? path : "")};
}

Task<Result<images::Image>> Runtime::find_image(ContainerPtr container, SandboxPtr sandbox) {
  const std::string query = container->config.image().image();
  if (is_path(query)) co_return co_await take_checkpoint(std::move(container), std::move(sandbox), "");
  auto image = co_await node_.disk.run([&images = node_.images, query] { return images.find(query); });
  if (!image) co_return fail_from(image, "image");
  if (!*image) co_return not_found(cat("image ", quoted(query), ": is not on this node; load it first"));
  if (!node_.restores_images || !is_checkpoint(**image)) co_return std::move(**image);
  co_return co_await take_checkpoint(std::move(container), std::move(sandbox), (*image)->id);
}

Task<Result<images::Image>> Runtime::take_checkpoint(ContainerPtr container, SandboxPtr sandbox, std::string image_id) {
  const std::string what = cat("checkpoint ", quoted(container->config.image().image(), 255));
  if (sandbox->has_handler()) {
    co_return fail(Code::kUnimplemented, cat(what, ": runtime handler ", quoted(sandbox->status.runtime_handler()),
                                             ": only gantryd's own restores containers"));
  }
  if (!sandbox->kind().users.is_empty())
    co_return fail(Code::kUnimplemented, cat(what, ": is not restored into a pod with a user namespace"));
  auto runtime = own_oci_runtime();
  if (!runtime) co_return fail_from(runtime, what);
  auto found = co_await node_.disk.run([&images = node_.images, &folders = node_.folders,
                                        path = container->config.image().image(), id = image_id, pod_id = sandbox->id(),
                                        name = restore_folder(container->id())]() -> Result<images::Image> {
    auto archive = id.empty() ? open_archive(path) : open_layer(images, id);
    if (!archive) return std::unexpected(std::move(archive.error()));
    auto pod = folders.open_lib_sandbox(pod_id);
    if (!pod) return std::unexpected(std::move(pod.error()));
    auto folder = make_folder(*pod, name);
    auto base = folder ? unpack_checkpoint(*archive, *folder)
                       : Result<CheckpointBase>(std::unexpected(std::move(folder.error())));
    Error why = base ? not_found(cat("the image ", quoted(base->back(), 255),
                                     " that it was made from is not on this node; pull it first"))
                           .error()
                     : base.error();
    for (const std::string& query : base ? *base : CheckpointBase()) {
      auto image = images.find(query);
      if (image && *image && !is_checkpoint(**image)) return std::move(**image);
    }
    (void)sys::remove_tree(*pod, name.c_str());
    return std::unexpected(std::move(why));
  });
  if (!found) co_return fail_from(found, what);
  container->from_checkpoint = true;
  co_return found;
}

Task<Status> Runtime::restore_root(ContainerPtr container) {
  if (!container->from_checkpoint) co_return Status();
  co_return co_await node_.disk.run([&images = node_.images, &folders = node_.folders, pod_id = container->sandbox_id,
                                     id = container->id()]() -> Status {
    auto pod = folders.open_lib_sandbox(pod_id);
    if (!pod) return std::unexpected(std::move(pod.error()));
    const std::string path = cat(restore_folder(id), "/", kRestoreArchive, "/", kCheckpointRoot);
    auto tar = sys::openat(*pod, path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!tar) return tar.error().is_not_found() ? Status() : std::unexpected(std::move(tar.error()));
    auto root = images.find_root(id);
    if (!root) return std::unexpected(std::move(root.error()));
    if (!*root) return fail(Code::kInternal, "the container's root is gone");
    auto applied = images::apply_changes(images.store_dir(), **root, *tar, {});
    if (!applied) return fail_with(std::move(applied.error()), cat("checkpoint: ", kCheckpointRoot));
    return sys::unlinkat(*pod, path.c_str(), 0);
  });
}

Task<> Runtime::drop_checkpoint(ContainerPtr container) {
  if (!container->from_checkpoint) co_return;
  auto removed = co_await node_.disk.run(
      [&folders = node_.folders, pod_id = container->sandbox_id, name = restore_folder(container->id())]() -> Status {
        auto pod = folders.open_lib_sandbox(pod_id);
        if (!pod) return pod.error().is_not_found() ? Status() : std::unexpected(std::move(pod.error()));
        return sys::remove_tree(*pod, name.c_str());
      });
  if (!removed) log::warning("removing a checkpoint", {{"container", container->id()}, {"error", removed.error()}});
}

}  // namespace gantry::cri

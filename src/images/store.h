// SPDX-License-Identifier: Apache-2.0
// The node's images: content by digest, layers unpacked once each, and the folders that a container's overlay mount is
// made of.
//
// Below DATA (/var/lib/gantry) it keeps
//   store/              0700; store_dir(): what a container's launcher gets a mount clone of
//     l/4k/             one unpacked layer; names have a few characters, because overlay's mount options are one string
//     c/4m/u, c/4m/w    a container's upper and work folder
//     blobs/HEX         manifests, configurations and layers as they came, by sha256. A layer that a pull found
//                       unpacked here already has none
//     i/4n/             what a load or pull that has not ended writes; flock: while it lives, it holds it
//     writer.lock       flock: whoever makes content complete or sweeps holds it
//   and, in the node's SQLite file, tables named image_*.
//
// Order of things: a row that names a folder or blob is written before it is made and says `complete` only after syncfs
// of the file system; a folder is removed, and that synced, before its row. So after a crash or power loss at any
// moment the rows that are not complete name all that is left over; open() and every writer that gets the lock remove
// it first. Nothing that no row names is ever removed.
//
// Threads and processes: every function may be called on any thread (each waits for its own SQLite transaction), and
// gantryd and `gantry image` work on one store at once. All of them block: a Pool's thread or a command line, never the
// loop. load_*, build and remove may take long; others wait for none of them but while it moves things to their places.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "images/digest.h"
#include "images/image_config.h"
#include "images/unpack.h"

namespace gantry::images {

struct Image {
  std::string id;                    // "sha256:...": the digest of its configuration
  std::vector<std::string> tags;     // full references with a tag, sorted
  std::vector<std::string> digests;  // "docker.io/library/my-app@sha256:...", sorted
  std::uint64_t size = 0;            // bytes of its content as it came: manifest, configuration and layers
  bool pinned = false;               // one of its names is
  ImageConfig config;
  std::map<std::string, std::string> annotations;  // of its manifest
};

// What an image's author wrote, as it came.
struct ImageDocuments {
  std::string manifest;  // "" when an older Gantry brought the image
  std::string config;
};

// An image that a container sees as a volume: the layers of a read-only overlay.
struct ImageVolume {
  std::string image_id;
  std::vector<std::string> lower;  // "l/4k", topmost first

  // "lowerdir=l/4k:l/3z:EMPTY". `empty` is any empty folder: without an upper folder overlayfs wants two at least.
  std::string overlay_options(std::string_view empty) const;
};

// What an overlay mount of a container's root is made of; names are relative to store_dir().
struct ContainerRoot {
  std::string image_id;
  std::vector<std::string> lower;  // "l/4k", topmost first
  std::string upper;               // "c/4m/u", with the mode and owner of the image's root folder
  std::string work;                // "c/4m/w"
  std::vector<ImageVolume> volumes;

  // "lowerdir=l/4k:l/3z,upperdir=c/4m/u,workdir=c/4m/w", for mount(2) with the store as current folder.
  std::string overlay_options() const;
  // The same with its own folder, c/4m, at another place.
  std::string overlay_options(std::string_view folder) const;
  std::string folder() const { return upper.substr(0, upper.rfind('/')); }
};

// What ids of an image are in a container's own files: those below `uids` come from `uid` on, others are `uid` itself.
struct RootOwner {
  std::uint32_t uid = 0, gid = 0;
  std::uint32_t uids = ~0U, gids = ~0U;
};

struct FsUsage {
  std::string path;  // of the store, as it was opened
  std::uint64_t used_bytes = 0;
  std::uint64_t inodes_used = 0;
};

struct StoreOptions {
  UnpackOptions unpack;
};

// Forms of an archive that others read: OCI's, with everything as it came, and Docker's, with plain layers.
enum class ArchiveKind { kOci, kDocker };

class Download;
struct ImageContent;  // content.h

class ImageStore {
 public:
  // Makes what is missing of `data_dir` (0700, ours; Layout::lib()) and removes what a crash left over, unless another
  // process is writing just now.
  static Result<std::unique_ptr<ImageStore>> open(const std::string& data_dir, StoreOptions options = {});
  ~ImageStore();
  ImageStore(const ImageStore&) = delete;
  ImageStore& operator=(const ImageStore&) = delete;

  FdRef store_dir() const;

  // --- Asking. `query` is what a CRI client may say: a reference in any form, name@digest, an image id with or without
  // "sha256:", or a unique start of one. Nothing when there is no such image; two images with that start are
  // kInvalidArgument.
  struct Listing {
    std::vector<Image> images;
    std::vector<Error> damaged;  // one for each image that can't be read, naming it
  };
  Result<Listing> list() const;
  Result<std::optional<Image>> find(std::string_view query) const;
  Result<std::optional<ImageDocuments>> documents(std::string_view query) const;
  Result<FsUsage> fs_usage() const;

  // --- Bringing in. All content is checked against its digest and size before it counts. An image that is here already
  // only gets its new names. A name that another image has moves to the new one.
  //
  // Loads every image for this machine's platform from an OCI image layout: an archive (tar, plain or compressed by
  // gzip or zstd, read to its end; a pipe will do), or a folder. Names come from the index's annotations
  // (io.containerd.image.name, org.opencontainers.image.ref.name); with `name` set, from that instead, and the layout
  // must hold one image. An archive may be Docker's, too.
  Result<std::vector<Image>> load_archive(FdRef archive, const std::optional<std::string>& name = std::nullopt);
  Result<std::vector<Image>> load_layout(FdRef folder, const std::optional<std::string>& name = std::nullopt);

  // For an image that comes from a registry, piece by piece (registry/pull.h).
  Result<std::unique_ptr<Download>> begin_download();

  // Makes an image of one layer out of a folder, the same bytes for the same folder and configuration: names sorted,
  // times 1970-01-01, numeric owners and modes as they are in the folder. Sockets are left out.
  Result<Image> build(FdRef folder, const ImageConfig& config, std::string_view name);

  // --- Giving out. Safe beside whoever changes the store meanwhile.
  //
  // Nothing when there is no such image; kFailedPrecondition when an older Gantry has not kept all that is needed.
  Result<std::optional<ImageContent>> content(std::string_view query) const;
  // Writes the images to a file or pipe as one archive. Those that are asked for by a name have this name in it; by id
  // or digest, all of their tags.
  Status save(FdRef archive, ArchiveKind kind, const std::vector<std::string>& queries) const;

  // Gives the image that `query` finds another name.
  Status tag(std::string_view query, std::string_view name);

  // What removes images that nobody asked to remove (garbage collection, prune) leaves those alone that have a pinned
  // name. The pin is the name's: it goes to another image with it, and ends when it is taken away. kNotFound when
  // nothing has this name.
  Status pin(std::string_view name);
  Status unpin(std::string_view name);

  // --- Taking away. Layers that a container uses stay until it is released.
  //
  // Takes the name away; with its last name the image goes. kNotFound when nothing has this name.
  Status untag(std::string_view name);
  // Removes the image that `query` finds with all its names, as CRI's RemoveImage does. False when there is none.
  Result<bool> remove(std::string_view query);
  // Removes images that no container uses and that have no pinned name: those without a tag, or all. Returns their ids.
  Result<std::vector<std::string>> prune(bool all);

  // --- Containers.
  //
  // Records the container as user of the layers of its image, and of those whose ids are `volumes`, then makes its
  // upper and work folder. The same call again (a retry) gives the same root; with other images it is kAlreadyExists.
  // kNotFound when one of them is not here.
  Result<ContainerRoot> prepare_root(std::string_view query, std::string_view container_id,
                                     const std::vector<std::string>& volumes = {}, RootOwner owner = {});
  // The root that prepare_root gave, also after a restart; nothing when it was never made or is released.
  Result<std::optional<ContainerRoot>> find_root(std::string_view container_id) const;
  // Of all containers: "c/4m/u", relative to store_dir().
  Result<std::vector<std::string>> upper_folders() const;
  // Removes the container's folders and lets go of its layers. Refused with kFailedPrecondition while something is
  // mounted below them in this mount namespace. A container that is not known is fine.
  Status release_root(std::string_view container_id);
  // Releases every container that is not in `known`. For the start of gantryd, when its own records are whole.
  Status recover(const std::set<std::string>& known);

  struct Impl;

 private:
  explicit ImageStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gantry::images

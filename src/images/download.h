// SPDX-License-Identifier: Apache-2.0
// Images on their way into the store, from a registry or a layout, one after the other: a folder of its own, which
// nobody sweeps while this lives and which goes with it. Layers are unpacked there; the writer's lock is held only for
// the end of finish(), which moves them to their places and makes the image complete. A crash leaves the folder to the
// next sweep.
//
// Any thread; the new_ functions from several at once. All block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "images/choose.h"
#include "images/reference.h"
#include "images/store.h"
#include "images/unpack.h"

namespace gantry::images {

class Download {
 public:
  // ImageStore::begin_download() makes it. The store outlives it.
  struct Impl;
  explicit Download(std::unique_ptr<Impl> impl);
  ~Download();
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;

  const std::string& place() const;  // the store's path
  const UnpackOptions& unpack_options() const;

  // When the store has the image already: gives it the name, if any, and returns it.
  Result<std::optional<Image>> known(const Chosen& chosen, const std::optional<Reference>& name);
  // Positions of the layers that must come: those that are neither unpacked on what is below them here, nor kept
  // packed. A layer that the image has twice is named once.
  Result<std::vector<std::size_t>> missing(const Chosen& chosen);

  // Several downloads of this process may want one layer. Of those that are missing each is claimed before it is
  // fetched, and then said to be brought or given up; with this download's end its claims end, too.
  enum class Turn {
    kFetch,  // it is the caller's to fetch
    kHere,   // another download has brought it
    kBusy,   // another is fetching it: wait_for_change()
  };
  Result<Turn> claim(const Chosen& chosen, std::size_t position);
  Status brought(const Digest& digest);
  void give_up(const Digest& digest);
  std::uint64_t changes();
  void wait_for_change(std::uint64_t seen, const std::stop_token& stop);

  // An empty file for a blob, in the place of what came of it before. Who fills it has checked digest and size when he
  // calls finish().
  Result<OwnFd> new_blob(const Digest& digest);
  Status put_blob(const Digest& digest, std::string_view bytes);
  // One that lies in a folder of the store's already, where nobody writes to it any more.
  Status link_blob(const Digest& digest, FdRef file);
  // An empty folder for a whole layout.
  Result<OwnFd> new_layout();
  // An empty folder for unpack() of the layer at this position, in the same way. On failure of the layer it is let be.
  Result<OwnFd> new_layer(std::size_t position);

  // `layers`: what was unpacked into the folders of new_layer(). The documents are put here, and what is not unpacked
  // yet (of a blob that another download brought, that the store keeps, or that the image has twice) is. kAborted when
  // something that was not missing was removed since: then all begins anew. kCancelled when `stop` is asked for while
  // there are layers to unpack.
  Result<Image> finish(const Chosen& chosen, const std::optional<Reference>& name,
                       std::map<std::size_t, Unpacked> layers, const std::stop_token& stop = {});

 private:
  Result<OwnFd> new_folder(const std::string& path);
  Result<Unpacked> unpack_blob(const Digest& digest, std::size_t position);
  struct Preparation;
  Status make_ready(const Chosen& chosen, std::size_t position, const Digest& chain, Preparation& to);

  std::unique_ptr<Impl> impl_;
};

// Begins anew after kAborted. What the store had may be removed while the rest comes, time and again; nobody does so
// three times.
template <typename Call>
auto unless_removed(Call&& call) -> std::invoke_result_t<Call> {
  for (int start = 1;; ++start) {
    auto image = call();
    if (image || image.error().code() != Code::kAborted || start == 3) return image;
  }
}

}  // namespace gantry::images

// SPDX-License-Identifier: Apache-2.0
#include "images/registry/pull.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "images/choose.h"
#include "images/download.h"
#include "images/registry/attempts.h"
#include "images/registry/layer_stream.h"
#include "images/registry/parts.h"
#include "images/text.h"

namespace gantry::images {
namespace {

constexpr std::chrono::milliseconds kTellEach(100);

class Pull {
 public:
  Pull(ImageStore& store, const Reference& reference, const PullOptions& options, RegistryAccess& access)
      : store_(store), reference_(reference), options_(options), access_(access) {}

  Result<Image> run() {
    return unless_removed([&] { return once(); });
  }

 private:
  Result<Image> once() {
    auto chosen = choose();
    if (!chosen) return std::unexpected(std::move(chosen.error()));
    auto download = store_.begin_download();
    if (!download) return std::unexpected(std::move(download.error()));
    auto known = (*download)->known(*chosen, reference_);
    if (!known) return std::unexpected(std::move(known.error()));
    if (*known) return std::move(**known);
    auto missing = (*download)->missing(*chosen);
    if (!missing) return std::unexpected(std::move(missing.error()));
    done_ = 0;
    coming_ = {.layers = chosen->document.layers.size()};
    for (std::size_t position : *missing) coming_.of += chosen->document.layers[position].size;
    tell_what_is_here(*chosen, *missing);
    auto layers = fetch(**download, *chosen, *missing);
    auto image = layers ? (*download)->finish(*chosen, reference_, std::move(*layers), options_.stop)
                        : std::unexpected(std::move(layers.error()));
    // A disk that is full: it is good to know which.
    if (!image && image.error().is_resource())
      return fail_with(std::move(image.error()), cat("image store ", (*download)->place()));
    return image;
  }

  Result<Chosen> choose() {
    RegistryClient client(access_, options_.stop);
    auto top = client.manifest(reference_);
    if (!top) return std::unexpected(std::move(top.error()));
    auto chosen = choose_image(top->descriptor, [&](const Descriptor& at) -> Result<std::string> {
      return at.digest == top->descriptor.digest ? top->text : client.document(at);
    });
    if (!chosen) return std::unexpected(std::move(chosen.error()));
    if (*chosen) return std::move(**chosen);
    auto document = parse_document(top->text, top->descriptor.media_type);
    const std::string offered = document && document->is_index ? platforms_of(document->manifests) : "another's alone";
    return fail(Code::kNotFound, cat("no image for linux/", kHostArchitecture, "; there is: ", offered));
  }

  void tell(const Descriptor& layer, bool was_here, std::size_t layers) {
    std::lock_guard guard(mutex_);
    ++done_;
    if (options_.progress) options_.progress({layer.digest, layer.size, was_here, done_, layers});
    if (options_.moved) options_.moved(coming_);
  }

  // More bytes of a layer have come, or (less than none) those of one that begins again come anew.
  void moved(std::int64_t bytes) {
    std::lock_guard guard(mutex_);
    coming_.came += static_cast<std::uint64_t>(bytes);
    const auto now = std::chrono::steady_clock::now();
    if (!options_.moved || now - told_ < kTellEach) return;
    told_ = now;
    options_.moved(coming_);
  }

  void tell_what_is_here(const Chosen& chosen, const std::vector<std::size_t>& missing) {
    const std::vector<Descriptor>& layers = chosen.document.layers;
    std::set<Digest> coming;
    for (std::size_t position : missing) coming.insert(layers[position].digest);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (std::ranges::find(missing, i) != missing.end()) continue;
      // A second time of one that comes is told with it: here it is not yet.
      tell(layers[i], !coming.contains(layers[i].digest), layers.size());
    }
  }

  // A few threads take one layer after the other. The first failure stops them all, and is what is said.
  Result<std::map<std::size_t, Unpacked>> fetch(Download& download, const Chosen& chosen,
                                                const std::vector<std::size_t>& positions) {
    Fetch fetch{.download = download, .chosen = chosen, .left = positions, .board = PartBoard(options_.connections)};
    const std::stop_callback cancelled(options_.stop, [&] { fetch.stop.request_stop(); });
    std::vector<std::jthread> owners;
    std::vector<std::jthread> helpers;
    try {
      for (std::size_t i = 1; i < std::min(positions.size(), options_.connections); ++i)
        owners.emplace_back([&] { work(fetch); });
      for (std::size_t i = 0; i < options_.connections && has_big_one(chosen, positions); ++i)
        helpers.emplace_back([&] { help(fetch); });
    } catch (const std::system_error&) {
      // Those that could be started do it all.
    }
    work(fetch);
    owners.clear();
    fetch.board.end();
    fetch.stop.request_stop();  // nobody waits for what helpers are still at
    helpers.clear();
    if (fetch.error) return std::unexpected(std::move(*fetch.error));
    return std::move(fetch.unpacked);
  }

  struct Fetch {
    Download& download;
    const Chosen& chosen;
    std::vector<std::size_t> left;
    PartBoard board;
    std::mutex mutex{};
    std::stop_source stop{};
    std::map<std::size_t, Unpacked> unpacked{};
    std::optional<Error> error{};

    void fail(Error&& what, std::size_t position) {
      if (error) return;
      error = std::move(what).with_context(cat("layer ", chosen.document.layers[position].digest.to_string()));
      stop.request_stop();
    }
  };

  static bool has_big_one(const Chosen& chosen, const std::vector<std::size_t>& positions) {
    return std::ranges::any_of(positions, [&](std::size_t position) {
      return chosen.document.layers[position].size > 2 * PartBoard::kPartBytes;
    });
  }

  void help(Fetch& fetch) {
    RegistryClient client(access_, fetch.stop.get_token());
    while (auto part = fetch.board.take_part()) client.help(fetch.board, *part);
  }

  void work(Fetch& fetch) {
    RegistryClient client(access_, fetch.stop.get_token());
    while (auto position = take_turn(fetch)) {
      const Descriptor& layer = fetch.chosen.document.layers[*position];
      auto came = fetch_layer(fetch, client, layer, *position);
      Status brought = came ? fetch.download.brought(layer.digest) : std::unexpected(std::move(came.error()));
      if (brought) tell(layer, false, fetch.chosen.document.layers.size());
      if (!brought) fetch.download.give_up(layer.digest);
      std::lock_guard guard(fetch.mutex);
      if (brought) fetch.unpacked.emplace(*position, std::move(*came));
      if (!brought) fetch.fail(std::move(brought.error()), *position);
    }
  }

  // The next layer to fetch; nothing when there is none, or another has failed. Waits while all that are left are being
  // fetched by other pulls.
  std::optional<std::size_t> take_turn(Fetch& fetch) {
    for (;;) {
      const std::uint64_t seen = fetch.download.changes();
      {
        std::lock_guard guard(fetch.mutex);
        if (fetch.stop.stop_requested() && !fetch.error) fetch.error = Error(Code::kCancelled, "cancelled");
        for (auto at = fetch.left.begin(); at != fetch.left.end() && !fetch.error;) {
          const std::size_t position = *at;
          auto turn = fetch.download.claim(fetch.chosen, position);
          if (!turn) fetch.fail(std::move(turn.error()), position);
          if (!turn || *turn == Download::Turn::kBusy) {
            ++at;
            continue;
          }
          at = fetch.left.erase(at);
          if (*turn == Download::Turn::kFetch) return position;
          moved(static_cast<std::int64_t>(fetch.chosen.document.layers[position].size));
          tell(fetch.chosen.document.layers[position], true, fetch.chosen.document.layers.size());
        }
        if (fetch.left.empty() || fetch.error) return std::nullopt;
      }
      fetch.download.wait_for_change(seen, fetch.stop.get_token());
    }
  }

  Result<Unpacked> fetch_layer(Fetch& fetch, RegistryClient& client, const Descriptor& layer, std::size_t position) {
    Download& download = fetch.download;
    PartBoard::Blob parts(fetch.board, layer.size);
    std::unique_ptr<LayerStream> stream;
    std::int64_t came = 0;
    auto begin = [&]() -> Status {
      stream.reset();
      moved(-std::exchange(came, 0));
      auto blob = download.new_blob(layer.digest);
      if (!blob) return std::unexpected(std::move(blob.error()));
      auto folder = download.new_layer(position);
      if (!folder) return std::unexpected(std::move(folder.error()));
      auto opened = LayerStream::open(layer.size, std::move(*blob), std::move(*folder), download.unpack_options());
      if (!opened) return std::unexpected(std::move(opened.error()));
      stream = std::move(*opened);
      return {};
    };
    const RegistryClient::BlobSink sink{begin,
                                        [&](std::string_view bytes, bool is_kept) {
                                          came += static_cast<std::int64_t>(bytes.size());
                                          moved(static_cast<std::int64_t>(bytes.size()));
                                          return stream->take(bytes, is_kept);
                                        },
                                        [&] { return stream->share_file(); }};
    auto fetched = client.blob(layer, sink, parts);
    if (!fetched) return std::unexpected(std::move(fetched.error()));
    return stream->finish();
  }

  ImageStore& store_;
  const Reference& reference_;
  const PullOptions& options_;
  RegistryAccess& access_;
  std::mutex mutex_;
  std::size_t done_ = 0;
  PullBytes coming_;
  std::chrono::steady_clock::time_point told_{};
};

}  // namespace

Result<Image> pull(ImageStore& store, const Reference& reference, const PullOptions& options) {
  auto image = with_credentials(reference, options.registry,
                                [&](RegistryAccess& access) { return Pull(store, reference, options, access).run(); });
  const std::string what = cat("pull ", in_quotes(reference.to_string()));
  // Whatever it was that the stop broke off.
  if (!image && options.stop.stop_requested()) return fail(Code::kCancelled, cat(what, ": cancelled"));
  if (!image) return fail_with(std::move(image.error()), what);
  return image;
}

}  // namespace gantry::images

// SPDX-License-Identifier: Apache-2.0
#include "images/registry/layer_stream.h"

#include <system_error>

#include "images/text.h"
#include "sys/file.h"
#include "sys/pipe.h"

namespace gantry::images {

Result<std::unique_ptr<LayerStream>> LayerStream::open(std::uint64_t size, OwnFd&& blob, OwnFd&& folder,
                                                       const UnpackOptions& options) {
  auto stream = sys::stream_pair();
  if (!stream) return std::unexpected(std::move(stream.error()));
  std::unique_ptr<LayerStream> out(
      new LayerStream(std::move(blob), std::move(folder), std::move(stream->left), std::move(stream->right), options));
  try {
    out->worker_ = std::thread(&LayerStream::run, out.get(), size);
  } catch (const std::system_error&) {
    return fail(Code::kResourceExhausted, "no thread could be started to unpack it");
  }
  return out;
}

LayerStream::LayerStream(OwnFd&& blob, OwnFd&& folder, SocketFd&& feed, SocketFd&& source, const UnpackOptions& options)
    : blob_(std::move(blob)),
      folder_(std::move(folder)),
      feed_(std::move(feed)),
      source_(std::move(source)),
      options_(options) {}

void LayerStream::run(std::uint64_t size) {
  unpacked_ = unpack(source_, folder_, UnpackKind::kLayer, options_, size);
  source_.close();  // whoever feeds us sees that it is over
}

LayerStream::~LayerStream() { end_feed(); }

void LayerStream::end_feed() {
  feed_.close();
  if (worker_.joinable()) worker_.join();
}

Status LayerStream::take(std::string_view bytes, bool is_kept) {
  if (!is_kept) {
    if (auto written = sys::pwrite_all(blob_, bytes, taken_); !written) return written;
  }
  taken_ += bytes.size();
  if (!feed_.is_open()) return {};
  auto fed = sys::send_all(feed_, bytes, std::chrono::steady_clock::now() + options_.deadline);
  if (fed) return {};
  if (!fed.error().is_gone()) return fail_with(std::move(fed.error()), "unpack");
  // It wants no more: it has failed, or what still comes is behind the end of the archive.
  end_feed();
  if (*unpacked_) return {};
  return std::unexpected(unpacked_->error());
}

Result<Unpacked> LayerStream::finish() {
  end_feed();
  return std::move(*unpacked_);
}

}  // namespace gantry::images

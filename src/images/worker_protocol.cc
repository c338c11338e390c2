// SPDX-License-Identifier: Apache-2.0
#include "images/worker_protocol.h"

#include <charconv>

#include "base/bytes.h"

namespace gantry::images {
namespace {

constexpr std::string_view kModes[] = {"inflate", "layer", "layout"};

void put(ByteWriter& writer, const std::vector<std::string>& texts) {
  writer.integer(static_cast<std::uint32_t>(texts.size()));
  for (const std::string& text : texts) writer.string(text);
}

// Nothing when there are too many, or not in ascending order.
std::optional<std::vector<std::string>> get(ByteReader& reader) {
  std::vector<std::string> texts;
  auto count = reader.integer<std::uint32_t>();
  if (count > kMaxFolders) return std::nullopt;
  for (std::uint32_t i = 0; i < count && reader.ok(); ++i) {
    std::string_view text = reader.string();
    if (i > 0 && text <= texts.back()) return std::nullopt;
    texts.emplace_back(text);
  }
  return texts;
}

}  // namespace

std::vector<std::string> WorkerArguments::to_argv() const {
  return {std::string(kModes[static_cast<int>(mode)]),
          std::to_string(file_bytes),
          std::to_string(total_bytes),
          std::to_string(entries),
          std::to_string(memory_bytes),
          std::to_string(cpu_seconds)};
}

std::optional<WorkerArguments> WorkerArguments::parse(int argc, char** argv) {
  if (argc != 6) return std::nullopt;
  WorkerArguments out;
  bool known = false;
  for (int i = 0; i < 3; ++i) {
    if (kModes[i] == argv[0]) {
      out.mode = static_cast<WorkerMode>(i);
      known = true;
    }
  }
  std::uint64_t* const numbers[] = {&out.file_bytes, &out.total_bytes, &out.entries, &out.memory_bytes,
                                    &out.cpu_seconds};
  for (int i = 0; i < 5; ++i) {
    std::string_view text = argv[i + 1];
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *numbers[i]);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  }
  if (!known) return std::nullopt;
  return out;
}

std::string WorkerAnswer::encode() const {
  ByteWriter writer;
  writer.string(error);
  writer.integer<std::uint8_t>(is_resource ? 1 : 0);
  writer.integer(bytes);
  writer.integer(inodes);
  put(writer, opaque_folders);
  put(writer, implied_folders);
  return std::move(writer).take();
}

std::optional<WorkerAnswer> WorkerAnswer::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  WorkerAnswer out;
  out.error = reader.string();
  const auto is_resource = reader.integer<std::uint8_t>();
  if (is_resource > 1) return std::nullopt;
  out.is_resource = is_resource == 1;
  out.bytes = reader.integer<std::uint64_t>();
  out.inodes = reader.integer<std::uint64_t>();
  auto opaque = get(reader);
  if (!opaque) return std::nullopt;
  auto implied = get(reader);
  if (!implied || !reader.at_end()) return std::nullopt;
  out.opaque_folders = std::move(*opaque);
  out.implied_folders = std::move(*implied);
  return out;
}

}  // namespace gantry::images

// SPDX-License-Identifier: Apache-2.0
// Tar archives and OCI layouts made in memory, good ones and such as no honest tool writes. Tests of images link
// libarchive (through gantry_images) for the compressors; the tar blocks are written by hand, so that anything can be
// said in them.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "images/digest.h"

namespace gantry::test {

struct TarMeta {
  unsigned mode = 0644;
  unsigned uid = 0;
  unsigned gid = 0;
  std::int64_t mtime = 1'000'000;
  std::map<std::string, std::string> pax = {};  // "SCHILY.xattr.user.a", "path"
  unsigned major = 0;
  unsigned minor = 0;
};

class Tar {
 public:
  Tar& file(const std::string& name, std::string_view bytes, const TarMeta& meta = {}) {
    add('0', name, bytes.size(), "", meta);
    data(bytes);
    return *this;
  }
  Tar& folder(const std::string& name, TarMeta meta = {.mode = 0755}) { return add('5', name, 0, "", meta); }
  Tar& symlink(const std::string& name, const std::string& target) { return add('2', name, 0, target, {.mode = 0777}); }
  Tar& hard_link(const std::string& name, const std::string& target) { return add('1', name, 0, target, {}); }
  Tar& device(const std::string& name, char kind, unsigned major, unsigned minor) {
    return add(kind == 'c' ? '3' : '4', name, 0, "", {.mode = 0666, .major = major, .minor = minor});
  }
  Tar& fifo(const std::string& name) { return add('6', name, 0, "", {}); }

  // A header that says `said` bytes, with no data behind it.
  Tar& lie(const std::string& name, std::uint64_t said) { return add('0', name, said, "", {}); }

  // GNU's old sparse format: `real_size` logical bytes, of which `extents` (offset, count) hold data.
  Tar& sparse(const std::string& name, std::uint64_t real_size,
              const std::vector<std::pair<std::uint64_t, std::uint64_t>>& extents) {
    std::uint64_t stored = 0;
    for (const auto& extent : extents) stored += extent.second;
    std::string block = header('S', name, stored, "", {});
    std::memcpy(block.data() + 257, "ustar  ", 8);
    std::size_t next = 0;
    auto put_extents = [&](std::string& to, std::size_t at, std::size_t room) {
      for (std::size_t i = 0; i < room && next < extents.size(); ++i, ++next) {
        number(to, at + i * 24, 12, extents[next].first);
        number(to, at + i * 24 + 12, 12, extents[next].second);
      }
    };
    put_extents(block, 386, 4);
    block[482] = next < extents.size() ? 1 : 0;
    number(block, 483, 12, real_size);
    checksum(block);
    bytes_ += block;
    while (next < extents.size()) {
      std::string more(512, '\0');
      put_extents(more, 0, 21);
      more[504] = next < extents.size() ? 1 : 0;
      bytes_ += more;
    }
    data(std::string(stored, 'x'));
    return *this;
  }

  Tar& raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  std::string bytes() const { return bytes_ + std::string(1024, '\0'); }

 private:
  // Octal, or for what does not fit GNU's base 256.
  static void number(std::string& block, std::size_t at, std::size_t width, std::uint64_t value) {
    if (value >= 1ULL << (3 * (width - 1))) {
      for (std::size_t i = 0; i < width; ++i) {
        block[at + width - 1 - i] = i < 8 ? static_cast<char>(value >> (8 * i)) : '\0';
      }
      block[at] = static_cast<char>(0x80);
      return;
    }
    char text[32];
    std::snprintf(text, sizeof(text), "%0*llo", static_cast<int>(width - 1), static_cast<unsigned long long>(value));
    std::memcpy(block.data() + at, text, width);
  }
  static void checksum(std::string& block) {
    std::memset(block.data() + 148, ' ', 8);
    unsigned sum = 0;
    for (char c : block) sum += static_cast<unsigned char>(c);
    std::snprintf(block.data() + 148, 8, "%06o", sum);
    block[155] = ' ';
  }
  static std::string header(char type, const std::string& name, std::uint64_t size, const std::string& link,
                            const TarMeta& meta) {
    std::string block(512, '\0');
    std::memcpy(block.data(), name.data(), std::min<std::size_t>(name.size(), 100));
    number(block, 100, 8, meta.mode);
    number(block, 108, 8, meta.uid);
    number(block, 116, 8, meta.gid);
    number(block, 124, 12, size);
    number(block, 136, 12, static_cast<std::uint64_t>(meta.mtime));
    block[156] = type;
    std::memcpy(block.data() + 157, link.data(), std::min<std::size_t>(link.size(), 100));
    std::memcpy(block.data() + 257, "ustar\00000", 8);
    number(block, 329, 8, meta.major);
    number(block, 337, 8, meta.minor);
    checksum(block);
    return block;
  }
  Tar& add(char type, const std::string& name, std::uint64_t size, const std::string& link, const TarMeta& meta) {
    auto pax = meta.pax;
    if (name.size() > 100) pax["path"] = name;
    if (link.size() > 100) pax["linkpath"] = link;
    if (!pax.empty()) {
      std::string records;
      for (const auto& [key, value] : pax) {
        std::string body = " " + key + "=" + value + "\n";
        std::size_t length = body.size() + 1;
        while (std::to_string(length).size() + body.size() != length) ++length;
        records += std::to_string(length) + body;
      }
      bytes_ += header('x', "pax", records.size(), "", {});
      data(records);
    }
    bytes_ += header(type, name, size, link, meta);
    return *this;
  }
  void data(std::string_view bytes) {
    bytes_ += bytes;
    bytes_.append((512 - bytes.size() % 512) % 512, '\0');
  }

  std::string bytes_;
};

inline std::string compressed(std::string_view bytes, int (*add_filter)(archive*)) {
  archive* writer = ::archive_write_new();
  ::archive_write_set_format_raw(writer);
  add_filter(writer);
  ::archive_write_set_bytes_in_last_block(writer, 1);
  std::string out;
  auto sink = [](archive*, void* context, const void* data, std::size_t size) {
    static_cast<std::string*>(context)->append(static_cast<const char*>(data), size);
    return static_cast<la_ssize_t>(size);
  };
  ::archive_write_open(writer, &out, nullptr, sink, nullptr);
  archive_entry* entry = ::archive_entry_new();
  ::archive_entry_set_filetype(entry, AE_IFREG);
  ::archive_write_header(writer, entry);
  ::archive_write_data(writer, bytes.data(), bytes.size());
  ::archive_entry_free(entry);
  ::archive_write_free(writer);
  return out;
}
inline std::string gzip(std::string_view bytes) { return compressed(bytes, ::archive_write_add_filter_gzip); }
inline std::string zstd(std::string_view bytes) { return compressed(bytes, ::archive_write_add_filter_zstd); }

// An OCI image layout as a map from path to bytes.
class Layout {
 public:
  struct Blob {
    std::string type;
    std::string digest;
    std::size_t size;
  };

  Layout() { files_["oci-layout"] = R"({"imageLayoutVersion":"1.0.0"})"; }

  Blob blob(const std::string& type, const std::string& bytes) {
    std::string digest = images::digest_of(bytes).to_string();
    files_["blobs/sha256/" + digest.substr(7)] = bytes;
    return {type, digest, bytes.size()};
  }
  static std::string descriptor(const Blob& blob, const std::string& extra = "") {
    return R"({"mediaType":")" + blob.type + R"(","digest":")" + blob.digest + R"(","size":)" +
           std::to_string(blob.size) + extra + "}";
  }

  // An image of these plain layers, stored as they are or by `pack`.
  Blob image(const std::vector<std::string>& layers, const std::string& config = R"({"Cmd":["/bin/sh"]})",
             std::string (*pack)(std::string_view) = nullptr, const std::string& architecture = "amd64") {
    std::string diffs, list;
    for (const std::string& layer : layers) {
      if (!list.empty()) diffs += ",", list += ",";
      diffs += "\"" + images::digest_of(layer).to_string() + "\"";
      std::string type = "application/vnd.oci.image.layer.v1.tar";
      if (pack == &gzip) type += "+gzip";
      if (pack == &zstd) type += "+zstd";
      list += descriptor(blob(type, pack == nullptr ? layer : pack(layer)));
    }
    Blob config_blob = blob("application/vnd.oci.image.config.v1+json",
                            R"({"architecture":")" + architecture + R"(","os":"linux","config":)" + config +
                                R"(,"rootfs":{"type":"layers","diff_ids":[)" + diffs + "]}}");
    return blob("application/vnd.oci.image.manifest.v1+json",
                R"({"schemaVersion":2,"config":)" + descriptor(config_blob) + R"(,"layers":[)" + list + "]}");
  }
  // What index.json lists: descriptors.
  Layout& index(const std::vector<std::string>& descriptors) {
    std::string list;
    for (const std::string& descriptor : descriptors) list += (list.empty() ? "" : ",") + descriptor;
    files_["index.json"] = R"({"schemaVersion":2,"manifests":[)" + list + "]}";
    return *this;
  }
  static std::string named(const Blob& blob, const std::string& name) {
    return descriptor(blob, R"(,"annotations":{"org.opencontainers.image.ref.name":")" + name + "\"}");
  }

  std::map<std::string, std::string>& files() { return files_; }
  std::string archive() const {
    Tar tar;
    tar.folder("blobs/");
    for (const auto& [path, bytes] : files_) tar.file(path, bytes);
    return tar.bytes();
  }

 private:
  std::map<std::string, std::string> files_;
};

}  // namespace gantry::test

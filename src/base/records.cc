// SPDX-License-Identifier: Apache-2.0
#include "base/records.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "base/bytes.h"

namespace gantry {
namespace {

constexpr std::size_t kMaxName = 128;
constexpr std::size_t kHeaderSize = 16;  // magic 4, version 2, zero 2, length 4, checksum 4
constexpr std::string_view kTemporary = ".new";

std::unexpected<Error> failed(const char* call, const std::string& file) {
  int error = errno;
  return std::unexpected(Error::from_errno(error, std::string(call) + " record " + file));
}

std::unexpected<Error> torn(const std::string& file, std::string_view how) {
  return fail(Code::kDataLoss, "record " + file + ": " + std::string(how));
}

constexpr auto kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78U : 0);
    table[i] = value;
  }
  return table;
}();

// CRC-32C.
std::uint32_t checksum(std::string_view bytes) {
  std::uint32_t crc = ~0U;
  for (char byte : bytes) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  return ~crc;
}

// What the checksum is of: a header that says something else than it did is as bad as a payload that does.
std::string checked_part(std::uint16_t version, std::string_view payload) {
  ByteWriter part;
  part.integer(version);
  part.string(payload);
  return std::move(part).take();
}

std::string encode(const RecordKind& kind, std::string_view payload) {
  ByteWriter out;
  out.integer(kind.magic);
  out.integer(kind.version);
  out.integer(std::uint16_t{0});
  out.integer(static_cast<std::uint32_t>(payload.size()));
  out.integer(checksum(checked_part(kind.version, payload)));
  std::string bytes = std::move(out).take();
  bytes.append(payload);
  return bytes;
}

Result<Record> decode(const RecordKind& kind, const std::string& file, std::string_view bytes) {
  ByteReader in(bytes);
  auto magic = in.integer<std::uint32_t>();
  auto version = in.integer<std::uint16_t>();
  in.integer<std::uint16_t>();
  auto length = in.integer<std::uint32_t>();
  auto sum = in.integer<std::uint32_t>();
  if (!in.ok()) return torn(file, "shorter than a record's header (" + std::to_string(bytes.size()) + " bytes)");
  if (magic != kind.magic) return torn(file, "not a record of this kind (wrong magic)");
  if (length != in.rest().size()) {
    return torn(file,
                std::to_string(in.rest().size()) + " bytes of payload, its header says " + std::to_string(length));
  }
  if (sum != checksum(checked_part(version, in.rest()))) return torn(file, "wrong checksum");
  if (version > kind.version) {
    return fail(Code::kFailedPrecondition, "record " + file + ": version " + std::to_string(version) +
                                               ", made by a newer Gantry; this one knows " +
                                               std::to_string(kind.version));
  }
  return Record{{}, version, std::string(in.rest())};
}

// Nothing when there is no such file.
Result<std::optional<std::string>> read_bytes(FdRef dir, const std::string& file, std::size_t limit) {
  OwnFd fd(::openat(dir.get(), file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.is_open()) {
    if (errno == ENOENT) return std::optional<std::string>();
    return failed("open", file);
  }
  struct stat info;
  if (::fstat(fd.get(), &info) < 0) return failed("fstat", file);
  if (!S_ISREG(info.st_mode)) return torn(file, "not a regular file");
  if (static_cast<std::uint64_t>(info.st_size) > limit) {
    return torn(file, std::to_string(info.st_size) + " bytes, over the limit of " + std::to_string(limit));
  }
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    ssize_t count = ::read(fd.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed("read", file);
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  bytes.resize(done);
  return std::optional(std::move(bytes));
}

Status write_bytes(FdRef fd, const std::string& file, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t count = ::write(fd.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed("write", file);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

std::string temporary_of(const std::string& file) { return "." + file + std::string(kTemporary); }

Result<std::string> file_of(const RecordKind& kind, std::string_view name) {
  if (auto checked = check_name(name, "record name"); !checked) return std::unexpected(std::move(checked.error()));
  return std::string(name).append(kind.suffix);
}

}  // namespace

Status check_name(std::string_view name, std::string_view what) {
  auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  bool good = !name.empty() && name.size() <= kMaxName && letter_or_digit(name.front()) &&
              std::ranges::all_of(name, [&](char c) { return letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
  if (good) return {};
  std::string shown;
  for (char c : name.substr(0, 40)) shown += c >= ' ' && c < 0x7f ? c : '?';
  return invalid_argument(std::string(what) + " \"" + shown + "\": expected 1 to " + std::to_string(kMaxName) +
                          " of A-Z a-z 0-9 . _ -, beginning with a letter or digit");
}

Status write_record(FdRef dir, const RecordKind& kind, std::string_view name, std::string_view payload) {
  auto file = file_of(kind, name);
  if (!file) return std::unexpected(std::move(file.error()));
  if (payload.size() > kind.limit) {
    return fail(Code::kResourceExhausted, "record " + *file + ": " + std::to_string(payload.size()) +
                                              " bytes, over the limit of " + std::to_string(kind.limit));
  }
  std::string temporary = temporary_of(*file);
  // A name has one writer: what lies there is what its crash left.
  if (::unlinkat(dir.get(), temporary.c_str(), 0) < 0 && errno != ENOENT) return failed("unlink", temporary);
  OwnFd fd(::openat(dir.get(), temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.is_open()) return failed("create", temporary);
  Status status = write_bytes(fd, temporary, encode(kind, payload));
  if (status && ::renameat(dir.get(), temporary.c_str(), dir.get(), file->c_str()) < 0)
    status = failed("rename", *file);
  if (!status) ::unlinkat(dir.get(), temporary.c_str(), 0);
  return status;
}

Result<std::optional<Record>> read_record(FdRef dir, const RecordKind& kind, std::string_view name) {
  auto file = file_of(kind, name);
  if (!file) return std::unexpected(std::move(file.error()));
  auto bytes = read_bytes(dir, *file, kHeaderSize + kind.limit);
  if (!bytes) return std::unexpected(std::move(bytes.error()));
  if (!*bytes) return std::optional<Record>();
  auto record = decode(kind, *file, **bytes);
  if (!record) return std::unexpected(std::move(record.error()));
  record->name = name;
  return std::optional(std::move(*record));
}

Result<Records> read_records(FdRef dir, const RecordKind& kind) {
  OwnFd fd(::openat(dir.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.is_open()) return failed("open the folder of", "*" + std::string(kind.suffix));
  DIR* stream = ::fdopendir(fd.get());
  if (stream == nullptr) return failed("list the folder of", "*" + std::string(kind.suffix));
  fd.release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    std::string_view file = entry->d_name;
    if (file.front() != '.' && file.size() > kind.suffix.size() && file.ends_with(kind.suffix)) {
      names.emplace_back(file.substr(0, file.size() - kind.suffix.size()));
    }
  }
  int error = errno;
  ::closedir(stream);
  if (error != 0) return std::unexpected(Error::from_errno(error, "readdir"));
  std::ranges::sort(names);

  Records records;
  for (std::string& name : names) {
    auto record = read_record(dir, kind, name);
    if (!record) {
      records.unreadable.push_back({std::move(name), std::move(record.error())});
    } else if (*record) {
      records.whole.push_back(std::move(**record));
    }
  }
  return records;
}

Status remove_record(FdRef dir, const RecordKind& kind, std::string_view name) {
  auto file = file_of(kind, name);
  if (!file) return std::unexpected(std::move(file.error()));
  for (const std::string& each : {temporary_of(*file), *file}) {
    if (::unlinkat(dir.get(), each.c_str(), 0) < 0 && errno != ENOENT) return failed("unlink", each);
  }
  return {};
}

}  // namespace gantry

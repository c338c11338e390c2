// SPDX-License-Identifier: Apache-2.0
#include "images/tar_writer.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cerrno>

#include "images/text.h"
#include "sys/file.h"

namespace gantry::images {
namespace {

constexpr std::size_t kBlock = 256 << 10;

}  // namespace

TarWriter::TarWriter(FdRef to) : to_(to), writer_(::archive_write_new(), ::archive_write_free) {}
TarWriter::~TarWriter() = default;

Result<std::unique_ptr<TarWriter>> TarWriter::open(FdRef to) {
  std::unique_ptr<TarWriter> out(new TarWriter(to));
  if (out->writer_ == nullptr) return fail(Code::kResourceExhausted, "out of memory");
  ::archive_write_set_format_pax_restricted(out->writer_.get());
  ::archive_write_set_bytes_in_last_block(out->writer_.get(), 1);
  auto write = [](archive* writer, void* self, const void* data, std::size_t size) -> la_ssize_t {
    auto& tar = *static_cast<TarWriter*>(self);
    auto written = sys::write_all(tar.to_, std::string_view(static_cast<const char*>(data), size));
    if (written) return static_cast<la_ssize_t>(size);
    tar.error_ = std::make_unique<Error>(std::move(written.error()));
    ::archive_set_error(writer, EIO, "write");
    return -1;
  };
  if (::archive_write_open(out->writer_.get(), out.get(), nullptr, write, nullptr) != ARCHIVE_OK) return out->failed();
  return out;
}

std::unexpected<Error> TarWriter::failed() {
  if (error_ != nullptr) return std::unexpected(std::move(*error_));
  const char* text = ::archive_error_string(writer_.get());
  return fail(Code::kInternal, cat("tar: ", text != nullptr ? text : "refused"));
}

Status TarWriter::begin(const std::string& name, std::uint64_t size) {
  std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(::archive_entry_new(), ::archive_entry_free);
  ::archive_entry_set_pathname(entry.get(), name.c_str());
  ::archive_entry_set_mode(entry.get(), AE_IFREG | 0644);
  ::archive_entry_set_mtime(entry.get(), 0, 0);
  ::archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
  if (::archive_write_header(writer_.get(), entry.get()) < ARCHIVE_WARN) return failed();
  return {};
}

Status TarWriter::write(std::string_view bytes) {
  if (::archive_write_data(writer_.get(), bytes.data(), bytes.size()) < 0) return failed();
  return {};
}

Status TarWriter::add(const std::string& name, std::string_view bytes) {
  if (auto begun = begin(name, bytes.size()); !begun) return begun;
  return write(bytes);
}

Status TarWriter::add(const std::string& name, FdRef file, std::uint64_t size) {
  if (auto begun = begin(name, size); !begun) return begun;
  std::string block(kBlock, '\0');
  for (std::uint64_t done = 0; done < size;) {
    auto count = sys::pread(file, block.data(), std::min<std::uint64_t>(block.size(), size - done), done);
    if (!count) return std::unexpected(std::move(count.error()));
    if (*count == 0) return fail(Code::kDataLoss, cat(name, ": ended after ", done, " of ", size, " bytes"));
    if (auto written = write(std::string_view(block.data(), *count)); !written) return written;
    done += *count;
  }
  return {};
}

Status TarWriter::finish() {
  if (::archive_write_close(writer_.get()) != ARCHIVE_OK) return failed();
  return {};
}

}  // namespace gantry::images

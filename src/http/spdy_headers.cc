// SPDX-License-Identifier: Apache-2.0
#include "http/spdy_headers.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "http/spdy_bytes.h"
#include "http/text.h"

namespace gantry::http::spdy {
namespace {

// The dictionary's words, each with its length before it, and the text that follows them.
constexpr std::string_view kWords[] = {"options",
                                       "head",
                                       "post",
                                       "put",
                                       "delete",
                                       "trace",
                                       "accept",
                                       "accept-charset",
                                       "accept-encoding",
                                       "accept-language",
                                       "accept-ranges",
                                       "age",
                                       "allow",
                                       "authorization",
                                       "cache-control",
                                       "connection",
                                       "content-base",
                                       "content-encoding",
                                       "content-language",
                                       "content-length",
                                       "content-location",
                                       "content-md5",
                                       "content-range",
                                       "content-type",
                                       "date",
                                       "etag",
                                       "expect",
                                       "expires",
                                       "from",
                                       "host",
                                       "if-match",
                                       "if-modified-since",
                                       "if-none-match",
                                       "if-range",
                                       "if-unmodified-since",
                                       "last-modified",
                                       "location",
                                       "max-forwards",
                                       "pragma",
                                       "proxy-authenticate",
                                       "proxy-authorization",
                                       "range",
                                       "referer",
                                       "retry-after",
                                       "server",
                                       "te",
                                       "trailer",
                                       "transfer-encoding",
                                       "upgrade",
                                       "user-agent",
                                       "vary",
                                       "via",
                                       "warning",
                                       "www-authenticate",
                                       "method",
                                       "get",
                                       "status",
                                       "200 OK",
                                       "version",
                                       "HTTP/1.1",
                                       "url",
                                       "public",
                                       "set-cookie",
                                       "keep-alive",
                                       "origin"};
constexpr std::string_view kTail =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 "
    "Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 "
    "Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept "
    "Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset="
    "utf-8charset=iso-8859-1,utf-,*,enq=0.";

std::string make_dictionary() {
  std::string text;
  for (std::string_view word : kWords) {
    store32(text, static_cast<std::uint32_t>(word.size()));
    text += word;
  }
  text += kTail;
  return text;
}

const Bytef* raw(std::string_view bytes) { return reinterpret_cast<const Bytef*>(bytes.data()); }

// Takes a length and that many bytes off the front of `text`.
Result<std::string_view> take_string(std::string_view& text, const char* what) {
  if (text.size() < 4) return invalid_argument(cat("header block ends before the length of a ", what));
  std::uint32_t size = load32(text, 0);
  text.remove_prefix(4);
  if (size > text.size()) {
    return invalid_argument(cat("a header's ", what, " of ", size, " bytes in a block with ", text.size(), " left"));
  }
  std::string_view value = text.substr(0, size);
  text.remove_prefix(size);
  return value;
}

Status check_name(std::string_view name, const Headers& before) {
  if (name.empty()) return invalid_argument("a header without a name");
  if (std::ranges::any_of(name, [](char c) { return c >= 'A' && c <= 'Z'; })) {
    return invalid_argument("a header's name has upper-case letters: SPDY's are in lower case");
  }
  if (std::ranges::any_of(before, [name](const auto& header) { return header.first == name; })) {
    return invalid_argument("a header's name comes twice in one block");
  }
  return {};
}

Result<Headers> parse_block(std::string_view text, const FrameLimits& limits) {
  if (text.size() < 4) return invalid_argument("header block shorter than its count");
  std::uint32_t count = load32(text, 0);
  text.remove_prefix(4);
  if (count > limits.max_headers) {
    return invalid_argument(cat(count, " headers in one block: at most ", limits.max_headers, " are taken"));
  }
  Headers headers;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto name = take_string(text, "name");
    if (!name) return std::unexpected(std::move(name.error()));
    auto value = take_string(text, "value");
    if (!value) return std::unexpected(std::move(value.error()));
    if (auto checked = check_name(*name, headers); !checked) return std::unexpected(std::move(checked.error()));
    headers.emplace_back(*name, *value);
  }
  if (!text.empty()) return invalid_argument(cat(text.size(), " bytes after the last header of a block"));
  return headers;
}

}  // namespace

const std::string& header_dictionary() {
  static const std::string dictionary = make_dictionary();
  return dictionary;
}

struct HeaderInflater::Impl {
  z_stream zlib{};
  Result<std::string> inflate_block(std::string_view block, std::size_t limit);
};

HeaderInflater::HeaderInflater() : impl_(std::make_unique<Impl>()) {
  // It fails for want of memory alone.
  if (::inflateInit(&impl_->zlib) != Z_OK) std::abort();
}
HeaderInflater::~HeaderInflater() { ::inflateEnd(&impl_->zlib); }

Result<std::string> HeaderInflater::Impl::inflate_block(std::string_view block, std::size_t limit) {
  zlib.next_in = const_cast<Bytef*>(raw(block));
  zlib.avail_in = static_cast<uInt>(block.size());
  std::string text;
  std::array<char, 2048> piece;
  do {
    zlib.next_out = reinterpret_cast<Bytef*>(piece.data());
    zlib.avail_out = piece.size();
    int result = ::inflate(&zlib, Z_SYNC_FLUSH);
    if (result == Z_NEED_DICT) {
      const std::string& dictionary = header_dictionary();
      if (::inflateSetDictionary(&zlib, raw(dictionary), static_cast<uInt>(dictionary.size())) != Z_OK) {
        return invalid_argument("header block is compressed with another dictionary than SPDY/3's");
      }
      continue;
    }
    if (result == Z_BUF_ERROR) break;  // all was used
    if (result != Z_OK) return invalid_argument("header block is not a piece of a zlib stream");
    text.append(piece.data(), piece.size() - zlib.avail_out);
    if (text.size() > limit) {
      return invalid_argument(cat("header block inflates to more than the ", limit, " bytes that are taken"));
    }
  } while (zlib.avail_in > 0 || zlib.avail_out == 0);
  return text;
}

Result<Headers> HeaderInflater::read(std::string_view block, const FrameLimits& limits) {
  auto text = impl_->inflate_block(block, limits.max_headers_bytes);
  if (!text) return std::unexpected(std::move(text.error()));
  return parse_block(*text, limits);
}

struct HeaderDeflater::Impl {
  z_stream zlib{};
};

HeaderDeflater::HeaderDeflater() : impl_(std::make_unique<Impl>()) {
  // A window of 2 KiB holds the dictionary, and replies have few headers: 11 and 1 need 17 KiB instead of 256.
  const std::string& dictionary = header_dictionary();
  if (::deflateInit2(&impl_->zlib, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 11, 1, Z_DEFAULT_STRATEGY) != Z_OK ||
      ::deflateSetDictionary(&impl_->zlib, raw(dictionary), static_cast<uInt>(dictionary.size())) != Z_OK) {
    std::abort();
  }
}
HeaderDeflater::~HeaderDeflater() { ::deflateEnd(&impl_->zlib); }

std::string HeaderDeflater::write(const Headers& headers) {
  std::string text;
  store32(text, static_cast<std::uint32_t>(headers.size()));
  for (const auto& [name, value] : headers) {
    store32(text, static_cast<std::uint32_t>(name.size()));
    text += name;
    store32(text, static_cast<std::uint32_t>(value.size()));
    text += value;
  }
  z_stream& zlib = impl_->zlib;
  zlib.next_in = const_cast<Bytef*>(raw(text));
  zlib.avail_in = static_cast<uInt>(text.size());
  std::string block;
  std::array<char, 1024> piece;
  do {
    zlib.next_out = reinterpret_cast<Bytef*>(piece.data());
    zlib.avail_out = piece.size();
    ::deflate(&zlib, Z_SYNC_FLUSH);
    block.append(piece.data(), piece.size() - zlib.avail_out);
  } while (zlib.avail_out == 0);
  return block;
}

}  // namespace gantry::http::spdy

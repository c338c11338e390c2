// SPDX-License-Identifier: Apache-2.0
// A registry by the OCI distribution spec 1.1 (and Docker's v2, which it grew from): manifests and blobs of one
// repository. RegistryAccess (access.h) is what several clients share; each is for one thread, and blocks.
//
// Rules: nothing secret goes to where a redirect leads, and never again to the registry behind one. At most
// 5 redirects, none from https to http. What may be better the next time (no connection, an answer that broke off, 408,
// 429, 5xx) is tried again after a pause, or after Retry-After when that is at most a minute; no progress, once more.
// Mirrors are asked first, in their order, with one more try at most; whatever one answers but the thing itself leads
// to the next, and one that did not answer is not asked again. A blob goes on at the next host where it broke off; one
// of the wrong digest comes as a whole from the next host, or the same, when several hosts or helpers had part in it.
//
// Errors name the host, what was asked for and what was expected, and before that what mirrors said. Codes: kNotFound,
// it has no such thing; kUnauthenticated and kPermissionDenied; kUnavailable and kDeadlineExceeded, it does not answer
// as it should; kInvalidArgument, what it answered is wrong.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/result.h"
#include "images/documents.h"
#include "images/reference.h"
#include "images/registry/access.h"
#include "images/registry/http.h"
#include "images/registry/parts.h"

namespace gantry::images {

class RegistryClient {
 public:
  // `access` outlives it.
  RegistryClient(RegistryAccess& access, std::stop_token stop);

  struct Manifest {
    Descriptor descriptor;  // of what came: digest and size are of the text
    std::string text;
  };
  // By tag, or by digest, which is checked. At most kMaxDocumentBytes.
  Result<Manifest> manifest(const Reference& reference);
  // A manifest, index or configuration that a document names: checked against its digest and size.
  Result<std::string> document(const Descriptor& descriptor);

  // A blob as it comes, in order, each byte once whatever breaks off meanwhile; when this is done, `sink` has had
  // descriptor.size bytes of the right digest. It begins again when what several gave has another digest, which may be
  // after an error of take(), too: that is final only when it can't be another's fault.
  struct BlobSink {
    std::function<Status()> begin;
    // `is_kept`: a helper has written them to the file.
    std::function<Status(std::string_view bytes, bool is_kept)> take;
    // The file, for helpers; begin() makes another.
    std::function<Result<OwnFd>()> share_file;
  };
  // `parts` is this blob's place on the pull's board.
  Status blob(const Descriptor& descriptor, const BlobSink& sink, PartBoard::Blob& parts);
  // Fetches one part of a blob that another takes in order. No try again.
  void help(PartBoard& board, const PartBoard::Part& part);

 private:
  enum class Need { kResolve, kPull };
  template <typename Ask>
  auto at_some_host(Need need, const Ask& ask) -> std::invoke_result_t<Ask, HostAccess&, bool>;
  template <typename Try>
  auto again(int attempts, const Try& call) -> std::invoke_result_t<Try>;
  Status pause(std::chrono::milliseconds time);

  Result<HttpAnswer> get(HostAccess& host, const std::string& path, const std::vector<std::string>& headers,
                         const BodySink& sink, std::chrono::milliseconds limit);
  Result<HttpAnswer> read_text(HostAccess& host, const std::string& path, const std::vector<std::string>& headers,
                               std::size_t limit, std::string& text);
  Result<Manifest> manifest_of(HostAccess& host, const Reference& reference);
  Result<std::string> document_of(HostAccess& host, const Descriptor& descriptor);
  class Incoming;
  Status blob_of(HostAccess& host, Incoming& coming, bool is_last);
  Status gap_of(HostAccess& host, Incoming& coming, bool is_last);

  RegistryAccess& access_;
  HttpConnection http_;
  std::optional<std::chrono::seconds> retry_after_;  // of the last answer
  std::uint64_t received_ = 0;                       // of blobs, all in all
};

}  // namespace gantry::images

// SPDX-License-Identifier: Apache-2.0
// A registry by the OCI distribution spec 1.1 (and Docker's v2, which it grew from): manifests and blobs of one
// repository, with what it wants to be shown. RegistryAccess is what several connections to it share; RegistryClient is
// one of them, for one thread. All block.
//
// Rules: credentials go to the registry, and to the token server that the registry itself names, over https unless the
// registry is asked by plain HTTP; never to where a redirect leads, and never again to the registry behind one. At most
// 5 redirects, none from https to http. What may be better the next time (no connection, an answer that broke off, 408,
// 429, 5xx) is tried again after a pause, or after Retry-After when that is at most a minute; no progress, once more.
//
// Errors name the registry, what was asked for and what was expected. Codes: kNotFound, it has no such thing;
// kUnauthenticated and kPermissionDenied; kUnavailable and kDeadlineExceeded, it does not answer as it should;
// kInvalidArgument, what it answered is wrong.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "images/documents.h"
#include "images/reference.h"
#include "images/registry/credentials.h"
#include "images/registry/http.h"
#include "images/registry/origin.h"

namespace gantry::images {

struct RegistryOptions {
  RegistrySettings settings;
  Credentials credentials;
  std::chrono::milliseconds patience = std::chrono::seconds(60);
};

class RegistryAccess {
 public:
  static Result<RegistryAccess> open(const Reference& repository, RegistryOptions options);
  RegistryAccess(RegistryAccess&&) noexcept;
  ~RegistryAccess();

  const RegistryOptions& options() const { return options_; }
  const Origin& origin() const { return origin_; }
  // ".../v2/a/b"
  std::string repository_url() const { return origin_.url() + "/v2/" + path_; }

  // The value of Authorization for now, "" for none, and its number: the answer 401 is told with it.
  struct Right {
    std::string authorization;
    int number = 0;
  };
  Right right() const;
  // What the registry's challenges ask for is got, unless somebody else has since `used`. kUnauthenticated when we
  // have nothing that it takes.
  Status obtain(HttpConnection& http, const std::vector<std::string>& challenges, int used);

 private:
  RegistryAccess(Origin origin, std::string path, RegistryOptions options);
  Result<std::string> answer_to(HttpConnection& http, const std::vector<std::string>& challenges);
  Result<std::string> fetch_token(HttpConnection& http, const std::string& realm, const std::string& service,
                                  const std::string& scope);

  Origin origin_;
  std::string path_;
  RegistryOptions options_;
  struct State;
  std::unique_ptr<State> state_;
};

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

  // A blob as it comes, in order, each byte once whatever breaks off meanwhile; `sink` has had descriptor.size bytes
  // when this is done. Its digest is the caller's to check.
  using BlobSink = std::function<Status(std::string_view bytes)>;
  Status blob(const Descriptor& descriptor, const BlobSink& sink);

 private:
  Result<HttpAnswer> get(const std::string& path, const std::vector<std::string>& headers, const BodySink& sink,
                         std::chrono::milliseconds limit);
  Result<HttpAnswer> read_text(const std::string& path, const std::vector<std::string>& headers, std::size_t limit,
                               std::string& text);
  template <typename Try>
  auto again(const Try& call) -> std::invoke_result_t<Try>;
  Status pause(std::chrono::milliseconds time);

  RegistryAccess& access_;
  HttpConnection http_;
  std::optional<std::chrono::seconds> retry_after_;  // of the last answer
  std::uint64_t received_ = 0;                       // of blobs, all in all
};

}  // namespace gantry::images
